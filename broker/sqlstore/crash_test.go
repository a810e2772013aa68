package sqlstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

const crashFile = "ROLEGATE_TEST_CRASH_FILE"

// TestMain is also the program that TestKilled kills: it writes without end and
// says what it was told is done.
func TestMain(m *testing.M) {
	path := os.Getenv(crashFile)
	if path == "" {
		os.Exit(m.Run())
	}
	if err := writeForEver(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func writeForEver(path string) error {
	ctx := context.Background()
	s, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + path})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		key := fmt.Sprint(i)
		if err := s.Put(ctx, "taken/"+key, []byte(key), time.Hour); err != nil {
			return err
		}
		if _, err := s.Take(ctx, "taken/"+key); err != nil {
			return err
		}
		if err := s.Put(ctx, "kept/"+key, []byte(key), time.Hour); err != nil {
			return err
		}
		if err := s.Record(ctx, broker.Event{Time: time.Now(), Action: broker.ActionConsole, Outcome: broker.OutcomeOK, Target: key}); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// A process that is killed in the middle of writing has lost nothing that it
// was told is done, and its file opens.
func TestKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store.db")
	child := exec.CommandContext(t.Context(), exe)
	child.Env = append(os.Environ(), crashFile+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 200 {
		if !lines.Scan() {
			t.Fatal("the writer ended by itself")
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	last := 0
	for ok := true; ok; ok = lines.Scan() { // what it said before it died counts as well
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
	}
	_ = child.Wait() // "signal: killed"

	s := open(t, path, nil)
	events, err := s.Events(t.Context(), sqlstore.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, e := range events {
		recorded[e.Target] = true
	}
	for i := range last + 1 {
		key := fmt.Sprint(i)
		if v, err := s.Get(t.Context(), "kept/"+key); err != nil || string(v) != key {
			t.Errorf("kept/%s: %q, %v", key, v, err)
		}
		if _, err := s.Take(t.Context(), "taken/"+key); broker.CodeOf(err) != broker.CodeNotFound {
			t.Errorf("taken/%s can be taken again: %v", key, err)
		}
		if !recorded[key] {
			t.Errorf("event %s is lost", key)
		}
	}
}
