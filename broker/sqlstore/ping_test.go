package sqlstore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"
)

// TestPingOfOneWhoLeft ensures that somebody who asks whether a node is ready, and
// leaves, does not make it say to others that it is not.
func TestPingOfOneWhoLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path, nil)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "begin immediate"); err != nil { // any other writer, for a moment
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // the client hangs up
	defer cancel()
	done := make(chan error)
	go func() {
		time.Sleep(200 * time.Millisecond)
		_, err := c.ExecContext(context.Background(), "rollback")
		done <- err
	}()
	t.Log("who left:", s.Ping(ctx))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error("the store takes writes, and another caller hears:", err)
	}
}
