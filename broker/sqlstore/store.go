package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// IdentityTTL is how long the last sign-in of a person is kept.
const IdentityTTL = 90 * 24 * time.Hour

// purgeEvery is how often [Store.Run] purges, purgeBatch how many rows it
// deletes at a time, so that other writers get in between.
const (
	purgeEvery = 5 * time.Minute
	purgeBatch = 500
	// purgeMargin is how long after its end an entry is deleted: a node whose clock
	// is ahead must not delete what another one still goes by.
	purgeMargin = time.Hour
)

// Config says where the data is.
type Config struct {
	// DSN is "sqlite:" and the path of the file, which is created with mode
	// 0600 if it is not there, or a URL like
	// postgres://USER@HOST/DATABASE?sslmode=verify-full without a password.
	DSN string
	// The others are for PostgreSQL only.
	Password           broker.Secret // zero: none is sent
	Connections        int           // at most; 0: 20
	TransactionPooling bool          // between us and the server is a pooler that changes connections between transactions
	InsecureTLS        bool          // take a server elsewhere that does not prove its name

	// PurgeFailed is told of each purge in [Store.Run] that did not work; nil:
	// nobody is. The next one is tried all the same.
	PurgeFailed func(error)
	Now         func() time.Time // nil: time.Now
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	write, read *sql.DB
	prepared    sync.Map // statement to *sql.Stmt, per database
	purgeFailed func(error)
	now         func() time.Time
	server      bool          // PostgreSQL: read and write are one pool
	events      atomic.Uint32 // orders events of one microsecond

	pingMu sync.Mutex
	pinged time.Time // when a write was last tried, by this machine's clock
	ping   error     // what it said
}

// Validate reports what is wrong with c, without opening anything: CodeInvalid.
func (c Config) Validate() error {
	if strings.HasPrefix(c.DSN, "postgres://") {
		_, err := postgresConfig(c)
		return err
	}
	kind, path, _ := strings.Cut(c.DSN, ":")
	if kind != "sqlite" || path == "" || path == ":memory:" {
		return broker.Errorf(broker.CodeInvalid, "The store must be sqlite: and the path of a file, or a postgres:// URL.")
	}
	return nil
}

// Open opens the database and brings its schema up to date. CodeInvalid for a
// DSN that is not understood or a file that cannot be used, CodeUnavailable
// when the database does not answer.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Store{purgeFailed: c.PurgeFailed, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	path, file := strings.CutPrefix(c.DSN, "sqlite:")
	open := func() error { return s.openPostgres(ctx, c) }
	if file {
		open = func() error { return s.openSQLite(ctx, path) }
	}
	if err := open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close waits for what is running and closes the database.
func (s *Store) Close() error {
	s.prepared.Range(func(_, v any) bool {
		_ = v.(*sql.Stmt).Close() // a statement ends with its connection anyway
		return true
	})
	var readErr error
	if !s.server {
		readErr = s.read.Close()
	}
	// The writer last: closing it checkpoints the write-ahead log.
	if err := s.write.Close(); err != nil {
		return fmt.Errorf("sqlstore: close: %w", err)
	}
	if readErr != nil {
		return fmt.Errorf("sqlstore: close: %w", readErr)
	}
	return nil
}

// pingEvery bounds how often [Store.Ping] writes, as anybody may make it ask.
const pingEvery = 5 * time.Second

// Ping reports whether the database answers and takes what is written: a full
// disk, or a server that has become a read-only one, still reads. Within five
// seconds the last answer to a write stands.
func (s *Store) Ping(ctx context.Context) error {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	var n int
	if err := s.read.QueryRowContext(bounded, `select count(*) from (select 1 from state limit 1) as t`).Scan(&n); err != nil {
		return unavailable("ping", err)
	}
	s.pingMu.Lock()
	defer s.pingMu.Unlock()
	if !s.pinged.IsZero() && time.Since(s.pinged) < pingEvery {
		return s.ping
	}
	// Whoever asked may leave: what the store says is for everybody.
	_, s.ping = s.exec(context.WithoutCancel(ctx), "ping", `insert into state (key, value, expires_at) values ('ping', $1, $2)
		on conflict (key) do update set expires_at = excluded.expires_at`, []byte{}, micros(s.now().Add(time.Minute)))
	s.pinged = time.Now()
	return s.ping
}

// Purge deletes what has expired: state, sessions, nodes, sign-ins older than
// [IdentityTTL] and role sessions older than [RoleSessionTTL]. Names stay, and so
// do events, which [Store.DeleteEventsBefore] deletes where somebody wants it. It returns how many rows went.
func (s *Store) Purge(ctx context.Context) (int64, error) {
	now := s.now()
	var total int64
	for _, p := range []struct {
		statement string
		until     time.Time
	}{
		{`delete from state where key in (select key from state where expires_at <= $1 limit $2)`, now.Add(-purgeMargin)},
		{`delete from sessions where key in (select key from sessions where expires_at <= $1 limit $2)`, now.Add(-purgeMargin)},
		{`delete from identities where (provider, subject_id) in (select provider, subject_id from identities where seen_at <= $1 limit $2)`, now.Add(-IdentityTTL)},
		{`delete from role_sessions where id in (select id from role_sessions where asked_at <= $1 limit $2)`, now.Add(-RoleSessionTTL)},
		{`delete from nodes where id in (select id from nodes where expires_at <= $1 limit $2)`, now},
	} {
		for {
			n, err := s.exec(listing(ctx), "purge", p.statement, micros(p.until), purgeBatch)
			total += n
			if err != nil {
				return total, err
			}
			if n < purgeBatch {
				break
			}
		}
	}
	return total, nil
}

