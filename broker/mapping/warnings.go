package mapping

import (
	"fmt"

	"github.com/rolegate/rolegate/broker"
)

// Warnings lists what is no mistake by itself but has no effect: selectors that
// select no account, rules that give nothing to anybody, roles that no rule
// gives.
func (e *Engine) Warnings() broker.Problems { return e.warnings }

// unreachable finds rules and roles without effect. That a pattern or a
// condition holds for nobody cannot be known.
func (e *Engine) unreachable() {
	given := make([]bool, len(e.roles))
	for i, r := range e.rules {
		if len(r.Accounts) > 0 && len(r.accounts) == 0 {
			e.warnings.Add(fmt.Sprintf("rules[%d]", i), "the rule %q gives nothing: it is for no account", r.Name)
			continue
		}
		if r.rolePos >= 0 && r.roles == nil { // the pattern may name any
			for j := range given {
				given[j] = true
			}
		}
		for _, j := range r.roles {
			given[j] = true
		}
	}
	for j, yes := range given {
		if !yes {
			e.warnings.Add(fmt.Sprintf("roles[%d]", j), "no rule gives the role %q", e.roles[j].Name)
		}
	}
}
