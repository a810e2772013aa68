package brokertest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

// ErrDown is what a [Store] says while it is down.
var ErrDown = broker.Errorf(broker.CodeUnavailable, "The store does not answer.").Because(errors.New("planted-cause"))

// Store is a real store on a file of its own, with switches to make it fail, a
// place to step in between two calls, and a way round it for those who write to
// the database themselves.
type Store struct {
	*sqlstore.Store
	t   testing.TB
	raw *sql.DB

	mu       sync.Mutex
	down     bool              // nothing answers
	noEvents bool              // no event can be kept
	before   map[string]func() // done once, before the call
}

// template is a database with the schema in it: migrating once is enough.
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "rolegate-template")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	path := filepath.Join(dir, "store.db")
	s, err := sqlstore.Open(context.Background(), sqlstore.Config{DSN: "sqlite:" + path})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// NewStore opens a store that goes by the clock now.
func NewStore(t testing.TB, now func() time.Time) *Store {
	t.Helper()
	b, err := template()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(memoryDir(t), "store.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := raw.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Store{Store: s, t: t, raw: raw}
}

// memoryDir is a temporary folder, in memory where the system has such a place:
// every write of the store waits for the disk.
func memoryDir(t testing.TB) string {
	const shared = "/dev/shm"
	if info, err := os.Stat(shared); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shared, "rolegate")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Down makes the store answer nothing, or all again.
func (s *Store) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// LoseEvents makes the store keep no event, or all again.
func (s *Store) LoseEvents(lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noEvents = lose
}

// Before does f once, right before the next "save", "replace" or "delete" of a
// session, or before the next "revoke" of a person's; nil: nothing.
func (s *Store) Before(call string, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = map[string]func(){call: f}
}

func (s *Store) pause(call string) {
	s.mu.Lock()
	f := s.before[call]
	if f != nil {
		s.before = nil
	}
	s.mu.Unlock()
	if f != nil {
		f()
	}
}

func (s *Store) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return ErrDown
	}
	return nil
}

func (s *Store) checkEvents() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.noEvents {
		return ErrDown
	}
	return nil
}

// Exec writes to the database past the store.
func (s *Store) Exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.raw.ExecContext(context.Background(), statement, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Store) rows(query string, scan func(*sql.Rows) error) {
	s.t.Helper()
	rows, err := s.raw.QueryContext(context.Background(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // read whole below
	for rows.Next() {
		if err := scan(rows); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
}

// Sessions returns every row of a session, whatever it is worth, by its key.
func (s *Store) Sessions() map[string]broker.SessionRow {
	s.t.Helper()
	out := map[string]broker.SessionRow{}
	s.rows(`select key, provider, subject_id, name_id, session_index, created_at, last_used_at, expires_at, body from sessions`,
		func(rows *sql.Rows) error {
			var r broker.SessionRow
			var created, used, expires int64
			err := rows.Scan(&r.Key, &r.Subject.Provider, &r.Subject.ID, &r.NameID, &r.SessionIndex, &created, &used, &expires, &r.Body)
			r.CreatedAt, r.LastUsedAt, r.ExpiresAt = time.UnixMicro(created), time.UnixMicro(used), time.UnixMicro(expires)
			out[r.Key] = r
			return err
		})
	return out
}

// SetSession puts a row where its key says, past every check.
func (s *Store) SetSession(r broker.SessionRow) {
	s.t.Helper()
	if err := s.Store.SaveSession(context.Background(), r); err != nil {
		s.t.Fatal(err)
	}
}

// DropSessions deletes sessions by their keys, without a key all of them.
func (s *Store) DropSessions(keys ...string) {
	s.t.Helper()
	if len(keys) == 0 {
		s.Exec(`delete from sessions`)
	}
	for _, k := range keys {
		s.Exec(`delete from sessions where key = ?`, k)
	}
}

// State returns all state, by its key.
func (s *Store) State() map[string][]byte {
	s.t.Helper()
	out := map[string][]byte{}
	s.rows(`select key, value from state`, func(rows *sql.Rows) error {
		var k string
		var v []byte
		err := rows.Scan(&k, &v)
		out[k] = v
		return err
	})
	return out
}

// SetState puts a value where its key says.
func (s *Store) SetState(key string, value []byte) {
	s.t.Helper()
	if err := s.Store.Put(context.Background(), key, value, time.Hour); err != nil {
		s.t.Fatal(err)
	}
}

// AllEvents returns every event in the order in which they happened.
func (s *Store) AllEvents() []broker.Event {
	s.t.Helper()
	all, err := s.Events(context.Background(), sqlstore.EventFilter{})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// AllFactors returns every factor of everybody.
func (s *Store) AllFactors() []broker.FactorRow {
	s.t.Helper()
	var out []broker.FactorRow
	s.rows(`select id, provider, subject_id, kind, name, body from factors`, func(rows *sql.Rows) error {
		var r broker.FactorRow
		err := rows.Scan(&r.ID, &r.Subject.Provider, &r.Subject.ID, &r.Kind, &r.Name, &r.Body)
		out = append(out, r)
		return err
	})
	return out
}

// Revocations returns how many people have one.
func (s *Store) Revocations() (n int) {
	s.t.Helper()
	s.rows(`select count(*) from revocations`, func(rows *sql.Rows) error { return rows.Scan(&n) })
	return n
}
