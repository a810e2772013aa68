package mapping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// grant is an account and a role, by index.
type grant struct{ account, role int }

// Assignments returns what the identity may use now, sorted. The only errors
// are an identity beyond the limits (CodeDenied) and the context's end. The
// result is the caller's, but for the labels of accounts, which are not to be
// changed.
func (e *Engine) Assignments(ctx context.Context, id broker.Identity) ([]broker.Assignment, error) {
	p, err := newPerson(&id, e.now())
	if err != nil {
		return nil, err
	}
	candidates := slices.Clone(e.unindexed)
	for g := range p.groups {
		candidates = append(candidates, e.byGroup[g]...)
	}
	slices.Sort(candidates)
	granted := map[grant][]string{}
	for _, i := range slices.Compact(candidates) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("mapping: evaluation ended: %w", err)
		}
		r := &e.rules[i]
		for _, g := range e.judge(r, p, nil) {
			granted[g] = append(granted[g], r.Name)
		}
	}
	return e.assignments(p, granted), nil
}

// judge returns what r grants to p. With why, it also says the reason.
func (e *Engine) judge(r *rule, p *person, why *broker.RuleResult) []grant {
	inGroups := r.groupsOf(p)
	if why != nil {
		why.Groups = inGroups
	}
	if len(r.Groups) > 0 && len(inGroups) == 0 {
		if why != nil {
			why.Missing = slices.Clone(r.Groups)
			why.Reason = fmt.Sprintf("The person is not in %s.", anyOf(r.Groups))
		}
		return nil
	}
	if r.when != nil {
		ok, err := r.when.bool(p.in(r.zone))
		if err != nil || !ok {
			if why != nil {
				why.Reason = r.whyNot(p, err)
			}
			return nil
		}
	}
	var pairs []grant
	var notes []string
	if r.pattern == nil {
		pairs = cross(r.accounts, r.roles)
	} else {
		pairs, notes = e.byPattern(r, p, why)
		if len(pairs) == 0 {
			if why != nil {
				why.Reason = sentence(notes, "None of the person's groups fits the pattern.")
			}
			return nil
		}
	}
	kept := pairs[:0]
	for _, g := range pairs {
		if refused := p.role(e, g.role).refused; refused == "" {
			kept = append(kept, g)
		} else if why != nil && !slices.Contains(notes, refused) {
			notes = append(notes, refused)
		}
	}
	if why != nil {
		why.Matched = true
		why.Reason = strings.TrimSpace(r.whyYes(why.Groups) + " " + sentence(notes, ""))
	}
	return kept
}

func (r *rule) groupsOf(p *person) []string {
	var in []string
	for _, g := range r.Groups {
		if _, ok := p.groups[g]; ok {
			in = append(in, g)
		}
	}
	return in
}

// byPattern applies the pattern to each group. The notes are near misses:
// groups that fit but name an account or role that does not exist.
func (e *Engine) byPattern(r *rule, p *person, why *broker.RuleResult) (pairs []grant, notes []string) {
	for _, g := range p.id.Groups {
		m := r.pattern.FindStringSubmatch(g)
		if m == nil {
			continue
		}
		accounts, roles := r.accounts, r.roles
		var miss string
		if r.accountGroup >= 0 {
			accounts, miss = e.namedAccount(m[r.accountGroup], r.accounts, why != nil)
		}
		if r.rolePos >= 0 && miss == "" {
			roles, miss = e.namedRoles(m[r.rolePos], r.roles, why != nil)
		}
		if why != nil {
			if miss != "" {
				notes = append(notes, fmt.Sprintf("the group %q fits the pattern, but %s", g, miss))
				continue
			}
			if !slices.Contains(why.Groups, g) {
				why.Groups = append(why.Groups, g)
			}
		}
		if miss == "" {
			pairs = append(pairs, cross(accounts, roles)...)
		}
	}
	slices.SortFunc(pairs, func(a, b grant) int {
		if a.account != b.account {
			return a.account - b.account
		}
		return a.role - b.role
	})
	return slices.Compact(pairs), notes
}

// namedAccount returns the account that a group names, or why there is none; it
// looks for a near miss only if that is to be told.
func (e *Engine) namedAccount(name string, allowed []int, tell bool) ([]int, string) {
	i, ok := e.accounts.find(name)
	switch {
	case ok && (allowed == nil || slices.Contains(allowed, i)):
		return []int{i}, ""
	case ok:
		return nil, fmt.Sprintf("the rule does not cover the account %q", name)
	case tell:
		return nil, fmt.Sprintf("there is no account %q%s", name, nearest(name, e.accounts.names()))
	}
	return nil, "there is no such account"
}

// namedRoles does the same for roles.
func (e *Engine) namedRoles(name string, allowed []int, tell bool) ([]int, string) {
	found := e.roleNames[fold(name)]
	var out []int
	for _, i := range found {
		if allowed == nil || slices.Contains(allowed, i) {
			out = append(out, i)
		}
	}
	switch {
	case len(out) > 0:
		return out, ""
	case len(found) > 0:
		return nil, fmt.Sprintf("the rule does not cover the role %q", name)
	case tell:
		return nil, fmt.Sprintf("there is no role %q%s", name, nearest(name, e.roleList()))
	}
	return nil, "there is no such role"
}

func (e *Engine) roleList() []string {
	out := make([]string, len(e.roles))
	for i, r := range e.roles {
		out[i] = r.Name
	}
	return out
}

func cross(accounts, roles []int) []grant {
	out := make([]grant, 0, len(accounts)*len(roles))
	for _, a := range accounts {
		for _, r := range roles {
			out = append(out, grant{a, r})
		}
	}
	return out
}

func (e *Engine) id(g grant) broker.AssignmentID {
	r := &e.roles[g.role]
	return broker.NewAssignmentID(e.accounts.all[g.account].ID, r.Name, r.Via)
}

// assignments builds what was granted, in the order of
// [broker.SortAssignments].
func (e *Engine) assignments(p *person, granted map[grant][]string) []broker.Assignment {
	order := slices.SortedFunc(maps.Keys(granted), func(x, y grant) int {
		if d := e.accountRank[x.account] - e.accountRank[y.account]; d != 0 {
			return d
		}
		return e.roleRank[x.role] - e.roleRank[y.role]
	})
	out := make([]broker.Assignment, 0, len(granted))
	for _, g := range order {
		a, r := &e.accounts.all[g.account], &e.roles[g.role]
		x := broker.Assignment{
			ID: e.id(g), Account: a.Account, Role: r.Name, RoleARN: broker.NewRoleARN(a.Partition, a.ID, r.IAMRole), Via: r.Via,
			Description: r.Description, MaxDuration: r.MaxDuration, Require: r.Require, Rules: granted[g],
			SessionTags: maps.Clone(p.role(e, g.role).tags), TransitiveTagKeys: slices.Clone(r.TransitiveTagKeys),
			ProofTags: r.ProofTags,
		}
		switch r.Via {
		case broker.ViaSAML:
			x.ProviderARN = a.saml
		case broker.ViaOIDC:
			x.ProviderARN = a.oidc
		case broker.ViaIDPToken:
			x.ProviderARN = providerARN(a.Account, "oidc-provider", e.providers[p.id.Subject.Provider].IDPTokenProviderURL)
		}
		out = append(out, x)
	}
	return out
}

var _ interface {
	broker.IdentityMapper
	broker.RoleMapper
} = (*Engine)(nil)
