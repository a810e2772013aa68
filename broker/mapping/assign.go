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
	p, err := e.person(&id)
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
		r := &e.rules[i]
		gives, err := e.judge(ctx, r, p, nil)
		if err != nil {
			return nil, err
		}
		for _, g := range gives {
			granted[g] = append(granted[g], r.Name)
		}
		if len(granted) > maxGrants {
			return nil, tooManyGrants()
		}
	}
	return e.assignments(p, granted), nil
}

// judge returns what r grants to p. With why, it also says the reason. The only
// error is the context's end.
func (e *Engine) judge(ctx context.Context, r *rule, p *person, why *broker.RuleResult) ([]grant, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	inGroups := r.groupsOf(p)
	if why != nil {
		why.Groups = inGroups
	}
	if len(r.Groups) > 0 && len(inGroups) == 0 {
		if why != nil {
			why.Missing = slices.Clone(r.Groups)
			why.Reason = fmt.Sprintf("The person is not in %s.", anyOf(r.Groups))
		}
		return nil, nil
	}
	if r.when != nil {
		ok, err := r.when.bool(p.in(r.zone))
		if err != nil || !ok {
			if why != nil {
				why.Reason = r.whyNot(p, err)
			}
			return nil, nil
		}
	}
	var pairs []grant
	var told notes
	if r.pattern == nil {
		pairs = cross(r.accounts, r.roles)
	} else {
		var err error
		if pairs, told, err = e.byPattern(ctx, r, p, why); err != nil {
			return nil, err
		}
		if len(pairs) == 0 {
			if why != nil {
				why.Reason = told.sentence("None of the person's groups fits the pattern.")
			}
			return nil, nil
		}
	}
	kept := pairs[:0]
	for _, g := range pairs {
		if refused := p.role(e, g.role).refused; refused == "" {
			kept = append(kept, g)
		} else if why != nil && !slices.Contains(told.first, refused) {
			told.add(refused)
		}
	}
	if why != nil {
		why.Matched = true
		why.Reason = strings.TrimSpace(r.whyYes(why.Groups) + " " + told.sentence(""))
	}
	return kept, nil
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mapping: evaluation ended: %w", err)
	}
	return nil
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

// groupsPerLook is how many groups a pattern is tried on between two looks at
// the context.
const groupsPerLook = 64

// byPattern applies the pattern to each group. The notes are near misses:
// groups that fit but name an account or role that does not exist.
func (e *Engine) byPattern(ctx context.Context, r *rule, p *person, why *broker.RuleResult) (pairs []grant, told notes, err error) {
	listed := map[string]bool{} // in why.Groups
	if why != nil {
		for _, g := range why.Groups {
			listed[g] = true
		}
	}
	// Many groups may name one pair; what it grants is written down once.
	seen := map[[2]string]bool{}
	for i, g := range p.id.Groups {
		if i%groupsPerLook == 0 {
			if err := ended(ctx); err != nil {
				return nil, notes{}, err
			}
		}
		m := r.pattern.FindStringSubmatch(g)
		if m == nil {
			continue
		}
		var named [2]string
		accounts, roles := r.accounts, r.roles
		var none *nothing
		if r.accountGroup >= 0 {
			named[0] = fold(m[r.accountGroup])
			accounts, none = e.namedAccount(m[r.accountGroup], r.accounts)
		}
		if r.rolePos >= 0 && none == nil {
			named[1] = fold(m[r.rolePos])
			roles, none = e.namedRoles(m[r.rolePos], r.roles)
		}
		if none != nil {
			if why != nil && told.wants() {
				told.add(fmt.Sprintf("the group %q fits the pattern, but %s", g, none.text(p.near)))
			} else if why != nil {
				told.more++
			}
			continue
		}
		if why != nil && !listed[g] {
			listed[g] = true
			why.Groups = append(why.Groups, g)
		}
		if !seen[named] {
			seen[named] = true
			pairs = append(pairs, cross(accounts, roles)...)
		}
	}
	slices.SortFunc(pairs, func(a, b grant) int {
		if a.account != b.account {
			return a.account - b.account
		}
		return a.role - b.role
	})
	return slices.Compact(pairs), told, nil
}

// nothing is why what a group names gives nothing.
type nothing struct {
	noun, name string
	among      *nameList // where a near miss may be; nil: the rule does not cover what there is
}

func (m *nothing) text(near *speller) string {
	if m.among == nil {
		return fmt.Sprintf("the rule does not cover the %s %q", m.noun, m.name)
	}
	return fmt.Sprintf("there is no %s %q%s", m.noun, m.name, near.nearest(m.name, m.among))
}

// namedAccount returns the account that a group names, or why there is none.
func (e *Engine) namedAccount(name string, allowed []int) ([]int, *nothing) {
	i, ok := e.accounts.find(name)
	switch {
	case !ok:
		return nil, &nothing{"account", name, &e.accounts.names}
	case allowed != nil && !holds(allowed, i):
		return nil, &nothing{"account", name, nil}
	}
	return []int{i}, nil
}

// namedRoles does the same for roles.
func (e *Engine) namedRoles(name string, allowed []int) ([]int, *nothing) {
	found := e.roleNames[fold(name)]
	var out []int
	for _, i := range found {
		if allowed == nil || holds(allowed, i) {
			out = append(out, i)
		}
	}
	switch {
	case len(found) == 0:
		return nil, &nothing{"role", name, &e.roleList}
	case len(out) == 0:
		return nil, &nothing{"role", name, nil}
	}
	return out, nil
}

// holds reports whether the sorted list holds i.
func holds(sorted []int, i int) bool {
	_, ok := slices.BinarySearch(sorted, i)
	return ok
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
