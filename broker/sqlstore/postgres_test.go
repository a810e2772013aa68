package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/broker/sqlstore/storetest"
)

// need returns the value of a peer's variable; without it the test is left out,
// or fails where CI=true.
func need(t testing.TB, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: in CI every peer is needed", name)
		}
		t.Skipf("%s is not set: left out", name)
	}
	return v
}

// pooled makes an empty database and returns the URL that leads to it through
// pgbouncer, which knows no search path.
func pooled(t testing.TB) string {
	t.Helper()
	through, err := url.Parse(need(t, "ROLEGATE_TEST_PGBOUNCER"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("pgx", need(t, "ROLEGATE_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	name := "d_" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(t.Context(), `create database `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // by force: pgbouncer keeps its connections
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), `drop database `+name+` with (force)`); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	through.Path = "/" + name
	return through.String()
}

// schema makes an empty schema in the database that ROLEGATE_TEST_POSTGRES
// names and returns the URL that leads to it.
func schema(t testing.TB) string {
	t.Helper()
	base := need(t, "ROLEGATE_TEST_POSTGRES")
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(rand.Text())
	if _, err := db.ExecContext(t.Context(), `create schema `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), `drop schema `+name+` cascade`); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	return base + "&search_path=" + name
}

func openPostgres(t testing.TB, c sqlstore.Config) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestPostgresConformance(t *testing.T) {
	for name, behind := range map[string]bool{"direct": false, "behind pgbouncer": true} {
		t.Run(name, func(t *testing.T) {
			place := schema
			if behind {
				place = pooled
			}
			var mu sync.Mutex
			urls := map[*testing.T]string{}
			storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
				mu.Lock()
				defer mu.Unlock()
				if urls[t] == "" {
					urls[t] = place(t)
				}
				return openPostgres(t, sqlstore.Config{DSN: urls[t], TransactionPooling: behind, Now: now})
			})
		})
	}
}

func TestPostgresManyOpenAtOnce(t *testing.T) {
	dsn := schema(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Put(t.Context(), "k", nil, time.Hour); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestPostgresNewerSchemaIsRefused(t *testing.T) {
	dsn := schema(t)
	old := openPostgres(t, sqlstore.Config{DSN: dsn})
	db := raw(t, dsn)
	if _, err := db.ExecContext(t.Context(), `insert into goose_db_version (version_id, is_applied) values (9999, true)`); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn}); broker.CodeOf(err) != broker.CodeInvalid {
		t.Errorf("a schema from the future: %v", err)
	}
	if err := old.Put(t.Context(), "k", nil, time.Hour); err != nil {
		t.Errorf("the node that was there before: %v", err)
	}
}

