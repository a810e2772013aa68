package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/broker/sqlstore/storetest"
)

func open(t testing.TB, path string, now func() time.Time) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	var mu sync.Mutex
	dirs := map[*testing.T]string{}
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		mu.Lock()
		defer mu.Unlock()
		if dirs[t] == "" {
			dirs[t] = t.TempDir()
		}
		return open(t, filepath.Join(dirs[t], "store.db"), now)
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.db")
	if err := os.WriteFile(broken, []byte(strings.Repeat("not a database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		dsn  string
		code broker.Code
	}{
		"empty":            {"", broker.CodeInvalid},
		"no path":          {"sqlite:", broker.CodeInvalid},
		"memory":           {"sqlite::memory:", broker.CodeInvalid},
		"another engine":   {"mysql://x", broker.CodeInvalid},
		"half an address":  {"postgres://localhost", broker.CodeInvalid},
		"no such folder":   {"sqlite:" + filepath.Join(dir, "none", "x.db"), broker.CodeInvalid},
		"folder":           {"sqlite:" + dir, broker.CodeInvalid},
		"not a database":   {"sqlite:" + broken, broker.CodeUnavailable},
		"not even a DSN":   {"rolegate.db", broker.CodeInvalid},
		"named pipe or so": {"sqlite:/dev/null", broker.CodeInvalid},
	} {
		s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: tt.dsn})
		if err == nil {
			_ = s.Close()
		}
		if broker.CodeOf(err) != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
}

// Names that mean something in a URI are names of files all the same.
func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a b.db", "q?mode=memory.db", "h#x.db", "p%41.db", "é.db", "file:x.db"} {
		path := filepath.Join(t.TempDir(), name)
		s := open(t, path, nil)
		if err := s.Put(t.Context(), "k", nil, time.Hour); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 && len(files(t, filepath.Dir(path))) < 2 {
			t.Errorf("%q was not written to: %v, %v", name, err, files(t, filepath.Dir(path)))
		}
	}
	t.Chdir(t.TempDir())
	open(t, "relative.db", nil)
	if _, err := os.Stat("relative.db"); err != nil {
		t.Error(err)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestFileModes(t *testing.T) {
	dir := t.TempDir()
	loose := filepath.Join(dir, "loose.db")
	if err := os.WriteFile(loose, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "new.db"), loose} {
		s := open(t, path, nil)
		if err := s.Put(t.Context(), "k", nil, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	names := files(t, dir)
	if len(names) != 6 {
		t.Errorf("files %v, want two databases with their -wal and -shm", names)
	}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

// A commit is on disk when it returns, and readers cannot write.
func TestPragmas(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), nil)
	for name, want := range map[string][2]string{
		"synchronous": {"2", "2"}, "journal_mode": {"wal", "wal"}, "busy_timeout": {"4000", "4000"}, "query_only": {"0", "1"}, "trusted_schema": {"0", "0"},
	} {
		write, read, err := s.Pragma(t.Context(), name)
		if err != nil || write != want[0] || read != want[1] {
			t.Errorf("%s: %s for the writer and %s for readers, %v; want %v", name, write, read, err, want)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := open(t, path, nil).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's own handle
	if _, err := db.ExecContext(t.Context(), `insert into goose_db_version (version_id, is_applied) values (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path}); broker.CodeOf(err) != broker.CodeInvalid {
		t.Errorf("a schema from the future: %v", err)
	}
}

func TestManyOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path})
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

func TestRunPurges(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var failed int
		s, err := sqlstore.Open(t.Context(), sqlstore.Config{
			DSN: "sqlite:" + filepath.Join(dir, "store.db"), PurgeFailed: func(error) { failed++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "k", nil, time.Minute); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Run(t.Context())
		}()
		time.Sleep(6 * time.Minute) // fake time
		synctest.Wait()
		if n, err := s.Purge(t.Context()); n != 0 || err != nil {
			t.Errorf("left for a second purge: %d, %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if failed != 1 {
			t.Errorf("told of %d failed purges", failed)
		}
	})
}

// TestLockedFile ensures that a file which another process holds is an answer for
// everybody who waits, and not for one after the other; and that the node then
// says that it is not ready.
func TestLockedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// The deadline of a method is five seconds. Ten that waited for one another
	// would need fifty.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := s.Put(ctx, fmt.Sprint("k", i), []byte{1}, time.Hour); broker.CodeOf(err) != broker.CodeUnavailable || ctx.Err() != nil {
				t.Errorf("%v (%v)", err, ctx.Err())
			}
		})
	}
	wg.Wait()
	if err := s.Ping(ctx); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("ready with a store that takes nothing: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, "after", []byte{1}, time.Hour); err != nil {
		t.Error(err)
	}
}
