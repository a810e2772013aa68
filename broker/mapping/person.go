package mapping

import (
	"fmt"
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

// person refuses an identity that is larger than what the cost limits were
// judged with.
func (e *Engine) person(id *broker.Identity) (*person, error) {
	if err := tooManyGroups(id.Groups); err != nil {
		return nil, err
	}
	pr := e.providers[id.Subject.Provider]
	if pr == nil {
		pr = &provider{} // nobody vouches for anything
	}
	p := &person{
		id: id, now: e.now().Truncate(time.Minute), groups: make(map[string]struct{}, len(id.Groups)),
		subject: types.String(id.Subject.ID), provider: types.String(id.Subject.Provider),
		username: types.String(id.Username), email: pr.emailValue(id), mfa: types.Bool(id.MFA),
		claims: claimsValue(id.Claims, pr.hide(id.Claims, id.Unreadable)), zones: map[*time.Location]cel.Activation{}, roles: map[int]roleView{},
		near: newSpeller(),
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
func claimScope(c broker.Claims, u broker.Unreadable, subject string) scope {
	return scope{claimVars{claimsValue(c, u), types.String(subject)}, new(uint64)}
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
