package mapping

import (
	"context"

	"github.com/rolegate/rolegate/broker"
)

// maxKnown bounds how many pairs of account and role [Engine.Known] compares
// with an id, which is a hash: some hundredths of a second. One that is none of
// the first is not known.
const maxKnown = 100_000

// pairsPerLook is how many of them are compared between two looks at the context.
const pairsPerLook = 1024

// Known returns the account and role that wanted names, whoever may use them;
// when there are several ways to STS, the first is meant.
func (e *Engine) Known(ctx context.Context, wanted broker.Wanted) (broker.Assignment, bool) {
	if wanted.ID == "" {
		account, ok := e.accounts.find(wanted.Account)
		roles := e.roleNames[fold(wanted.Role)]
		if !ok || len(roles) == 0 {
			return broker.Assignment{}, false
		}
		return e.known(grant{account, roles[0]}), true
	}
	if len(wanted.ID) != len(broker.NewAssignmentID("", "", "")) {
		return broker.Assignment{}, false
	}
	n := 0
	for account := range e.accounts.all {
		for role := range e.roles {
			if n++; n > maxKnown || n%pairsPerLook == 0 && ctx.Err() != nil {
				return broker.Assignment{}, false
			}
			if g := (grant{account, role}); e.id(g) == wanted.ID {
				return e.known(g), true
			}
		}
	}
	return broker.Assignment{}, false
}

func (e *Engine) known(g grant) broker.Assignment {
	a, r := &e.accounts.all[g.account], &e.roles[g.role]
	return broker.Assignment{
		ID: e.id(g), Account: a.Account, Role: r.Name, RoleARN: broker.NewRoleARN(a.Partition, a.ID, r.IAMRole), Via: r.Via,
	}
}