// Run purges every five minutes until ctx ends.
func (s *Store) Run(ctx context.Context) {
	t := time.NewTicker(purgeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if _, err := s.Purge(ctx); err != nil && ctx.Err() == nil && s.purgeFailed != nil {
				s.purgeFailed(err)
			}
		}
	}
}

type statementKey struct {
	db   *sql.DB
	text string
}

// prepare returns the statement, prepared once per database.
func (s *Store) prepare(ctx context.Context, db *sql.DB, text string) (*sql.Stmt, error) {
	key := statementKey{db, text}
	if v, ok := s.prepared.Load(key); ok {
		return v.(*sql.Stmt), nil
	}
	stmt, err := db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if v, loaded := s.prepared.LoadOrStore(key, stmt); loaded {
		_ = stmt.Close() //nolint:sqlclosecheck // another goroutine was first; nothing has run on this one
		return v.(*sql.Stmt), nil
	}
	return stmt, nil
}

// exec runs one writing statement in a transaction of its own and returns how
// many rows it changed.
func (s *Store) exec(ctx context.Context, what, text string, args ...any) (int64, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		n, err := s.execOnce(ctx, text, args)
		if err == nil {
			return n, nil
		}
		if !again(err) || attempt == attempts {
			return 0, unavailable(what, err)
		}
	}
}

func (s *Store) execOnce(ctx context.Context, text string, args []any) (int64, error) {
	var res sql.Result
	var err error
	if s.server { // its driver prepares by itself
		res, err = s.write.ExecContext(ctx, text, args...)
	} else {
		stmt, prepareErr := s.prepare(ctx, s.write, text) //nolint:sqlclosecheck // it lives as long as the Store
		if prepareErr != nil {
			return 0, prepareErr
		}
		res, err = stmt.ExecContext(ctx, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a reading statement and calls scan for each row. It is run again
// only while there was no row yet.
func (s *Store) query(ctx context.Context, what, text string, args []any, scan func(*sql.Rows) error) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		begun := false
		err := s.each(ctx, text, args, func(r *sql.Rows) error {
			begun = true
			return scan(r)
		})
		if err == nil {
			return nil
		}
		// After a restart of the server the next connection of the pool may be
		// just as dead.
		if begun || attempt == attempts || !again(err) && (!s.server || !lost(err)) {
			return unavailable(what, err)
		}
	}
}

func (s *Store) each(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) (err error) {
	rows, err := s.rows(ctx, text, args)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Store) rows(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	if s.server {
		return s.read.QueryContext(ctx, text, args...)
	}
	stmt, err := s.prepare(ctx, s.read, text) //nolint:sqlclosecheck // it lives as long as the Store
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// inTx runs f in a transaction, on SQLite one that holds the write lock from
// the beginning. PostgreSQL may ask to run it again, so f has no effects but in
// tx and in what it assigns. A method calls [Store.bound] before inTx.
func (s *Store) inTx(ctx context.Context, what string, f func(*sql.Tx) error) error {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := s.inOneTx(ctx, what, f)
		if !again(err) || attempt == attempts {
			return err
		}
	}
}

func (s *Store) inOneTx(ctx context.Context, what string, f func(*sql.Tx) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return unavailable(what, err)
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the first error is the one to tell
		return err
	}
	if err := tx.Commit(); err != nil {
		return unavailable(what, err)
	}
	return nil
}

// attempts bounds how often a transaction that the server undid is run.
const attempts = 5

// opTimeout bounds one method, from waiting for a connection to the commit, so
// that an outage, or a file that another process holds, is an answer and not a
// hanging page: those who wait for the one connection that writes do not wait one
// after the other. listTimeout is
// for those that go over many rows.
const (
	opTimeout   = 5 * time.Second
	listTimeout = 50 * time.Second
)

type listKey struct{}

// listing marks ctx as of a method that goes over many rows.
func listing(ctx context.Context) context.Context { return context.WithValue(ctx, listKey{}, true) }

// bound gives ctx the deadline of one method.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Value(listKey{}) != nil {
		return context.WithTimeout(ctx, listTimeout)
	}
	return context.WithTimeout(ctx, opTimeout)
}

func unavailable(what string, err error) error {
	err = fmt.Errorf("sqlstore: %s: %w", what, err)
	if unstorable(err) {
		return broker.Errorf(broker.CodeInvalid, "Something that was sent holds characters that cannot be kept.").Because(err)
	}
	return broker.Errorf(broker.CodeUnavailable, "The place where sign-ins are kept does not answer.").
		Fix("Try again in a minute.").Because(err)
}

// micros is how times are kept.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
