package access_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// rotating is an identity provider whose refresh tokens are good once.
type rotating struct {
	now  func() time.Time
	hold func(t broker.Tokens) error // done before each answer; nil: nothing

	mu    sync.Mutex
	used  map[string]int // refresh tokens, and how often each was shown
	keeps bool           // the refresh token stays the same
}

func (p *rotating) RefreshTokens(_ context.Context, _ broker.Subject, t broker.Tokens) (broker.Tokens, error) {
	was := t.RefreshToken.Reveal()
	p.mu.Lock()
	p.used[was]++
	again := p.used[was] > 1
	p.mu.Unlock()
	if p.hold != nil {
		if err := p.hold(t); err != nil {
			return broker.Tokens{}, err
		}
	}
	next := was
	if !p.keeps {
		next += "+"
		if again {
			return broker.Tokens{}, broker.Errorf(broker.CodeUnauthenticated, "The refresh token was used twice: the session is over.")
		}
	}
	return broker.Tokens{IDToken: broker.NewSecret("id-of-" + was), RefreshToken: broker.NewSecret(next), IDExpires: p.now().Add(time.Hour)}, nil
}

func (p *rotating) shown(refresh string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used[refresh]
}

// watchedState says when somebody wants to use a refresh token.
type watchedState struct {
	broker.StateStore
	claim func()
}

func (s watchedState) PutIfAbsent(ctx context.Context, key string, v []byte, ttl time.Duration) (bool, error) {
	ok, err := s.StateStore.PutIfAbsent(ctx, key, v, ttl)
	if strings.HasPrefix(key, "refresh/") {
		s.claim()
	}
	return ok, err
}

// stale is a rig of a person whose corporate token has nearly run out.
func stale(t *testing.T) (*brokertest.Rig, *rotating, *broker.Session) {
	t.Helper()
	r := brokertest.New(t)
	r.AWS.Granted[0].Via = broker.ViaIDPToken
	p := &rotating{now: r.Now, used: map[string]int{}}
	return r, p, staleSession(t, r, "00u1")
}

func staleSession(t *testing.T, r *brokertest.Rig, id string) *broker.Session {
	t.Helper()
	r.IdP.Auth.Tokens = broker.Tokens{
		IDToken: broker.NewSecret("id"), RefreshToken: broker.NewSecret("rt-" + id), IDExpires: r.Clock.Add(time.Minute),
	}
	return r.As(t, id, id, "i")
}

func tokenNode(t *testing.T, r *brokertest.Rig, p *rotating) *access.Service {
	t.Helper()
	return r.Node(t, nil, func(x *brokertest.Parts) { x.Refreshers = map[broker.ProviderID]broker.TokenRefresher{"okta": p} }).Access
}

func assume(ctx context.Context, r *brokertest.Rig, a *access.Service, s *broker.Session) error {
	_, err := a.AssumeRole(ctx, s, access.RoleRequest{Assignment: r.AWS.Granted[0].ID})
	return err
}

// TestRefreshTokenIsUsedOnce ensures that of many who need a fresh token at once,
// on two nodes, one uses the refresh token and all get what it brought.
func TestRefreshTokenIsUsedOnce(t *testing.T) {
	r, p, s := stale(t)
	claims, both := atomic.Int32{}, make(chan struct{})
	r.State = watchedState{r.Store, func() {
		if claims.Add(1) == 2 {
			close(both)
		}
	}}
	p.hold = func(broker.Tokens) error { <-both; return nil } // not before the other node wants it too
	nodes := []*access.Service{tokenNode(t, r, p), tokenNode(t, r, p)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mine := *s
			if err := assume(t.Context(), r, nodes[i%2], &mine); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.shown("rt-00u1"); n != 1 || p.shown("rt-00u1+") != 0 {
		t.Errorf("the refresh token was used %d times", n)
	}
	if len(r.AWS.Assumed) != 8 {
		t.Fatalf("%d calls of STS", len(r.AWS.Assumed))
	}
	for _, a := range r.AWS.Assumed {
		if got := a.Assertion.Raw.Reveal(); got != "id-of-rt-00u1" {
			t.Errorf("STS got %s", got)
		}
	}
}

// TestRefreshTokenOfANodeThatDied ensures that a refresh token which somebody was
// using when their node died counts as used: the person signs in again.
func TestRefreshTokenOfANodeThatDied(t *testing.T) {
	r, p, s := stale(t)
	r.Store.SetState("refresh/"+s.Tokens.RefreshToken.Hash(), []byte{1})
	r.State = watchedState{r.Store, func() { r.Advance(21 * time.Second) }}
	err := assume(t.Context(), r, tokenNode(t, r, p), s)
	brokertest.WantCode(t, "the role", broker.CodeUnauthenticated, err)
	if broker.Remedy(err) != "Sign in again." || p.shown("rt-00u1") != 0 || len(r.AWS.Assumed) != 0 {
		t.Errorf("%v, used %d times, %d calls", err, p.shown("rt-00u1"), len(r.AWS.Assumed))
	}
}

// TestHangingProviderHoldsNobodyElseUp ensures that a refresh which takes its time
// does not keep other sessions waiting, that who waits for it may leave, and that
// it is finished all the same.
func TestHangingProviderHoldsNobodyElseUp(t *testing.T) {
	r, p, slow := stale(t)
	quick := staleSession(t, r, "00u2")
	begun, release := make(chan struct{}), make(chan struct{})
	p.hold = func(x broker.Tokens) error {
		if x.RefreshToken.Reveal() == "rt-00u1" {
			close(begun)
			<-release
		}
		return nil
	}
	node := tokenNode(t, r, p)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { mine := *slow; left <- assume(ctx, r, node, &mine) }()
	<-begun
	if err := assume(t.Context(), r, node, quick); err != nil {
		t.Error("another session:", err)
	}
	leave()
	if err := <-left; err == nil {
		t.Error("who left got a role")
	}
	close(release)
	if err := assume(t.Context(), r, node, slow); err != nil {
		t.Error("who came back:", err)
	}
	if n := p.shown("rt-00u1"); n != 1 {
		t.Errorf("the refresh token was used %d times", n)
	}
}

// TestRefreshMayBeTriedAgain ensures that a refresh which failed, and a provider
// whose refresh tokens stay the same, leave nothing behind that stops the next.
func TestRefreshMayBeTriedAgain(t *testing.T) {
	r, p, s := stale(t)
	p.keeps = true
	p.hold = func(broker.Tokens) error { return brokertest.ErrDown }
	here, there := tokenNode(t, r, p), tokenNode(t, r, p)
	brokertest.WantCode(t, "while the provider is down", broker.CodeUnavailable, assume(t.Context(), r, here, s))
	p.hold = nil
	if err := assume(t.Context(), r, there, s); err != nil {
		t.Error("the next try, on another node:", err)
	}
	r.Clock = r.Clock.Add(56 * time.Minute)
	if err := assume(t.Context(), r, here, s); err != nil {
		t.Error("the same refresh token, an hour later:", err)
	}
	if n := p.shown("rt-00u1"); n != 3 {
		t.Errorf("%d refreshes", n)
	}
}
