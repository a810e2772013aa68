package limit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/signin"
)

func TestLimit(t *testing.T) {
	r := brokertest.New(t)
	l := r.Limiter(t, brokertest.TenAMinute)
	at := func(l *limit.Limiter, address string) func() error {
		return func() error { return l.Allow(brokertest.From(t, address), limit.SignIn) }
	}
	if got := brokertest.Uses(t, 50, at(l, "192.0.2.1")); got != 10 {
		t.Errorf("%d of 10 were allowed", got)
	}
	if got := brokertest.Uses(t, 50, at(l, "192.0.2.2")); got != 10 {
		t.Errorf("another address had %d", got)
	}
	events := 0
	for _, e := range r.Store.AllEvents() {
		if e.Action == broker.ActionLimit && e.Remote == "192.0.2.1" && e.Code == broker.CodeRateLimited {
			events++
		}
	}
	if events != 1 {
		t.Errorf("%d events for one flood", events)
	}
	for i, tt := range []struct {
		after time.Duration
		want  int
	}{{5 * time.Second, 0}, {time.Second, 1}, {6 * time.Second, 1}, {30 * time.Second, 5}, {59 * time.Second, 9}, {time.Second, 1}} {
		r.Clock = r.Clock.Add(tt.after)
		if got := brokertest.Uses(t, 50, at(l, "192.0.2.1")); got != tt.want {
			t.Errorf("step %d, %s later: %d, want %d: it drains one by one", i, tt.after, got, tt.want)
		}
	}
	r.Clock = r.Clock.Add(5 * time.Minute)
	if got := brokertest.Uses(t, 50, at(l, "192.0.2.1")); got != 10 {
		t.Errorf("%d long after", got)
	}
	if (*limit.Limiter)(nil).Allow(t.Context(), limit.SignIn) != nil {
		t.Error("no limiter refuses")
	}
	if got := brokertest.Uses(t, 1000, func() error { return l.Allow(brokertest.From(t, "192.0.2.1"), limit.Device) }); got != 1000 {
		t.Errorf("a kind without a limit has %d", got)
	}
}

