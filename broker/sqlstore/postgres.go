package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/rolegate/rolegate/broker"
)

const (
	// connections is how many connections a node holds at most.
	connections = 20
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 3 * time.Second
	// connectionLife ends connections, so that none stays with a server that has
	// become a standby.
	connectionLife = 5 * time.Minute
	// What the server is told backs the deadlines of [Store.bound] up.
	statementTimeout = "60s"
	lockTimeout      = "5s"
	idleInTxTimeout  = "30s"
)

// postgresConfig reads the URL. What the environment of libpq says (PGSSLMODE
// and the like) does not relax what is asked here.
func postgresConfig(c Config) (*pgx.ConnConfig, error) {
	bad := func(message string) *broker.Error {
		return broker.Errorf(broker.CodeInvalid, "%s", message).
			Fix("Write it like postgres://USER@HOST/DATABASE?sslmode=verify-full, with the password in store_password_file.")
	}
	u, err := url.Parse(c.DSN)
	if err != nil { // the cause would quote the URL
		return nil, bad("The store's address is no URL.")
	}
	q := u.Query()
	if _, has := u.User.Password(); has || q.Has("password") {
		return nil, bad("The store's address holds a password.")
	}
	if u.User.Username() == "" && !q.Has("user") || strings.Trim(u.Path, "/") == "" && !q.Has("dbname") {
		return nil, bad("The store's address needs a user and a database.")
	}
	if !q.Has("sslmode") {
		q.Set("sslmode", "verify-full")
		if local(q.Get("host"), u.Hostname()) {
			q.Set("sslmode", "prefer")
		}
		u.RawQuery = q.Encode()
	}
	cc, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, bad("The store's address is not understood.").Because(err)
	}
	if !c.InsecureTLS && !verified(cc) {
		return nil, broker.Errorf(broker.CodeInvalid, "The store's address would let an impostor answer for the database.").
			Fix("Set sslmode=verify-full, with sslrootcert if the certificate is from an own authority.")
	}
	cc.Password = c.Password.Reveal()
	if cc.ConnectTimeout == 0 || cc.ConnectTimeout > connectTimeout {
		cc.ConnectTimeout = connectTimeout
	}
	if cc.ValidateConnect == nil {
		cc.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "rolegate"
	}
	if c.TransactionPooling {
		// The next statement may run on another connection of the pooler, which
		// also refuses settings that it does not know.
		cc.DefaultQueryExecMode = pgx.QueryExecModeExec
		cc.StatementCacheCapacity, cc.DescriptionCacheCapacity = 0, 0
		return cc, nil
	}
	for name, value := range map[string]string{
		"statement_timeout": statementTimeout, "lock_timeout": lockTimeout, "idle_in_transaction_session_timeout": idleInTxTimeout,
	} {
		if _, set := cc.RuntimeParams[name]; !set {
			cc.RuntimeParams[name] = value
		}
	}
	return cc, nil
}

// local reports whether the hosts are sockets or loopback addresses, to which
// nobody stands in between.
func local(fromQuery, fromURL string) bool {
	hosts := fromQuery
	if hosts == "" {
		hosts = fromURL
	}
	for h := range strings.SplitSeq(hosts, ",") {
		if !broker.Loopback(h) && !strings.HasPrefix(h, "/") {
			return false
		}
	}
	return true
}

// verified reports whether every server that is not local proves its name.
func verified(c *pgx.ConnConfig) bool {
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, w := range ways {
		if !local("", w.Host) && (w.TLSConfig == nil || w.TLSConfig.InsecureSkipVerify) {
			return false
		}
	}
	return true
}

func (s *Store) openPostgres(ctx context.Context, c Config) error {
	cc, err := postgresConfig(c)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cc, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		return durable(ctx, conn, c.TransactionPooling)
	}))
	n := c.Connections
	if n == 0 {
		n = connections
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxLifetime(connectionLife)
	db.SetConnMaxIdleTime(connectionLife)
	if err := migratePostgres(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	s.write, s.read, s.server = db, db, true
	return nil
}

// durable ensures that a commit is on disk when it returns: an event that a
// crash may still lose must not release a credential. Settings that go further
// (a standby has it, too) stay.
func durable(ctx context.Context, conn *pgx.Conn, pooled bool) error {
	var mode string
	err := conn.QueryRow(ctx, `show synchronous_commit`).Scan(&mode)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == undefinedObject {
		return nil // a compatible database whose commits are always durable
	}
	if err != nil || mode != "off" {
		return err
	}
	if pooled {
		return broker.Errorf(broker.CodeInvalid, "The database forgets commits in a crash: synchronous_commit is off.").
			Fix("Run: alter role USER set synchronous_commit = on")
	}
	_, err = conn.Exec(ctx, `set synchronous_commit = on`)
	return err
}

// migratePostgres applies what is missing while other nodes serve. Nodes that
// start together take turns by a lease on a row: advisory locks are lost behind
// a pooler, and some compatible databases only pretend to have them.
func migratePostgres(ctx context.Context, db *sql.DB) error {
	l, err := lock.NewPostgresTableLocker(
		lock.WithTableName("rolegate_migration_lease"), lock.WithTableLeaseDuration(migrationLease),
		lock.WithTableHeartbeatInterval(migrationLease/6),
		lock.WithTableLockTimeout(500*time.Millisecond, 240), lock.WithTableUnlockTimeout(500*time.Millisecond, 20),
		lock.WithTableRetryPolicy(func(error) bool { return true }))
	if err != nil {
		return fmt.Errorf("sqlstore: migrations: %w", err)
	}
	if err := db.PingContext(ctx); err != nil { // without a database the lease would be tried for minutes
		return unavailable("open", err)
	}
	return migrate(ctx, db, goose.DialectPostgres, "migrations/postgres", goose.WithLocker(l))
}

// migrationLease is after what time without a heartbeat a node that migrates
// counts as dead.
const migrationLease = 30 * time.Second

// SQLSTATE codes, PostgreSQL manual appendix A.
const (
	undefinedObject      = "42704"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	notInRepertoire      = "22021"
	untranslatable       = "22P05"
)

// again reports whether the server has undone the transaction and asks to run
// it once more. A connection that was lost before anything was sent is retried
// by database/sql; one that was lost later is not: the statement may have run.
func again(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == serializationFailure || e.Code == deadlockDetected)
}

// lost reports whether the connection or the server went away under a
// statement, so that one that only reads may be tried once more.
func lost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "57P") // operator intervention: shutdown, crash
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// unstorable reports whether a text holds what PostgreSQL keeps in none: NUL,
// or bytes that are no UTF-8.
func unstorable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == notInRepertoire || e.Code == untranslatable)
}
