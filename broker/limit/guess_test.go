package limit_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
)

// limitEvents returns the events of what was slowed down.
func limitEvents(r *brokertest.Rig) (out []broker.Event) {
	for _, e := range r.Store.AllEvents() {
		if e.Action == broker.ActionLimit {
			out = append(out, e)
		}
	}
	return out
}

// TestGuess ensures that wrong guesses are few at once, come back one by one and
// are forgotten after a right one, and that a flood of refused ones is one event
// a window, in the name of who made them.
func TestGuess(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	l := r.Limiter(t, nil)
	guess := func(kind limit.Kind, who string) func() error {
		return func() error { return l.Guess(t.Context(), kind, sess, who) }
	}
	for _, tt := range []struct {
		kind       limit.Kind
		most       int
		every      time.Duration
		who, other string
	}{
		{limit.Factor, 5, 5 * time.Minute, "alice", "bob"}, {limit.UserCode, 10, time.Minute, "alice", "bob"},
		{limit.UserCodeAddress, 100, 6 * time.Second, "2001:db8::1", "2001:db8:0:1::1"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			before := len(limitEvents(r))
			got := 0
			for range 3 * tt.most {
				if err := guess(tt.kind, tt.who)(); err == nil {
					got++
				} else if broker.CodeOf(err) != broker.CodeRateLimited {
					t.Fatal(err)
				}
			}
			if got != tt.most {
				t.Errorf("%d guesses at once", got)
			}
			if tt.kind == limit.UserCodeAddress { // one /64 is one client
				brokertest.WantCode(t, "another address of the same", broker.CodeRateLimited, guess(tt.kind, "2001:db8::2")())
			}
			events := limitEvents(r)[before:]
			if len(events) != 1 || events[0].Actor != sess.Identity.Subject || events[0].Username != "alice" || events[0].Target != string(tt.kind) ||
				events[0].Outcome != broker.OutcomeRefused || events[0].Code != broker.CodeRateLimited {
				t.Errorf("events %+v", events)
			}
			if err := guess(tt.kind, tt.other)(); err != nil {
				t.Error("about somebody else:", err)
			}
			r.Clock = r.Clock.Add(tt.every - time.Second)
			brokertest.WantCode(t, "a little too early", broker.CodeRateLimited, guess(tt.kind, tt.who)())
			r.Clock = r.Clock.Add(time.Second)
			if err := guess(tt.kind, tt.who)(); err != nil {
				t.Error("one more:", err)
			}
			brokertest.WantCode(t, "two more", broker.CodeRateLimited, guess(tt.kind, tt.who)())
			if err := l.Forgive(t.Context(), tt.kind, tt.who); err != nil {
				t.Fatal(err)
			}
			if got := brokertest.Uses(t, tt.most, guess(tt.kind, tt.who)); got != tt.most {
				t.Errorf("%d guesses after a right one", got)
			}
		})
	}
}

// TestAttackGuessOnEveryNode ensures that guesses are counted exactly, however
// many nodes are asked at once.
func TestAttackGuessOnEveryNode(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for range 3 {
		l := r.Limiter(t, nil)
		for range 5 {
			wg.Go(func() {
				for range 4 {
					switch err := l.Guess(t.Context(), limit.Factor, sess, "alice"); broker.CodeOf(err) {
					case "":
						allowed.Add(1)
					case broker.CodeRateLimited:
					default:
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := allowed.Load(); n > 5 || n == 0 {
		t.Errorf("%d of 5 guesses were allowed on three nodes", n)
	}
}

// busyState is a store in which others change every counter all the time.
type busyState struct{ broker.StateStore }

func (busyState) Swap(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, nil
}

func (busyState) PutIfAbsent(context.Context, string, []byte, time.Duration) (bool, error) {
	return false, nil
}

// TestAttackGuessUncounted ensures that what cannot be counted is refused.
func TestAttackGuessUncounted(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	r.State = busyState{r.Store}
	busy := r.Limiter(t, nil)
	r.State = nil
	for _, tt := range []struct {
		name string
		l    *limit.Limiter
		kind limit.Kind
		down bool
		want broker.Code
	}{
		{"others count all the time", busy, limit.Factor, false, broker.CodeRateLimited},
		{"the store is down", r.Limiter(t, nil), limit.Factor, true, broker.CodeUnavailable},
		{"no limiter", nil, limit.Factor, false, broker.CodeInternal},
		{"no kind of guess", r.Limiter(t, nil), limit.SignIn, false, broker.CodeInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.Store.Down(tt.down)
			defer r.Store.Down(false)
			brokertest.WantCode(t, "a guess", tt.want, tt.l.Guess(t.Context(), tt.kind, sess, "alice"))
		})
	}
}
