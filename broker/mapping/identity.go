package mapping

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The claims that identity providers usually send, OpenID Connect names first,
// then SAML attribute names. The first that is present is taken.
var (
	emailClaims = []string{
		"email", "mail", "urn:oid:0.9.2342.19200300100.1.3",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
	}
	usernameClaims = []string{
		"preferred_username", "username", "uid", "urn:oid:0.9.2342.19200300100.1.1",
		"eduPersonPrincipalName", "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
		"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
	}
	groupClaims = []string{
		"groups", "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups", "http://schemas.xmlsoap.org/claims/Group",
	}
	// overageClaims say that the groups were left out because they are many.
	overageClaims = []string{"_claim_names.groups", "hasgroups", "http://schemas.microsoft.com/claims/groups.link"}
)

const maxSubject = 1_024 // bytes

// Identity applies the provider's identity settings to what was verified.
// CodeDenied with a remedy when something that is needed is missing or is more
// than can be taken.
func (e *Engine) Identity(ctx context.Context, a broker.Authentication) (broker.Identity, error) {
	p := e.providers[a.Subject.Provider]
	if p == nil {
		return broker.Identity{}, fmt.Errorf("mapping: no identity settings for provider %q", a.Subject.Provider)
	}
	subject := cmp.Or(a.Subject.ID, a.GivenID)
	id := broker.Identity{
		Subject: a.Subject, Claims: a.Claims, Unreadable: a.Unreadable, AuthnContext: a.AuthnContext, AuthnInstant: a.AuthnInstant, NotOnOrAfter: a.NotOnOrAfter,
	}
	var err error
	if id.Subject.ID, err = p.subjectID(claimScope(a.Claims, p.hide(a.Claims, a.Unreadable), subject), a); err != nil {
		return broker.Identity{}, err
	}
	return e.describe(ctx, p, id, subject)
}

// describe fills in what the claims of id say about its subject.
func (e *Engine) describe(ctx context.Context, p *provider, id broker.Identity, subject string) (_ broker.Identity, err error) {
	trace := broker.TraceFrom(ctx)
	in := claimScope(id.Claims, p.hide(id.Claims, id.Unreadable), subject)
	id.MFA = p.MFA.Satisfied(id.AuthnContext, id.Claims)
	if id.Groups, err = p.groupsOf(trace, in, id.Claims, id.Unreadable); err != nil {
		return broker.Identity{}, err
	}
	// The verdict on the address comes after the expression that finds it.
	all := claimScope(id.Claims, id.Unreadable, subject)
	if id.Email, id.UnverifiedEmail, err = p.emailOf(trace, all, id.Claims, id.Unreadable); err != nil {
		return broker.Identity{}, err
	}
	if id.Username, err = p.usernameOf(in, id); err != nil {
		return broker.Identity{}, err
	}
	if err := e.names(&id); err != nil {
		return broker.Identity{}, err
	}
	return id, nil
}

func (p *provider) subjectID(in scope, a broker.Authentication) (string, error) {
	if p.subject != nil {
		s, err := p.subject.text(in)
		if err == nil && !plain(s, maxSubject) {
			err = fmt.Errorf("gave %d bytes, or control characters", len(s))
		}
		if err != nil {
			return "", p.cannot("identity.subject", "who you are", err)
		}
		return s, nil
	}
	format := a.NameIDFormat
	if a.Subject.ID == "" || strings.HasSuffix(format, ":transient") || strings.HasSuffix(format, ":unspecified") {
		return "", broker.Errorf(broker.CodeDenied, "Your identity provider did not say who you are in a lasting way.").
			Fix("Ask your administrator to send a persistent NameID, or to set identity.subject for %s.", p.ID).
			Because(fmt.Errorf("NameID format %q", format))
	}
	if !plain(a.Subject.ID, maxSubject) {
		return "", p.cannot("the NameID or sub", "who you are", fmt.Errorf("%d bytes, or control characters", len(a.Subject.ID)))
	}
	if strings.HasSuffix(format, ":emailAddress") {
		_, domain, _ := strings.Cut(a.Subject.ID, "@")
		if !slices.ContainsFunc(p.EmailAuthoritativeDomains, func(d string) bool { return fold(d) == fold(domain) }) {
			return "", broker.Errorf(broker.CodeDenied, "Your identity provider names you by an e-mail address in the domain %q, which is not known to be its own.", domain).
				Fix("Ask your administrator to send a persistent NameID, to list the domain as one that %s is authoritative for, or to set identity.subject.", p.ID)
		}
	}
	return a.Subject.ID, nil
}

