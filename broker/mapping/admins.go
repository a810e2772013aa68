package mapping

import (
	"context"

	"github.com/rolegate/rolegate/broker"
)

var _ broker.AdminJudge = (*Engine)(nil)

// IsAdmin reports whether the rule for administrators holds for the identity.
// A condition that cannot be decided does not hold.
func (e *Engine) IsAdmin(_ context.Context, id broker.Identity) (bool, error) {
	r := &e.admins
	if len(r.Groups) == 0 && r.when == nil {
		return false, nil
	}
	p, err := e.person(&id)
	if err != nil {
		return false, err
	}
	if len(r.Groups) > 0 && len(r.groupsOf(p)) == 0 {
		return false, nil
	}
	if r.when == nil {
		return true, nil
	}
	ok, err := r.when.bool(p.in(r.zone))
	return err == nil && ok, nil
}
