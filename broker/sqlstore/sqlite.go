package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/rolegate/rolegate/broker"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// migrateAttempts bounds how often a migration that failed is tried.
const migrateAttempts = 5

// readers is how many connections read beside the one that writes.
const readers = 4

// sqliteDSN names the file with pragmas that hold for every connection. A
// commit is on disk when it returns: synchronous is FULL, as in WAL mode NORMAL
// may lose the last ones when the power goes.
func sqliteDSN(path string, more ...string) string {
	q := url.Values{"_pragma": append([]string{
		"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)", "trusted_schema(0)",
	}, more...), "_txlock": {"immediate"}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

func (s *Store) openSQLite(ctx context.Context, path string) error {
	if err := ownFile(path); err != nil {
		return broker.Errorf(broker.CodeInvalid, "The store's file %s cannot be used.", path).
			Fix("Let rolegate's user alone read and write it, in a folder that exists.").Because(err)
	}
	var err error
	if s.write, err = sql.Open("sqlite", sqliteDSN(path)); err != nil {
		return unavailable("open", err)
	}
	s.write.SetMaxOpenConns(1)
	if err := migrate(ctx, s.write); err != nil {
		return errors.Join(err, s.write.Close())
	}
	if s.read, err = sql.Open("sqlite", sqliteDSN(path, "query_only(1)")); err != nil {
		return errors.Join(unavailable("open", err), s.write.Close())
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	return nil
}

// ownFile creates the file with mode 0600, or takes away what others may do
// with it. SQLite gives its side files the same mode.
func ownFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return f.Chmod(0o600)
	}
	return nil
}

// migrate applies what is missing. A schema from a newer rolegate is refused,
// as this one does not know what its columns mean.
func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("sqlstore: migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("sqlstore: migrations: %w", err)
	}
	// Another process that opens the same file may apply a migration between
	// this one's look and its own attempt. It then fails whole, and the next
	// attempt finds it applied.
	for range migrateAttempts {
		if _, err = p.Up(ctx); err == nil {
			break
		}
	}
	if err != nil {
		return unavailable("migrate", err)
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return unavailable("migrate", err)
	}
	if have > known {
		return broker.Errorf(broker.CodeInvalid, "The store was last used by a newer rolegate (schema %d, this one knows %d).", have, known).
			Fix("Start the newer version, or restore the backup from before the upgrade.")
	}
	return nil
}