// A node that serves goes on while another one adds what it does not know.
func TestPostgresServesWhileSchemaGrows(t *testing.T) {
	dsn := schema(t)
	s := openPostgres(t, sqlstore.Config{DSN: dsn})
	db := raw(t, dsn)
	for _, change := range []string{
		`alter table sessions add column later text not null default ''`, `create table later (id text primary key)`,
		`alter table state add column later bigint not null default 0`,
	} {
		if err := s.Put(t.Context(), "k", []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Take(t.Context(), "k"); err != nil || string(v) != "v" {
			t.Errorf("after %s: %q, %v", change, v, err)
		}
		if _, err := s.FindSessions(t.Context(), broker.SessionFilter{Provider: "okta"}); err != nil {
			t.Errorf("after %s: %v", change, err)
		}
	}
}

func raw(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A commit is on disk when it returns, whatever the role's own setting, and
// statements end.
func TestPostgresSettings(t *testing.T) {
	dsn := schema(t)
	for name, tt := range map[string]struct {
		more string
		want map[string]string
	}{
		"default": {"", map[string]string{"synchronous_commit": "on", "statement_timeout": "1min", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s"}},
		"off":     {"&synchronous_commit=off", map[string]string{"synchronous_commit": "on"}},
		"further": {"&synchronous_commit=remote_apply", map[string]string{"synchronous_commit": "remote_apply"}},
		"own":     {"&statement_timeout=2s", map[string]string{"statement_timeout": "2s"}},
	} {
		s := openPostgres(t, sqlstore.Config{DSN: dsn + tt.more})
		got := map[string]string{}
		for k := range tt.want {
			v, err := s.Setting(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			got[k] = v
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn + "&synchronous_commit=off", TransactionPooling: true})
	if err == nil || !strings.Contains(err.Error(), "synchronous_commit is off") {
		t.Errorf("behind a pooler that forgets commits: %v", err)
	}
}

func TestPostgresAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		dsn      string
		insecure bool
		want     string // in the message; "": accepted
	}{
		"verified by default":    {"postgres://u@db.example.com/d", false, ""},
		"verified":               {"postgres://u@db.example.com/d?sslmode=verify-full", false, ""},
		"several hosts":          {"postgres://u@a.example.com:5432,b.example.com:5432/d", false, ""},
		"socket":                 {"postgres://u@/d?host=/run/postgresql", false, ""},
		"loopback":               {"postgres://u@127.0.0.1:5433/d", false, ""},
		"plain on loopback":      {"postgres://u@localhost/d?sslmode=disable", false, ""},
		"plain":                  {"postgres://u@db.example.com/d?sslmode=disable", false, "impostor"},
		"prefer":                 {"postgres://u@db.example.com/d?sslmode=prefer", false, "impostor"},
		"require proves nothing": {"postgres://u@db.example.com/d?sslmode=require", false, "impostor"},
		"host in the query":      {"postgres://u@localhost/d?host=db.example.com&sslmode=disable", false, "impostor"},
		"second host":            {"postgres://u@localhost,db.example.com/d?sslmode=prefer", false, "impostor"},
		"plain on purpose":       {"postgres://u@db.example.com/d?sslmode=disable", true, ""},
		"password":               {"postgres://u:hunter2@localhost/d", false, "holds a password"},
		"password in the query":  {"postgres://u@localhost/d?password=hunter2", false, "holds a password"},
		"no user":                {"postgres://localhost/d", false, "needs a user"},
		"no database":            {"postgres://u@localhost/", false, "needs a user"},
		"bad port":               {"postgres://u:hunter2@localhost:x/d", false, "no URL"},
		"bad mode":               {"postgres://u@localhost/d?sslmode=maybe", false, "not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PGSSLMODE", "disable") // the environment relaxes nothing
			t.Setenv("PGHOST", "elsewhere.example.com")
			err := sqlstore.Config{DSN: tt.dsn, InsecureTLS: tt.insecure}.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (broker.CodeOf(err) != broker.CodeInvalid || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

// A password is asked for over TCP, and the one of the configuration is sent.
func TestPostgresPassword(t *testing.T) {
	dsn := schema(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	b, err := os.ReadFile(q.Get("host") + "/password")
	if err != nil {
		t.Skip("the server has no password file: it is not the test's own")
	}
	u.Host = "127.0.0.1:" + q.Get("port")
	q.Del("host")
	q.Del("port")
	u.RawQuery = q.Encode()
	openPostgres(t, sqlstore.Config{DSN: u.String(), Password: broker.NewSecret(strings.TrimSpace(string(b)))})
	_, err = sqlstore.Open(t.Context(), sqlstore.Config{DSN: u.String(), Password: broker.NewSecret("hunter2")})
	if broker.CodeOf(err) != broker.CodeUnavailable || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a wrong password: %v", err)
	}
}

// A server that takes connections and never answers is unavailable soon.
func TestPostgresSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                                                //nolint:errcheck // a test's own
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // only ends a test that hangs
	defer cancel()
	_, err = sqlstore.Open(ctx, sqlstore.Config{DSN: "postgres://u@" + l.Addr().String() + "/d?sslmode=disable"})
	if broker.CodeOf(err) != broker.CodeUnavailable || ctx.Err() != nil {
		t.Errorf("%v (%v)", err, ctx.Err())
	}
}

// Connections that the server has ended are replaced without an error that a
// reader sees.
func TestPostgresLostConnections(t *testing.T) {
	dsn := schema(t)
	s := openPostgres(t, sqlstore.Config{DSN: dsn + "&application_name=lost"})
	if err := s.Put(t.Context(), "k", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dsn)
	for range 3 {
		if _, err := db.ExecContext(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lost'`); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Get(t.Context(), "k"); err != nil || string(v) != "v" {
			t.Errorf("get: %q, %v", v, err)
		}
	}
}

// What a lock of somebody else holds up ends in an error, not in waiting.
func TestPostgresHeldLock(t *testing.T) {
	dsn := schema(t)
	s := openPostgres(t, sqlstore.Config{DSN: dsn})
	tx, err := raw(t, dsn).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // the end of the test
	if _, err := tx.ExecContext(t.Context(), `lock table events in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // only ends a test that hangs
	defer cancel()
	err = s.Record(ctx, broker.Event{Time: time.Now()})
	if broker.CodeOf(err) != broker.CodeUnavailable || ctx.Err() != nil {
		t.Errorf("%v (%v)", err, ctx.Err())
	}
}

// Transactions that the server undoes are run again.
func TestPostgresSerializable(t *testing.T) {
	dsn := schema(t) + "&default_transaction_isolation=serializable"
	s := openPostgres(t, sqlstore.Config{DSN: dsn})
	if err := s.Put(t.Context(), "one", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won, refused := 0, 0
	for range 10 {
		wg.Go(func() {
			_, err := s.Take(t.Context(), "one")
			mu.Lock()
			defer mu.Unlock()
			switch broker.CodeOf(err) {
			case "":
				won++
			case broker.CodeNotFound:
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || refused != 9 {
		t.Errorf("%d took it, %d were refused", won, refused)
	}
}
