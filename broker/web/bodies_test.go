package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// upload is a body that counts what is read of it, and does not end before it
// is let go.
type upload struct {
	begun *atomic.Int64 // bodies that were looked at
	read  *atomic.Int64 // bytes
	end   <-chan struct{}
	once  sync.Once
	left  int
}

func (u *upload) Read(b []byte) (int, error) {
	u.once.Do(func() { u.begun.Add(1) })
	if u.left == 0 {
		<-u.end
		return 0, io.EOF
	}
	n := min(len(b), u.left)
	for i := range n {
		b[i] = 'a'
	}
	u.left -= n
	u.read.Add(int64(n))
	return n, nil
}

func (u *upload) Close() error { return nil }

// flood sends n bodies of size bytes at once, and returns how many were begun to
// be read before any of them ended, the bytes that were read, and the statuses.
// It is called in a bubble of [synctest], in which the house was made.
func (h *house) flood(n, size int, path, address string, opts ...with) (begun, read int64, statuses map[int]int) {
	h.t.Helper()
	statuses = map[int]int{}
	var started, bytes atomic.Int64
	var mu sync.Mutex
	end := make(chan struct{})
	for i := range n {
		go func() {
			r := httptest.NewRequest(http.MethodPost, h.public+path, nil) //nolint:noctx // ends with the test
			r.Body, r.ContentLength = &upload{begun: &started, read: &bytes, end: end, left: size}, int64(size)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.RemoteAddr = "10.0.0.1:1"
			r.Header.Set("X-Forwarded-For", strings.ReplaceAll(address, "N", fmt.Sprint(i)))
			for _, o := range opts {
				o(r)
			}
			w := httptest.NewRecorder()
			h.server.ServeHTTP(w, r)
			mu.Lock()
			statuses[w.Code]++
			mu.Unlock()
		}()
	}
	synctest.Wait()
	begun, read = started.Load(), bytes.Load()
	time.Sleep(time.Minute) // who waits has given up by now
	close(end)
	synctest.Wait()
	return begun, read, statuses
}

// TestAttackManyLargeBodies ensures that hundreds of connections do not make the
// server keep hundreds of large bodies: it counts those that are read at once.
func TestAttackManyLargeBodies(t *testing.T) {
	const large = 1_300_000
	for _, tt := range []struct {
		name, path, address string
		size                int
		begun, bytes        int64
		status              int
	}{
		{"answers from everywhere", "/saml/okta/acs", "198.51.100.N", large, 16, 16 * large, 503},
		{"answers from one address", "/saml/okta/acs", "198.51.100.1", large, 8, 8 * large, 429},
		{"answers from one IPv6 network", "/saml/okta/acs", "2001:db8::N", large, 8, 8 * large, 429},
		{"a provider that does not exist", "/saml/nobody/acs", "198.51.100.N", large, 0, 0, 404},
		{"the click of an arrival is small", "/saml/okta/agree", "198.51.100.N", large, 0, 0, 413},
		{"so is a logout message", "/saml/okta/slo", "198.51.100.N", large, 0, 0, 413},
		{"and a logout token", "/oidc/entra/backchannel-logout", "198.51.100.N", large, 0, 0, 413},
		{"a candidate of nobody", "/admin/simulate", "198.51.100.N", 1_000_000, 0, 0, 413},
		{"larger than any answer", "/saml/okta/acs", "198.51.100.N", 2_000_000, 0, 0, 413},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			begun, read, statuses := newHouse(t).flood(200, tt.size, tt.path, tt.address, fromHere)
			if begun != tt.begun || read > tt.bytes {
				t.Errorf("%d bodies and %d bytes are read at once, want %d and %d", begun, read, tt.begun, tt.bytes)
			}
			if got := statuses[tt.status]; got < 200-int(tt.begun) {
				t.Errorf("%v, want %d times %d", statuses, 200-tt.begun, tt.status)
			}
		})
	}
	inBubble(t, "without a length", func(t *testing.T) {
		begun, _, _ := newHouse(t).flood(200, large, "/saml/okta/acs", "198.51.100.N", func(r *http.Request) { r.ContentLength = -1 })
		if begun != 16 {
			t.Errorf("%d bodies are read at once", begun)
		}
	})
	inBubble(t, "places are given back", func(t *testing.T) {
		h := newHouse(t)
		for range 3 {
			if begun, _, _ := h.flood(20, large, "/saml/okta/acs", "198.51.100.N"); begun != 16 {
				t.Errorf("%d bodies are read at once", begun)
			}
		}
	})
	inBubble(t, "ordinary answers do not wait", func(t *testing.T) {
		begun, _, statuses := newHouse(t).flood(100, 30_000, "/saml/okta/acs", "198.51.100.N")
		if begun != 100 || statuses[503]+statuses[429] > 0 {
			t.Errorf("%d of 100 are read at once, %v", begun, statuses)
		}
	})
}

func inBubble(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
