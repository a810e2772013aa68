package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/rolegate/rolegate/broker"
)

// readers is how many connections read beside the one that writes.
const readers = 4

// sqliteDSN names the file with pragmas that hold for every connection. A
// commit is on disk when it returns: synchronous is FULL, as in WAL mode NORMAL
// may lose the last ones when the power goes.
func sqliteDSN(path string, more ...string) string {
	q := url.Values{"_pragma": append([]string{
		"busy_timeout(4000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)", "trusted_schema(0)",
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
	if err := migrate(ctx, s.write, goose.DialectSQLite3, "migrations/sqlite"); err != nil {
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
