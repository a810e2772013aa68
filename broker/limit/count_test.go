package limit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
)

// TestNewRefusesMissingParts ensures that there is no limiter that could count
// or tell nowhere.
func TestNewRefusesMissingParts(t *testing.T) {
	r := brokertest.New(t)
	for _, tt := range []struct {
		name string
		c    limit.Config
	}{
		{"nothing", limit.Config{}},
		{"no store", limit.Config{Journal: r.Broker().Journal}},
		{"no journal", limit.Config{State: r.Store}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if l, err := limit.New(tt.c); err == nil || l != nil {
				t.Errorf("%v, %v", l, err)
			}
		})
	}
}

// TestHalfARateIsNone ensures that what is limited by account alone, or address
// alone, is not limited by the other, and that a rate over no time is none.
func TestHalfARateIsNone(t *testing.T) {
	for _, tt := range []struct {
		name             string
		rate             limit.Rate
		address, account int // allowed of 50
	}{
		{"by account alone", limit.Rate{Account: 3, Per: time.Minute}, 50, 3},
		{"by address alone", limit.Rate{Address: 3, Per: time.Minute}, 3, 50},
		{"over no time", limit.Rate{Address: 3, Account: 3}, 50, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := brokertest.New(t).Limiter(t, map[limit.Kind]limit.Rate{limit.SignIn: tt.rate})
			ctx := brokertest.From(t, "192.0.2.1")
			if got := brokertest.Uses(t, 50, func() error { return l.Allow(ctx, limit.SignIn) }); got != tt.address {
				t.Errorf("by address: %d allowed, want %d", got, tt.address)
			}
			if got := brokertest.Uses(t, 50, func() error { return l.AllowAccount(ctx, limit.SignIn, "alice") }); got != tt.account {
				t.Errorf("by account: %d allowed, want %d", got, tt.account)
			}
		})
	}
}

// TestShareATwentieth ensures that a node asks the store after a twentieth of the
// limit, no earlier and no later.
func TestShareATwentieth(t *testing.T) {
	r := brokertest.New(t)
	s := &countingState{StateStore: r.Store}
	r.State = s
	l := r.Limiter(t, brokertest.TenAMinute) // 100 credentials: five are a twentieth
	for i, want := range []int{0, 0, 0, 0, 0, 1, 1} {
		if err := l.Allow(brokertest.From(t, "192.0.2.1"), limit.Credentials); err != nil {
			t.Fatal(err)
		}
		if s.n != want {
			t.Errorf("use %d: the store was asked %d times, want %d", i+1, s.n, want)
		}
	}
}

// TestAttackNextNode ensures that who has used up a limit on one node is refused
// by another at the first try that it counts together with it.
func TestAttackNextNode(t *testing.T) {
	r := brokertest.New(t)
	a, b := r.Limiter(t, brokertest.TenAMinute), r.Limiter(t, brokertest.TenAMinute)
	ctx := brokertest.From(t, "192.0.2.1")
	if got := brokertest.Uses(t, 20, func() error { return a.Allow(ctx, limit.SignIn) }); got != 10 {
		t.Fatalf("%d of 10 on the first node", got)
	}
	brokertest.WantCode(t, "the next node", broker.CodeRateLimited, b.Allow(ctx, limit.SignIn))
}

// TestRefusalWithoutItsEvent ensures that who floods is refused also where that
// cannot be noted, and that it is noted as soon as it can be.
func TestRefusalWithoutItsEvent(t *testing.T) {
	r := brokertest.New(t)
	l := r.Limiter(t, brokertest.TenAMinute)
	ctx := brokertest.From(t, "192.0.2.1")
	brokertest.Uses(t, 10, func() error { return l.Allow(ctx, limit.SignIn) })
	r.Store.LoseEvents(true)
	err := l.Allow(ctx, limit.SignIn)
	brokertest.WantCode(t, "over the limit", broker.CodeRateLimited, err)
	if !errors.Is(err, brokertest.ErrDown) {
		t.Errorf("%v does not say that it was not noted", err)
	}
	r.Store.LoseEvents(false)
	for range 3 {
		brokertest.WantCode(t, "over the limit", broker.CodeRateLimited, l.Allow(ctx, limit.SignIn))
	}
	if got := len(limitEvents(r)); got != 1 {
		t.Errorf("%d events", got)
	}
}

// TestForgive ensures that forgetting what was not counted is no error, and that
// what could not be forgotten is one.
func TestForgive(t *testing.T) {
	r := brokertest.New(t)
	l := r.Limiter(t, nil)
	if err := l.Forgive(t.Context(), limit.Factor, "alice"); err != nil {
		t.Error(err)
	}
	r.Store.Down(true)
	brokertest.WantCode(t, "the store is down", broker.CodeUnavailable, l.Forgive(t.Context(), limit.Factor, "alice"))
}
