package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
)

// running is a set of loops at work.
type running struct {
	parent context.Context //nolint:containedctx // the loops' owner: Run, which waits for them
	cancel context.CancelFunc
	done   chan struct{}
}

func start(ctx context.Context, loops []func(context.Context)) *running {
	inner, cancel := context.WithCancel(ctx)
	r := &running{parent: ctx, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		run(inner, loops)
	}()
	return r
}

func (r *running) stop() {
	r.cancel()
	<-r.done
}

// replace ends the loops, waits for them, and starts others.
func (r *running) replace(loops []func(context.Context)) *running {
	r.stop()
	return start(r.parent, loops)
}

// watcher notices a new content of a file. It polls: that works on every file
// system, and through the symbolic links by which orchestrators swap files.
type watcher struct {
	path    string
	seen    string // at the last look
	handled string
}

// changed reports, once per content, that the file has another one. A file that
// changed since the last look may be half-written: the next look decides. One
// that cannot be read is no change.
func (w *watcher) changed() bool {
	now := digest(w.path)
	settled := now == w.seen
	w.seen = now
	if now == "" || !settled || now == w.handled {
		return false
	}
	w.handled = now
	return true
}

// digest returns the hex SHA-256 of a file, "" if it cannot be read.
func digest(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, lookLimit)); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