// TestLimitIsShared ensures that two nodes count together, within a twentieth
// for each, also with one that has just started.
func TestLimitIsShared(t *testing.T) {
	r := brokertest.New(t)
	a, b := r.Limiter(t, brokertest.TenAMinute), r.Limiter(t, brokertest.TenAMinute)
	got := 0
	for range 100 {
		got += brokertest.Uses(t, 1, func() error { return a.Allow(brokertest.From(t, "192.0.2.1"), limit.Credentials) })
		got += brokertest.Uses(t, 1, func() error { return b.Allow(brokertest.From(t, "192.0.2.1"), limit.Credentials) })
	}
	if got < 100 || got > 110 {
		t.Errorf("%d of 100 were allowed on two nodes", got)
	}
	r.Clock = r.Clock.Add(6 * time.Second)
	c := r.Limiter(t, brokertest.TenAMinute) // a node that has just started
	if got := brokertest.Uses(t, 100, func() error { return c.Allow(brokertest.From(t, "192.0.2.1"), limit.Credentials) }); got < 5 || got > 15 {
		t.Errorf("%d of ten that have drained on a fresh node", got)
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
	account := func(l *limit.Limiter, address, who string) func() error {
		return func() error { return l.AllowAccount(brokertest.From(t, address), limit.SignIn, who) }
	}
	t.Run("attack: locking another person out", func(t *testing.T) {
		l := brokertest.New(t).Limiter(t, brokertest.TenAMinute)
		for i := range 200 {
			brokertest.Uses(t, 10, account(l, fmt.Sprintf("198.51.100.%d", i), "alice"))
		}
		if got := brokertest.Uses(t, 4, account(l, "192.0.2.1", "alice")); got != 4 {
			t.Errorf("alice has %d of 4 at her own address", got)
		}
	})
	t.Run("attack: one /64 of IPv6 as many clients", func(t *testing.T) {
		l := brokertest.New(t).Limiter(t, brokertest.TenAMinute)
		got := 0
		for i := range 100 {
			got += brokertest.Uses(t, 1, func() error { return l.Allow(brokertest.From(t, fmt.Sprintf("2001:db8::%x", i)), limit.SignIn) })
		}
		if got != 10 {
			t.Errorf("%d of 10", got)
		}
		if got := brokertest.Uses(t, 10, func() error { return l.Allow(brokertest.From(t, "2001:db8:0:1::1"), limit.SignIn) }); got != 10 {
			t.Errorf("the next /64 has %d", got)
		}
	})
	t.Run("attack: another spelling of an address", func(t *testing.T) {
		l := brokertest.New(t).Limiter(t, brokertest.TenAMinute)
		got := 0
		for _, a := range []string{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "::FFFF:192.0.2.1"} {
			got += brokertest.Uses(t, 10, func() error { return l.Allow(brokertest.From(t, a), limit.SignIn) })
		}
		if got != 10 {
			t.Errorf("%d of 10", got)
		}
	})
	t.Run("attack: a flood to the store", func(t *testing.T) {
		r := brokertest.New(t)
		s := &countingState{StateStore: r.Store}
		r.State = s
		l := r.Limiter(t, brokertest.TenAMinute)
		brokertest.Uses(t, 100_000, func() error { return l.Allow(brokertest.From(t, "192.0.2.1"), limit.SignIn) })
		if s.n > 15 {
			t.Errorf("%d reads for one flood", s.n)
		}
	})
	t.Run("attack: addresses without end", func(t *testing.T) {
		l := brokertest.New(t).Limiter(t, map[limit.Kind]limit.Rate{limit.SignIn: {Address: 300, Per: time.Minute}})
		for i := range 120_000 {
			a := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
			if err := l.Allow(brokertest.From(t, a), limit.SignIn); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.Counters(); n > 50_000 {
			t.Errorf("%d counters are kept", n)
		}
	})
	t.Run("store down", func(t *testing.T) {
		r := brokertest.New(t)
		r.Store.Down(true)
		if err := r.Limiter(t, brokertest.TenAMinute).Allow(brokertest.From(t, "192.0.2.1"), limit.SignIn); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%v", err)
		}
	})
}

// TestLimitsHold ensures that the use cases ask: starts, answers and role
// sessions.
func TestLimitsHold(t *testing.T) {
	one := map[limit.Kind]limit.Rate{
		limit.SignIn: {Address: 1, Per: time.Minute}, limit.SignInFinish: {Address: 1, Account: 1, Per: time.Minute},
		limit.Credentials: {Address: 5, Account: 1, Per: time.Minute},
	}
	r := brokertest.New(t)
	r.Limit(t, one)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta"}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("second start: %v", err)
	}
	if _, err := r.Finish(t, signin.Begun{}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("second answer: %v", err)
	}
	sess, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	id := r.AWS.Granted[0].ID
	if _, err := r.Acc.AssumeRole(t.Context(), sess, access.RoleRequest{Assignment: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Acc.AssumeRole(t.Context(), sess, access.RoleRequest{Assignment: id}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("second credentials: %v", err)
	}
	if _, err := r.Acc.ConsoleURL(t.Context(), sess, access.ConsoleRequest{Assignment: id}); broker.CodeOf(err) != broker.CodeRateLimited {
		t.Errorf("console: %v", err)
	}
	if len(r.AWS.Assumed) != 1 {
		t.Errorf("STS was called %d times", len(r.AWS.Assumed))
	}
}

// TestRequestsAreOnePersons ensures that requests count for a person from an
// address, in browsers and programs together, and that the event says who it was.
func TestRequestsAreOnePersons(t *testing.T) {
	r := brokertest.New(t)
	r.Limit(t, map[limit.Kind]limit.Rate{limit.Requests: {Account: 20, Per: 5 * time.Minute}})
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, out.Session), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	at := func(address string) func() error {
		n := 0
		return func() error {
			if n++; n%2 == 0 {
				_, err := r.Acc.Authenticate(brokertest.From(t, address), out.Token)
				return err
			}
			_, err := r.Dev.Authenticate(brokertest.From(t, address), set.Access)
			return err
		}
	}
	if got := brokertest.Uses(t, 100, at("192.0.2.1")); got != 20 {
		t.Errorf("%d requests", got)
	}
	_, err = r.Dev.Refresh(brokertest.From(t, "192.0.2.1"), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "a refresh", broker.CodeRateLimited, err)
	if got := brokertest.Uses(t, 100, at("192.0.2.2")); got != 20 {
		t.Errorf("%d requests from elsewhere: somebody with a stolen session must not keep its person out", got)
	}
	events := limitEvents(r)
	if len(events) != 2 || events[0].Actor != out.Session.Identity.Subject || events[0].Target != "requests" {
		t.Errorf("events %+v", events)
	}
	if err := (*limit.Limiter)(nil).AllowRequest(t.Context(), out.Session); err != nil {
		t.Error("no limiter refuses:", err)
	}
}
