package mapping

import (
	"fmt"
	"slices"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/rolegate/rolegate/broker"
)

// groupList is a CEL list of strings whose membership test is a map look-up.
type groupList struct {
	traits.Lister
	set map[string]struct{}
}

// Contains answers `x in identity.groups`.
func (l groupList) Contains(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok {
		return types.False
	}
	_, ok = l.set[string(s)]
	return types.Bool(ok)
}

// person is one identity in the form that conditions are judged on. It serves
// one call and one goroutine.
type person struct {
	id     *broker.Identity
	groups map[string]struct{}
	now    time.Time

	subject, provider, username, email, mfa, claims, list ref.Val

	zones map[*time.Location]cel.Activation
	roles map[int]roleView
	near  *speller
	spent uint64
}

// newPerson refuses an identity that is larger than what the cost limits were
// judged with.
func newPerson(id *broker.Identity, now time.Time) (*person, error) {
	if err := tooManyGroups(id.Groups); err != nil {
		return nil, err
	}
	p := &person{
		id: id, now: now.Truncate(time.Minute), groups: make(map[string]struct{}, len(id.Groups)),
		subject: types.String(id.Subject.ID), provider: types.String(id.Subject.Provider),
		username: types.String(id.Username), email: types.String(id.Email), mfa: types.Bool(id.MFA),
		claims: claimsValue(id.Claims), zones: map[*time.Location]cel.Activation{}, roles: map[int]roleView{}, near: newSpeller(),
	}
	for _, g := range id.Groups {
		p.groups[g] = struct{}{}
	}
	p.list = groupList{types.NewStringList(types.DefaultTypeAdapter, id.Groups), p.groups}
	return p, nil
}

func tooManyGroups(groups []string) error {
	if len(groups) > maxGroups {
		return broker.Errorf(broker.CodeDenied, "Your identity provider says that you are in %d groups; more than %d are not accepted.", len(groups), maxGroups).
			Fix("Ask your administrator to send only the groups that matter for AWS.")
	}
	for _, g := range groups {
		if len(g) > maxText {
			return broker.Errorf(broker.CodeDenied, "Your identity provider sent a group name of %d bytes; more than %d are not accepted.", len(g), maxText).
				Fix("Ask your administrator to send group names, not documents.")
		}
	}
	return nil
}

// claimsValue is the CEL view of claims. To look at a claim that is larger than
// the limits is an error, also for has(): what cannot be judged is not absent.
func claimsValue(c broker.Claims) ref.Val {
	if len(c) > maxClaims {
		return types.NewErr("the %d claims are more than the %d that expressions may look at", len(c), maxClaims)
	}
	seen := make(map[string][]string, len(c))
	var large map[ref.Val]struct{}
	for name, values := range c {
		if len(name) > maxText {
			return types.NewErr("a claim has a name of %d bytes", len(name))
		}
		seen[name] = values
		if len(values) > maxGroups || slices.ContainsFunc(values, func(v string) bool { return len(v) > maxText }) {
			if large == nil {
				large = map[ref.Val]struct{}{}
			}
			large[types.String(name)], seen[name] = struct{}{}, nil
		}
	}
	m := types.DefaultTypeAdapter.NativeToValue(seen)
	if mapper, ok := m.(traits.Mapper); ok && large != nil {
		return claimMap{mapper, large}
	}
	return m
}

// claimMap is a map of claims of which some are too large to look at.
type claimMap struct {
	traits.Mapper
	large map[ref.Val]struct{}
}

// Find returns an error for a claim that is too large.
func (m claimMap) Find(key ref.Val) (ref.Val, bool) {
	if _, ok := m.large[key]; ok {
		return types.NewErr("the claim %v is larger than expressions may look at", key.Value()), false
	}
	return m.Mapper.Find(key)
}

// Get returns an error for a claim that is too large.
func (m claimMap) Get(key ref.Val) ref.Val {
	if v, found := m.Find(key); found || types.IsError(v) {
		return v
	}
	return m.Mapper.Get(key)
}

// in returns the scope with now in the given zone.
func (p *person) in(zone *time.Location) scope {
	a, ok := p.zones[zone]
	if !ok {
		a = identityVars{p, types.Timestamp{Time: p.now.In(zone)}}
		p.zones[zone] = a
	}
	return scope{a, &p.spent}
}

// identityVars resolves the variables of rules and identity expressions.
type identityVars struct {
	p   *person
	now ref.Val
}

// ResolveName returns a declared variable.
func (v identityVars) ResolveName(name string) (any, bool) {
	switch name {
	case "identity.groups":
		return v.p.list, true
	case "identity.claims":
		return v.p.claims, true
	case "identity.email":
		return v.p.email, true
	case "identity.username":
		return v.p.username, true
	case "identity.subject":
		return v.p.subject, true
	case "identity.provider":
		return v.p.provider, true
	case "identity.mfa":
		return v.p.mfa, true
	case "now":
		return v.now, true
	}
	return nil, false
}

// Parent returns nil: there is no outer scope.
func (identityVars) Parent() cel.Activation { return nil }

// claimScope is the scope of a provider's identity expressions.
func claimScope(c broker.Claims, subject string) scope {
	return scope{claimVars{claimsValue(c), types.String(subject)}, new(uint64)}
}

// claimVars resolves the variables of a provider's identity expressions.
type claimVars struct{ claims, subject ref.Val }

// ResolveName returns a declared variable.
func (v claimVars) ResolveName(name string) (any, bool) {
	switch name {
	case "claims":
		return v.claims, true
	case "subject":
		return v.subject, true
	}
	return nil, false
}

// Parent returns nil: there is no outer scope.
func (claimVars) Parent() cel.Activation { return nil }

// roleView is a role as one person gets it: its tags, or why it is refused.
type roleView struct {
	tags    map[string]string
	refused string
}

func (p *person) role(e *Engine, i int) roleView {
	v, ok := p.roles[i]
	if !ok {
		v = e.roles[i].view(e, p)
		p.roles[i] = v
	}
	return v
}

func (r *role) view(e *Engine, p *person) roleView {
	if r.Via == broker.ViaIDPToken {
		if pr := e.providers[p.id.Subject.Provider]; pr == nil || pr.IDPTokenProviderURL == "" {
			return roleView{refused: fmt.Sprintf("the role %q needs the identity provider's own token, and %s gives none for AWS", r.Name, p.id.Subject.Provider)}
		}
	}
	if len(r.tags) == 0 {
		return roleView{}
	}
	tags := make(map[string]string, len(r.tags))
	for _, t := range r.tags {
		v, err := t.expr.text(p.in(time.UTC))
		if err == nil {
			err = checkTagValue(v)
		}
		if err != nil {
			return roleView{refused: fmt.Sprintf("the session tag %q of the role %q could not be made: %v", t.key, r.Name, err)}
		}
		tags[t.key] = v
	}
	return roleView{tags: tags}
}
