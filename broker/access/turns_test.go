package access_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
)

// slowRules explain for as long as nobody lets them go on, and count how many
// explanations of one person are computed at a time.
type slowRules struct {
	broker.RoleMapper
	goOn                chan struct{}
	alice, bob, atOnce  atomic.Int32
	computed, forgotten atomic.Int32
}

func (r *slowRules) compute(ctx context.Context, id broker.Identity) error {
	n := &r.alice
	if id.Subject.ID == "bob" {
		n = &r.bob
	}
	if now := n.Add(1); now > r.atOnce.Load() {
		r.atOnce.Store(now)
	}
	defer n.Add(-1)
	r.computed.Add(1)
	select {
	case <-r.goOn:
		return nil
	case <-ctx.Done():
		r.forgotten.Add(1)
		return ctx.Err()
	}
}

func (r *slowRules) Explain(ctx context.Context, id broker.Identity) (broker.Explanation, error) {
	return broker.Explanation{}, r.compute(ctx, id)
}

func (r *slowRules) Missing(ctx context.Context, id broker.Identity, _, _ string) ([]broker.RuleResult, error) {
	return nil, r.compute(ctx, id)
}

// TestOneExplanationAPerson ensures that of one person one explanation is
// computed at a time, whichever kind; that others of that person wait, a few of
// them, and are turned away beyond that; that who leaves, computing or waiting,
// leaves the turn to the next; and that nobody waits for somebody else.
func TestOneExplanationAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := &slowRules{goOn: make(chan struct{})}
		e, err := access.NewEntitlements(rules)
		if err != nil {
			t.Fatal(err)
		}
		alice := broker.Identity{Subject: broker.Subject{Provider: "corp", ID: "alice"}}
		bob := broker.Identity{Subject: broker.Subject{Provider: "corp", ID: "bob"}}
		leaving, leave := context.WithCancel(t.Context())
		results := make(chan error, 20)
		explain := func(ctx context.Context, id broker.Identity) {
			go func() {
				_, err := e.Explain(ctx, id)
				results <- err
			}()
			synctest.Wait()
		}
		explain(leaving, alice) // computes
		explain(t.Context(), alice)
		go func() {
			_, err := e.Missing(t.Context(), alice, "prod", "Admin")
			results <- err
		}()
		explain(leaving, alice) // waits
		if n := rules.computed.Load(); n != 1 {
			t.Errorf("%d explanations are computed", n)
		}
		explain(t.Context(), alice)
		if err := <-results; broker.CodeOf(err) != broker.CodeRateLimited {
			t.Errorf("a fifth one: %v", err)
		}
		explain(t.Context(), bob)
		if n := rules.computed.Load(); n != 2 {
			t.Errorf("bob waits for alice: %d explanations are computed", n)
		}
		leave()
		synctest.Wait()
		for range 2 {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("left: %v", err)
			}
		}
		if n := rules.forgotten.Load(); n != 1 || rules.computed.Load() != 3 {
			t.Errorf("%d computations broken off, %d begun", n, rules.computed.Load())
		}
		close(rules.goOn)
		synctest.Wait()
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if n := rules.atOnce.Load(); n != 1 {
			t.Errorf("%d explanations of one person at once", n)
		}
		explain(t.Context(), alice) // nothing is left over
		if err := <-results; err != nil || rules.computed.Load() != 5 {
			t.Errorf("%v after %d", err, rules.computed.Load())
		}
	})
}
