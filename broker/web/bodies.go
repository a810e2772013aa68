package web

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/admin"
	"github.com/rolegate/rolegate/broker/web/idp"
)

// The limits of request bodies.
const (
	maxBody    = 64 << 10
	maxACSBody = 5 << 18 // a SAML response of 1 MiB of base64, form-encoded

	// maxCandidate is for a configuration to simulate.
	maxCandidate = 1 << 20
)

// Few bodies are larger than maxBody, and each takes a few megabytes until its
// request has ended: so many at once, of all and of one address, and each is
// read in so much time. Others wait a moment.
const (
	largeBodies        = 16
	largeBodiesAddress = 8
	largeBodyTime      = 10 * time.Second
	largeBodyWait      = 5 * time.Second
)

const patternSimulate = "POST " + admin.SimulatePath

// bodyLimit is how much of a request's body is read. More than maxBody is for
// who could be meant: an answer to a provider that exists, a candidate of
// somebody who is signed in.
func (s *Server) bodyLimit(pattern string, r *http.Request) int64 {
	switch pattern {
	case idp.PatternACS:
		return maxACSBody
	case patternSimulate:
		if _, err := s.sessions.Current(r); err == nil {
			return maxCandidate
		}
	}
	return maxBody
}

// admit prepares the body to be read, or refuses it unread. The function it
// returns is to be called when the request has ended.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, pattern string) (func(), error) {
	limit := s.bodyLimit(pattern, r)
	if r.ContentLength > limit {
		return nil, broker.Errorf(broker.CodeInvalid, "This is more than is taken here.").
			Fix("Send %d KiB at most.", limit>>10).Because(&http.MaxBytesError{Limit: limit})
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if limit == maxBody || r.ContentLength >= 0 && r.ContentLength <= maxBody {
		return func() {}, nil
	}
	done, err := s.bodies.enter(r.Context(), requestFrom(r.Context()).Remote)
	if err != nil {
		return nil, err
	}
	// Where the connection cannot have a deadline, the server's own holds.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(largeBodyTime))
	return done, nil
}

// bodyGate counts the large bodies in memory.
type bodyGate struct {
	slots chan struct{}

	mu   sync.Mutex
	from map[string]int
}

func newBodyGate() *bodyGate {
	return &bodyGate{slots: make(chan struct{}, largeBodies), from: map[string]int{}}
}

// enter waits for a place. CodeRateLimited when the address has as many as one
// may have, CodeUnavailable when there is none for a while.
func (g *bodyGate) enter(ctx context.Context, remote string) (leave func(), err error) {
	key := network(remote)
	g.mu.Lock()
	busy := g.from[key] >= largeBodiesAddress
	if !busy {
		g.from[key]++
	}
	g.mu.Unlock()
	if busy {
		e := broker.Errorf(broker.CodeRateLimited, "Many large messages come from this network at once.").Fix("Wait a moment and try again.")
		e.RetryAfter = time.Second
		return nil, e
	}
	forget := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.from[key]--; g.from[key] == 0 {
			delete(g.from, key)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, largeBodyWait)
	defer cancel()
	select {
	case g.slots <- struct{}{}:
		return func() { <-g.slots; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, broker.Errorf(broker.CodeUnavailable, "Many large messages are being read at once.").
			Fix("Wait a moment and try again.").Because(ctx.Err())
	}
}

// network is what one client holds: an IPv4 address, or the first half of an
// IPv6 one.
func network(remote string) string {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return ""
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return a.String()
}

// parseForm reads the body of an HTML form. Files are never part of ours. Of a
// form to an identity provider that does not exist nothing is read: the handler
// says so.
func (s *Server) parseForm(r *http.Request) error {
	if r.Method != http.MethodPost || strings.HasPrefix(r.URL.Path, "/api/") || !s.mayExist(r.PathValue("idp")) {
		return nil
	}
	if err := r.ParseForm(); err != nil {
		return broker.Errorf(broker.CodeInvalid, "This form cannot be read.").Fix("Go back and try again.").Because(err)
	}
	return nil
}

// mayExist is false for the id of an identity provider that does not exist.
func (s *Server) mayExist(id string) bool {
	if id == "" {
		return true
	}
	for _, p := range s.c.SignIn.Providers() {
		if string(p.ID) == id {
			return true
		}
	}
	return false
}
