package brokertest

import (
	"context"
	"database/sql"
	"testing"
)

// In makes t the test that fails with what this store cannot do. A fuzz target
// gives each execution's own.
func (s *Store) In(t testing.TB) { s.t = t }

// tables are the names of everything that holds data.
func (s *Store) tables() (out []string) {
	s.t.Helper()
	const data = `select name from sqlite_master where type = 'table' and name not like 'sqlite%' and name not like 'goose%' and name not like 'kept_%'`
	s.rows(data, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		out = append(out, name)
		return err
	})
	return out
}

// Rows counts what is in each table; a table without a row is left out.
func (s *Store) Rows() map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for _, name := range s.tables() {
		var n int
		s.rows(`select count(*) from `+name, func(rows *sql.Rows) error { return rows.Scan(&n) })
		if n > 0 {
			out[name] = n
		}
	}
	return out
}

// Snapshot keeps a copy of everything in the store. What it returns puts that
// back, in a fraction of the time that another store takes.
func (s *Store) Snapshot() (restore func()) {
	s.t.Helper()
	tables := s.tables()
	for _, name := range tables {
		s.Exec(`create table kept_` + name + ` as select * from ` + name)
	}
	return func() {
		s.t.Helper()
		ctx := context.Background()
		tx, err := s.raw.BeginTx(ctx, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
		for _, name := range tables {
			for _, statement := range []string{`delete from ` + name, `insert into ` + name + ` select * from kept_` + name} {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					s.t.Fatal(err)
				}
			}
		}
		if err := tx.Commit(); err != nil {
			s.t.Fatal(err)
		}
	}
}
