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
)

// Config says where the data is.
type Config struct {
	// DSN is "sqlite:" and the path of the file, which is created with mode
	// 0600 if it is not there.
	DSN string
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
	events      atomic.Uint32 // orders events of one microsecond
}

// Open opens the database and brings its schema up to date. CodeInvalid for a
// DSN that is not understood or a file that cannot be used, CodeUnavailable
// when the database does not answer.
func Open(ctx context.Context, c Config) (*Store, error) {
	kind, path, _ := strings.Cut(c.DSN, ":")
	if kind != "sqlite" || path == "" || path == ":memory:" {
		return nil, broker.Errorf(broker.CodeInvalid, "The store must be sqlite: and the path of a file.")
	}
	s := &Store{purgeFailed: c.PurgeFailed, now: c.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.openSQLite(ctx, path); err != nil {
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
	readErr := s.read.Close()
	// The writer last: closing it checkpoints the write-ahead log.
	if err := s.write.Close(); err != nil {
		return fmt.Errorf("sqlstore: close: %w", err)
	}
	if readErr != nil {
		return fmt.Errorf("sqlstore: close: %w", readErr)
	}
	return nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	if err := s.read.QueryRowContext(ctx, `select count(*) from (select 1 from state limit 1) as t`).Scan(&n); err != nil {
		return unavailable("ping", err)
	}
	return nil
}

// Purge deletes what has expired: state, sessions, and sign-ins older than
// [IdentityTTL]. Names and events stay. It returns how many rows went.
func (s *Store) Purge(ctx context.Context) (int64, error) {
	now := s.now()
	var total int64
	for _, p := range []struct {
		statement string
		until     time.Time
	}{
		{`delete from state where key in (select key from state where expires_at <= $1 limit $2)`, now},
		{`delete from sessions where key in (select key from sessions where expires_at <= $1 limit $2)`, now},
		{`delete from identities where (provider, subject_id) in (select provider, subject_id from identities where seen_at <= $1 limit $2)`, now.Add(-IdentityTTL)},
	} {
		for {
			n, err := s.exec(ctx, "purge", p.statement, micros(p.until), purgeBatch)
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
	stmt, err := s.prepare(ctx, s.write, text) //nolint:sqlclosecheck // it lives as long as the Store
	if err != nil {
		return 0, unavailable(what, err)
	}
	res, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, unavailable(what, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, unavailable(what, err)
	}
	return n, nil
}

// query runs a reading statement and calls scan for each row.
func (s *Store) query(ctx context.Context, what, text string, args []any, scan func(*sql.Rows) error) (err error) {
	stmt, err := s.prepare(ctx, s.read, text) //nolint:sqlclosecheck // it lives as long as the Store
	if err != nil {
		return unavailable(what, err)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return unavailable(what, err)
	}
	defer func() {
		if closeErr := rows.Close(); err == nil && closeErr != nil {
			err = unavailable(what, closeErr)
		}
	}()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return unavailable(what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return unavailable(what, err)
	}
	return nil
}

// inTx runs f in a transaction that holds the write lock from the beginning.
func (s *Store) inTx(ctx context.Context, what string, f func(*sql.Tx) error) error {
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

func unavailable(what string, err error) error {
	return broker.Errorf(broker.CodeUnavailable, "The place where sign-ins are kept does not answer.").
		Fix("Try again in a minute.").Because(fmt.Errorf("sqlstore: %s: %w", what, err))
}

// micros is how times are kept.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
