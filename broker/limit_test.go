package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// limiter is one node's, over the rig's store.
func (r *rig) limiter(limits map[broker.LimitKind]broker.Limit) *broker.Limiter {
	return broker.NewLimiter(broker.LimiterConfig{State: r.mem, Events: r.mem, Limits: limits, Now: r.mem.now})
}

func from(t testing.TB, address string) context.Context {
	return broker.WithRequest(t.Context(), broker.Request{ID: "r", Remote: address})
}

var tenAMinute = map[broker.LimitKind]broker.Limit{
	broker.LimitSignIn:      {Address: 10, Account: 4, Per: time.Minute},
	broker.LimitCredentials: {Address: 100, Account: 40, Per: time.Minute},
}

// uses tries n times and returns how many were allowed.
func uses(t testing.TB, n int, try func() error) int {
	t.Helper()
	ok := 0
	for range n {
		switch err := try(); broker.CodeOf(err) {
		case "":
			ok++
		case broker.CodeRateLimited:
			if e, _ := errors.AsType[*broker.Error](err); e.RetryAfter < time.Second || e.RetryAfter > 2*time.Minute {
				t.Fatalf("retry after %s", e.RetryAfter)
			}
		default:
			t.Fatal(err)
		}
	}
	return ok
}

func TestLimit(t *testing.T) {
	r := newRig(t)
	l := r.limiter(tenAMinute)
	at := func(l *broker.Limiter, address string) func() error {
		return func() error { return l.Allow(from(t, address), broker.LimitSignIn) }
	}
	if got := uses(t, 50, at(l, "192.0.2.1")); got != 10 {
		t.Errorf("%d of 10 were allowed", got)
	}
	if got := uses(t, 50, at(l, "192.0.2.2")); got != 10 {
		t.Errorf("another address had %d", got)
	}
	events := 0
	for _, e := range r.mem.events {
		if e.Action == broker.ActionLimit && e.Remote == "192.0.2.1" && e.Code == broker.CodeRateLimited {
			events++
		}
	}
	if events != 1 {
		t.Errorf("%d events for one flood", events)
	}
	r.clock = r.clock.Add(30 * time.Second)
	if got := uses(t, 5, at(l, "192.0.2.1")); got != 0 {
		t.Errorf("%d in the middle of the window", got)
	}
	r.clock = r.clock.Add(60 * time.Second) // half of the old window has slid out
	if got := uses(t, 50, at(l, "192.0.2.1")); got != 5 {
		t.Errorf("%d in the middle of the next window, want 5", got)
	}
	r.clock = r.clock.Add(5 * time.Minute)
	if got := uses(t, 50, at(l, "192.0.2.1")); got != 10 {
		t.Errorf("%d long after", got)
	}
	if (*broker.Limiter)(nil).Allow(t.Context(), broker.LimitSignIn) != nil {
		t.Error("no limiter refuses")
	}
	if got := uses(t, 1000, func() error { return l.Allow(from(t, "192.0.2.1"), broker.LimitSCIM) }); got != 1000 {
		t.Errorf("a kind without a limit has %d", got)
	}
}

// TestLimitIsShared ensures that two nodes count together, within a twentieth
// for each, also into the next window.
func TestLimitIsShared(t *testing.T) {
	r := newRig(t)
	a, b := r.limiter(tenAMinute), r.limiter(tenAMinute)
	got := 0
	for range 100 {
		got += uses(t, 1, func() error { return a.Allow(from(t, "192.0.2.1"), broker.LimitCredentials) })
		got += uses(t, 1, func() error { return b.Allow(from(t, "192.0.2.1"), broker.LimitCredentials) })
	}
	if got < 100 || got > 110 {
		t.Errorf("%d of 100 were allowed on two nodes", got)
	}
	r.clock = r.clock.Add(time.Minute)
	c := r.limiter(tenAMinute) // a node that has just started
	if got := uses(t, 100, func() error { return c.Allow(from(t, "192.0.2.1"), broker.LimitCredentials) }); got > 10 {
		t.Errorf("%d at the beginning of the next window on a fresh node", got)
	}
}

// countingState counts what reaches the store.
type countingState struct {
	broker.StateStore
	n int
}

func (s *countingState) Get(ctx context.Context, key string) ([]byte, error) {
	s.n++
	return s.StateStore.Get(ctx, key)
}

