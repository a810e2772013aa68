package brokertest

import (
	"context"
	"database/sql"
	"testing"
)

// In makes t the test that fails with what this store cannot do. A fuzz target
// gives each execution's own.
func (s *Store) In(t testing.TB) { s.t = t }

// Snapshot keeps a copy of everything in the store. What it returns puts that
// back, in a fraction of the time that another store takes.
func (s *Store) Snapshot() (restore func()) {
	s.t.Helper()
	var tables []string
	const data = `select name from sqlite_master where type = 'table' and name not like 'sqlite%' and name not like 'goose%'`
	s.rows(data, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		tables = append(tables, name)
		return err
	})
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
