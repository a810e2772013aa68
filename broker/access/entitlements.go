package access

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rolegate/rolegate/broker"
)

// Entitlements is what everybody asks what a person may use, and why. Today the
// answer is that of the rules alone. It is safe for concurrent use and, like
// rules, pure: same identity, same minute, same answer.
//
// To explain costs far more than to judge, as every rule is gone through. So one
// person's explanations are computed one after the other.
type Entitlements struct {
	rules broker.RoleMapper
	turns turns
}

var _ broker.RoleMapper = (*Entitlements)(nil)

// NewEntitlements returns the entitlements that rules give.
func NewEntitlements(rules broker.RoleMapper) (*Entitlements, error) {
	if rules == nil {
		return nil, errors.New("access: rules are needed")
	}
	return &Entitlements{rules: rules, turns: turns{of: map[broker.Subject]*turn{}}}, nil
}

// Assignments returns what the person may use now, sorted.
func (e *Entitlements) Assignments(ctx context.Context, id broker.Identity) ([]broker.Assignment, error) {
	return e.rules.Assignments(ctx, id)
}

// Explain says, rule by rule, why the person has what they have. CodeRateLimited
// when many wait for an explanation of the same person.
func (e *Entitlements) Explain(ctx context.Context, id broker.Identity) (broker.Explanation, error) {
	done, err := e.turns.take(ctx, id.Subject)
	if err != nil {
		return broker.Explanation{}, err
	}
	defer done()
	return e.rules.Explain(ctx, id)
}

// Missing returns the rules that could give the role in the account but do not
// give it to the person. CodeRateLimited as for [Entitlements.Explain].
func (e *Entitlements) Missing(ctx context.Context, id broker.Identity, account, role string) ([]broker.RuleResult, error) {
	done, err := e.turns.take(ctx, id.Subject)
	if err != nil {
		return nil, err
	}
	defer done()
	return e.rules.Missing(ctx, id, account, role)
}

// Known returns the account and role that wanted names, whoever may use them.
func (e *Entitlements) Known(ctx context.Context, wanted broker.Wanted) (broker.Assignment, bool) {
	return e.rules.Known(ctx, wanted)
}

// maxTurns bounds how many explanations of one person are computed or waited for.
const maxTurns = 4

// turns lets through one at a time for each person.
type turns struct {
	mu sync.Mutex
	of map[broker.Subject]*turn // of those who compute or wait
}

type turn struct {
	gate  chan struct{} // held while it is one's turn
	users int
}

// take returns when it is the caller's turn, with what ends that; or the error of
// a context that ends before, or CodeRateLimited when too many wait already.
func (t *turns) take(ctx context.Context, s broker.Subject) (done func(), err error) {
	t.mu.Lock()
	x := t.of[s]
	if x == nil {
		x = &turn{gate: make(chan struct{}, 1)}
		t.of[s] = x
	}
	if x.users >= maxTurns {
		t.mu.Unlock()
		return nil, broker.Errorf(broker.CodeRateLimited, "Your roles are being looked up several times at once.").
			Fix("Wait a moment and try again.")
	}
	x.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(t.of, s)
		}
	}
	select {
	case x.gate <- struct{}{}:
		return func() { <-x.gate; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("access: nobody waits: %w", ctx.Err())
	}
}