// TestLimitAttacks holds what an attacker could do with or to the limits.
func TestLimitAttacks(t *testing.T) {
	account := func(l *broker.Limiter, address, who string) func() error {
		return func() error { return l.AllowAccount(from(t, address), broker.LimitSignIn, who) }
	}
	t.Run("attack: locking another person out", func(t *testing.T) {
		l := newRig(t).limiter(tenAMinute)
		for i := range 200 {
			uses(t, 10, account(l, fmt.Sprintf("198.51.100.%d", i), "alice"))
		}
		if got := uses(t, 4, account(l, "192.0.2.1", "alice")); got != 4 {
			t.Errorf("alice has %d of 4 at her own address", got)
		}
	})
	t.Run("attack: one /64 of IPv6 as many clients", func(t *testing.T) {
		l := newRig(t).limiter(tenAMinute)
		got := 0
		for i := range 100 {
			got += uses(t, 1, func() error { return l.Allow(from(t, fmt.Sprintf("2001:db8::%x", i)), broker.LimitSignIn) })
		}
		if got != 10 {
			t.Errorf("%d of 10", got)
		}
		if got := uses(t, 10, func() error { return l.Allow(from(t, "2001:db8:0:1::1"), broker.LimitSignIn) }); got != 10 {
			t.Errorf("the next /64 has %d", got)
		}
	})
	t.Run("attack: another spelling of an address", func(t *testing.T) {
		l := newRig(t).limiter(tenAMinute)
		got := 0
		for _, a := range []string{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "::FFFF:192.0.2.1"} {
			got += uses(t, 10, func() error { return l.Allow(from(t, a), broker.LimitSignIn) })
		}
		if got != 10 {
			t.Errorf("%d of 10", got)
		}
	})
	t.Run("attack: a flood to the store", func(t *testing.T) {
		r := newRig(t)
		s := &countingState{StateStore: r.mem}
		l := broker.NewLimiter(broker.LimiterConfig{State: s, Events: r.mem, Limits: tenAMinute, Now: r.mem.now})
		uses(t, 100_000, func() error { return l.Allow(from(t, "192.0.2.1"), broker.LimitSignIn) })
		if s.n > 15 {
			t.Errorf("%d reads for one flood", s.n)
		}
	})
	t.Run("attack: addresses without end", func(t *testing.T) {
		l := newRig(t).limiter(map[broker.LimitKind]broker.Limit{broker.LimitSignIn: {Address: 300, Per: time.Minute}})
		for i := range 120_000 {
			a := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
			if err := l.Allow(from(t, a), broker.LimitSignIn); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.Counters(); n > 50_000 {
			t.Errorf("%d counters are kept", n)
		}
	})
	t.Run("store down", func(t *testing.T) {
		r := newRig(t)
		r.mem.down = true
		if err := r.limiter(tenAMinute).Allow(from(t, "192.0.2.1"), broker.LimitSignIn); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%v", err)
		}
	})
}

// TestLimitsHold ensures that the use cases ask: starts, answers and role
// sessions.
func TestLimitsHold(t *testing.T) {
	one := map[broker.LimitKind]broker.Limit{
		broker.LimitSignIn: {Address: 1, Per: time.Minute}, broker.LimitSignInFinish: {Address: 1, Account: 1, Per: time.Minute},
		broker.LimitCredentials: {Address: 5, Account: 1, Per: time.Minute},
	}
	r := newRig(t)
	r.limit(one)
	out, err := r.finish(t, r.begin(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Begin(t.Context(), broker.BeginSignIn{Provider: "okta"}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("second start: %v", err)
	}
	if _, err := r.finish(t, broker.Begun{}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("second answer: %v", err)
	}
	sess, err := r.acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	id := r.aws.assignments[0].ID
	if _, err := r.acc.AssumeRole(t.Context(), sess, broker.AssumeRole{Assignment: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.acc.AssumeRole(t.Context(), sess, broker.AssumeRole{Assignment: id}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("second credentials: %v", err)
	}
	if _, err := r.acc.ConsoleURL(t.Context(), sess, broker.OpenConsole{Assignment: id}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("console: %v", err)
	}
	if len(r.aws.assumed) != 1 {
		t.Errorf("STS was called %d times", len(r.aws.assumed))
	}
}