// groupsOf refuses when groups are missing, as "no groups" and "groups were
// not sent" must not be mistaken for one another.
func (p *provider) groupsOf(trace *broker.Trace, in scope, c broker.Claims, u broker.Unreadable) ([]string, error) {
	for _, name := range overageClaims {
		_, unreadable := u[name]
		if v, ok := c[name]; unreadable || ok && (len(v) != 1 || v[0] != "false") {
			return nil, broker.Errorf(broker.CodeDenied, "You are in so many groups that your identity provider left them out of the sign-in.").
				Fix("Ask your administrator to have %s send only the groups assigned to this application, or application roles in their place.", p.ID).
				Because(fmt.Errorf("overage marker %q", name))
		}
	}
	groups, err := p.rawGroups(in, c, u)
	if err != nil && absent(err) && p.GroupsAbsent == GroupsNone {
		trace.Pass("mapping.groups", "absent, taken as none")
		return []string{}, nil
	}
	if err != nil && absent(err) {
		return nil, broker.Errorf(broker.CodeDenied, "Your identity provider did not send your groups.").
			Fix("Ask your administrator to have %s send a groups claim, or to set groups_absent to none if people without groups are sent without the claim.", p.ID).
			Because(err)
	}
	if err != nil {
		return nil, p.cannot("identity.groups", "your groups", err)
	}
	if err := tooManyGroups(groups); err != nil {
		return nil, err
	}
	out := make([]string, 0, len(groups))
	seen := make(map[string]bool, len(groups))
	for _, g := range groups {
		// A character that steers a terminal, or turns the text after it, is an
		// escape from here on, to rules, people and programs alike.
		if g = broker.Visible(g); g != "" && !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	return out, nil
}

func (p *provider) rawGroups(in scope, c broker.Claims, u broker.Unreadable) ([]string, error) {
	if p.groups != nil {
		return p.groups.list(in)
	}
	for _, name := range groupClaims {
		if why, unreadable := u[name]; unreadable {
			return nil, unreadableError{name, why}
		}
		if v, ok := c[name]; ok {
			return v, nil
		}
	}
	if why, some := u[""]; some { // one of which may be the groups
		return nil, unreadableError{groupClaims[0], why}
	}
	return nil, errors.New("no such key: groups")
}

func (p *provider) usernameOf(in scope, id broker.Identity) (string, error) {
	var name string
	var err error
	if p.username != nil {
		name, err = p.username.text(in)
	} else if name, err = firstOf(id.Claims, id.Unreadable, usernameClaims); name == "" || strings.EqualFold(name, id.UnverifiedEmail) {
		// An address that nobody vouches for is no better as a username.
		name = cmp.Or(id.Email, id.Subject.ID)
	}
	if err == nil && !plain(name, maxText) {
		err = plainError(name)
	}
	if err != nil {
		return "", p.cannot("identity.username", "your username", err)
	}
	return name, nil
}

// names fills in the wanted RoleSessionName and SourceIdentity.
func (e *Engine) names(id *broker.Identity) error {
	id.SessionName, id.SourceIdentity = id.Email, id.Username
	if id.SessionName == "" {
		id.SessionName = id.Username
	}
	person, err := e.person(id)
	if err != nil {
		return err
	}
	for _, n := range []struct {
		key  string
		expr *expr
		out  *string
	}{{"role_session.name", e.sessionName, &id.SessionName}, {"role_session.source_identity", e.sourceIdentity, &id.SourceIdentity}} {
		if n.expr == nil {
			continue
		}
		s, err := n.expr.text(person.in(time.UTC))
		if err == nil && !plain(s, maxText) {
			err = fmt.Errorf("gave %d bytes, or control characters", len(s))
			if s == "" && id.UnverifiedEmail != "" {
				err = unreadableError{"email", notVouched}
			}
		}
		if err != nil {
			return e.providers[id.Subject.Provider].cannot(n.key, "the name that AWS is to see", err)
		}
		*n.out = s
	}
	return nil
}

// cannot is the refusal when a setting gives nothing for this person.
func (p *provider) cannot(setting, what string, err error) error {
	if e, ok := errors.AsType[unreadableError](err); ok && e.why == notVouched {
		return broker.Errorf(broker.CodeDenied, "Your identity provider does not say that it verified your e-mail address, and %s is made from it.", what).
			Fix("Verify the address there. If you have, ask your administrator to look at email_authoritative for %s, and at %s.", p.ID, setting).
			Because(fmt.Errorf("%s: %w", setting, err))
	} else if ok {
		return broker.Errorf(broker.CodeDenied, "Your identity provider sent %s in a form that cannot be read: the claim %.80q is %s.", what, e.name, e.why).
			Fix("Ask your administrator to have %s send it as plain text, or as a list of plain texts, or to name another claim in %s.", p.ID, setting).
			Because(fmt.Errorf("%s: %w", setting, err))
	}
	return broker.Errorf(broker.CodeDenied, "Your identity provider did not send what is needed for %s.", what).
		Fix("Ask your administrator to look at %s for %s in the configuration, and at what the provider sends.", setting, p.ID).
		Because(fmt.Errorf("%s: %w", setting, err))
}

// firstOf returns the first of the claims that says something, "" if none does,
// and an error when that one cannot be read.
func firstOf(c broker.Claims, u broker.Unreadable, names []string) (string, error) {
	for _, n := range names {
		if why, unreadable := u[n]; unreadable {
			return "", unreadableError{n, why}
		}
		if v := c.First(n); v != "" {
			return v, nil
		}
	}
	return "", nil
}

func plainError(s string) error {
	return fmt.Errorf("%d bytes, or control characters", len(s))
}

// plain reports whether s has 1 to most bytes and no control characters, those
// of writing direction among them.
func plain(s string, most int) bool {
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, broker.Breaks)
}
