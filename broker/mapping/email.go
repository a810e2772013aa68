package mapping

import (
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/rolegate/rolegate/broker"
)

const notVouched = "an e-mail address that nobody vouches for"

// vouched is the one verdict on an e-mail address of a sign-in:
//
//   - what the provider says of it counts, in email_verified or Entra ID's
//     xms_edov, and anything but true says no;
//   - where it says nothing, or speaks of another address, the provider vouches
//     for the domains that it is authoritative for.
func (p *provider) vouched(c broker.Claims, u broker.Unreadable, email string) bool {
	if p.InsecureUnverifiedEmail {
		return true
	}
	own, unreadable := firstOf(c, u, emailClaims)
	said := unreadable == nil && strings.EqualFold(own, email)
	if v, sent := spoken(c, u, "email_verified"); said && sent {
		return v
	}
	if v, sent := spoken(c, u, "xms_edov"); said && sent {
		return v
	}
	return p.authoritative(email)
}

// spoken reads a claim that is true or false, however a provider spells it.
func spoken(c broker.Claims, u broker.Unreadable, name string) (value, sent bool) {
	if _, unreadable := u[name]; unreadable {
		return false, true
	}
	v, sent := c[name]
	return len(v) == 1 && (strings.EqualFold(v[0], "true") || v[0] == "1"), sent
}

// authoritative reports whether the address is one of those that this provider
// alone gives out.
func (p *provider) authoritative(email string) bool {
	local, domain, _ := strings.Cut(email, "@")
	return local != "" && slices.ContainsFunc(p.EmailAuthoritativeDomains, func(d string) bool { return fold(d) == fold(domain) })
}

// hide adds the claims with an address that nobody vouches for to those that
// cannot be read, so that no expression can build on one.
func (p *provider) hide(c broker.Claims, u broker.Unreadable) broker.Unreadable {
	var hidden broker.Unreadable
	for _, name := range emailClaims {
		if slices.ContainsFunc(c[name], func(v string) bool { return v != "" && !p.vouched(c, u, v) }) {
			if hidden == nil {
				hidden = broker.Unreadable{}
				maps.Copy(hidden, u)
			}
			hidden[name] = notVouched
		}
	}
	if hidden == nil {
		return u
	}
	return hidden
}

// emailValue is identity.email for expressions: an error where an address was
// sent that cannot be read.
func (p *provider) emailValue(id *broker.Identity) ref.Val {
	if id.Email == "" && p.email == nil {
		if _, err := firstOf(id.Claims, id.Unreadable, emailClaims); err != nil {
			return types.WrapErr(err)
		}
	}
	return types.String(id.Email)
}

// emailOf returns the address that names the person, or the one that does not
// as nobody vouches for it. Without a readable one there is none; then whoever
// asks for it in an expression is refused (emailValue).
func (p *provider) emailOf(trace *broker.Trace, in scope, c broker.Claims, u broker.Unreadable) (email, unverified string, err error) {
	if email, err = firstOf(c, u, emailClaims); err != nil {
		trace.Pass("mapping.email", "left out: %v", err)
	}
	if p.email != nil {
		if email, err = p.email.text(in); err != nil && absent(err) {
			trace.Pass("mapping.email", "absent: %v", err)
			return "", "", nil
		} else if err != nil {
			return "", "", p.cannot("identity.email", "your e-mail address", err)
		}
	}
	if email == "" {
		return "", "", nil
	}
	if !plain(email, maxText) {
		return "", "", p.cannot("identity.email", "your e-mail address", plainError(email))
	}
	if !p.vouched(c, u, email) {
		trace.Pass("mapping.email", "not used: the provider does not say that it verified the address, and is not authoritative for its domain")
		return "", email, nil
	}
	return email, "", nil
}
