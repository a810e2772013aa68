package access

import (
	"context"
	"errors"

	"github.com/rolegate/rolegate/broker"
)

// Entitlements is what everybody asks what a person may use, and why. Today the
// answer is that of the rules alone. It is safe for concurrent use and, like
// rules, pure: same identity, same minute, same answer.
type Entitlements struct{ rules broker.RoleMapper }

var _ broker.RoleMapper = (*Entitlements)(nil)

// NewEntitlements returns the entitlements that rules give.
func NewEntitlements(rules broker.RoleMapper) (*Entitlements, error) {
	if rules == nil {
		return nil, errors.New("access: rules are needed")
	}
	return &Entitlements{rules}, nil
}

// Assignments returns what the person may use now, sorted.
func (e *Entitlements) Assignments(ctx context.Context, id broker.Identity) ([]broker.Assignment, error) {
	return e.rules.Assignments(ctx, id)
}

// Explain says, rule by rule, why the person has what they have.
func (e *Entitlements) Explain(ctx context.Context, id broker.Identity) (broker.Explanation, error) {
	return e.rules.Explain(ctx, id)
}

// Missing returns the rules that could give the role in the account but do not
// give it to the person.
func (e *Entitlements) Missing(ctx context.Context, id broker.Identity, account, role string) ([]broker.RuleResult, error) {
	return e.rules.Missing(ctx, id, account, role)
}
