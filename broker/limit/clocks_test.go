package limit_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

// TestAttackGuessesOnTwoClocks ensures that guesses which go to two nodes in turn
// are counted together, however far apart the nodes' clocks are.
func TestAttackGuessesOnTwoClocks(t *testing.T) {
	for _, skew := range []time.Duration{0, 20 * time.Minute, time.Hour} {
		path := filepath.Join(t.TempDir(), "s.db")
		node := func(skew time.Duration) *limit.Limiter {
			now := func() time.Time { return time.Now().Add(skew) }
			s, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + path, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			j, err := journal.New(journal.Config{Events: s, State: s, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			l, err := limit.New(limit.Config{State: s, Journal: j, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		a, b := node(0), node(skew)
		sess := &broker.Session{}
		n := 0
		for i := range 100 {
			l := a
			if i%2 == 1 {
				l = b
			}
			if l.Guess(t.Context(), limit.Factor, sess, "victim") == nil {
				n++
			}
		}
		if n > 6 {
			t.Errorf("clocks %s apart: %d guesses at once", skew, n)
		}
	}
}

// asked counts what reaches a store that does not answer.
type asked struct {
	broker.StateStore
	n atomic.Int32
}

func (s *asked) Get(context.Context, string) ([]byte, error) {
	s.n.Add(1)
	return nil, broker.Errorf(broker.CodeUnavailable, "The store does not answer.")
}

// TestOutageAsksTheStoreOnce ensures that in an outage those who come from one
// address do not each wait for the store in turn.
func TestOutageAsksTheStoreOnce(t *testing.T) {
	r := brokertest.New(t)
	store := &asked{StateStore: r.Store}
	l, err := limit.New(limit.Config{State: store, Journal: r.Broker().Journal, Limits: limit.Defaults(), Now: r.Now})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 100 {
		if err := l.Allow(brokertest.From(t, "192.0.2.1"), limit.SignInFinish); broker.CodeOf(err) == broker.CodeUnavailable {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused < 80 || store.n.Load() != 1 {
		t.Errorf("%d refused, the store was asked %d times", refused, store.n.Load())
	}
	r.Clock = r.Clock.Add(time.Second)
	if err := l.Allow(brokertest.From(t, "192.0.2.1"), limit.SignInFinish); broker.CodeOf(err) != broker.CodeUnavailable || store.n.Load() != 2 {
		t.Errorf("a second later: %v, asked %d times", err, store.n.Load())
	}
}
