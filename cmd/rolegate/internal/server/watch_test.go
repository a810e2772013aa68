package server

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatcher ensures that a change of the file counts once, when it has
// settled, and that neither a touch nor a missing file is one.
func TestWatcher(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rolegate.yaml")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	w := watcher{path: path, handled: digest(path)}
	look := func(want bool, when string) {
		t.Helper()
		if got := w.changed(); got != want {
			t.Errorf("%s: changed %t", when, got)
		}
	}
	look(false, "start")
	look(false, "start")
	write("tw")
	look(false, "half-written")
	write("two")
	look(false, "just written")
	look(true, "settled")
	look(false, "handled")
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	look(false, "touched")
	look(false, "touched")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(false, "gone")
	look(false, "gone")
	write("two")
	look(false, "back as it was")
	look(false, "back as it was")
	// As orchestrators do it: the name is a link that is swapped.
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	look(false, "link just swapped")
	look(true, "link swapped")
}

// TestLoopsAreReplaced ensures that the loops of an old configuration have
// ended before those of the new one begin, and that all end with their owner.
func TestLoopsAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var old, young atomic.Int32
		count := func(n *atomic.Int32) func(context.Context) {
			return func(ctx context.Context) {
				for {
					select {
					case <-ctx.Done():
						time.Sleep(time.Second) // what was under way ends
						return
					case <-time.After(time.Minute):
						n.Add(1)
					}
				}
			}
		}
		r := start(ctx, []func(context.Context){count(&old), count(&old)})
		time.Sleep(150 * time.Second)
		if old.Load() != 4 {
			t.Errorf("%d turns of the old loops", old.Load())
		}
		r = r.replace([]func(context.Context){count(&young)})
		time.Sleep(150 * time.Second)
		if old.Load() != 4 || young.Load() != 2 {
			t.Errorf("%d turns of the old loops, %d of the new", old.Load(), young.Load())
		}
		cancel()
		<-r.done
	})
}
