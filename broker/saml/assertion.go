package saml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

const (
	bearer        = "urn:oasis:names:tc:SAML:2.0:cm:bearer" //nolint:gosec // G101: a URN
	nameIDEmail   = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	entraAMR      = "http://schemas.microsoft.com/claims/authnmethodsreferences"
	maxAttributes = 200
	maxName       = 512 // bytes of an attribute's name
)

const (
	noContext       = "Your identity provider did not do the second factor that was asked for."
	noContextRemedy = "Set up a second factor at your identity provider, then sign in again."
)

// assertion checks a verified assertion as the browser SSO profile wants it
// (SAML profiles 4.1.4.2 and 4.1.4.3, core 2.3 to 2.7) and reads it.
func (c *check) assertion(el *etree.Element) (broker.Authentication, error) {
	auth := broker.Authentication{ReplayID: attr(el, "ID"), Subject: broker.Subject{Provider: c.sp.c.ID}}
	var until, confirmedUntil time.Time
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"saml.issuer", func() error { return c.head(el) }},
		{"saml.conditions", func() (err error) { until, err = c.conditions(el); return err }},
		{"saml.subject", func() (err error) { confirmedUntil, err = c.subject(el, &auth); return err }},
		{"saml.attributes", func() (err error) { auth.Claims, err = c.attributes(el); return err }},
		{"saml.authn", func() error { return c.authnStatement(el, &auth) }},
	} {
		c.step = step.name
		if err := step.run(); err != nil {
			return broker.Authentication{}, err
		}
	}
	if confirmedUntil.After(until) {
		until = confirmedUntil
	}
	auth.ReplayExpires = until.Add(c.sp.c.ClockSkew)
	return auth, nil
}

// head checks version, ID, Issuer and IssueInstant (core 2.3.3).
func (c *check) head(el *etree.Element) error {
	if v := attr(el, "Version"); v != "2.0" {
		return fmt.Errorf("the assertion has the version %.20q", v)
	}
	if id := attr(el, "ID"); !idValue.MatchString(id) {
		return fmt.Errorf("the assertion has the ID %.80q", id)
	}
	if err := c.issuer(child(el, nsAssertion, "Issuer")); err != nil {
		return err
	}
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return err
	}
	if err := c.recent(issued); err != nil {
		return fmt.Errorf("the assertion: %w", err)
	}
	c.pass("%s", c.idp.entityID)
	return nil
}

func instant(el *etree.Element, name string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, attr(el, name))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s has no %s", el.Tag, name)
	}
	return t, nil
}

// window checks NotBefore (may be absent) and NotOnOrAfter (needed), with the
// provider's skew on both sides.
func (c *check) window(el *etree.Element) (time.Time, error) {
	end, err := instant(el, "NotOnOrAfter")
	if err != nil {
		return time.Time{}, err
	}
	if !c.now.Before(end.Add(c.sp.c.ClockSkew)) {
		return time.Time{}, fmt.Errorf("%s ended at %s, and our clock says %s", el.Tag, stamp(end), stamp(c.now))
	}
	if !hasAttr(el, "NotBefore") {
		return end, nil
	}
	start, err := instant(el, "NotBefore")
	if err != nil {
		return time.Time{}, err
	}
	if c.now.Before(start.Add(-c.sp.c.ClockSkew)) || !start.Before(end) {
		return time.Time{}, fmt.Errorf("%s begins at %s and ends at %s, and our clock says %s", el.Tag, stamp(start), stamp(end), stamp(c.now))
	}
	return end, nil
}

// conditions: one Conditions element; every AudienceRestriction must name us,
// as restrictions are ANDed and their audiences ORed (SAML core 2.5.1.4); a
// condition that is not understood makes the assertion invalid (2.5.1.1).
func (c *check) conditions(el *etree.Element) (time.Time, error) {
	cond, err := one(el, "Conditions")
	if err != nil {
		return time.Time{}, err
	}
	end, err := c.window(cond)
	if err != nil {
		return time.Time{}, err
	}
	restrictions := 0
	for _, x := range cond.ChildElements() {
		if x.NamespaceURI() != nsAssertion {
			return time.Time{}, fmt.Errorf("condition %s is not understood", x.Tag)
		}
		switch x.Tag {
		case "AudienceRestriction":
			restrictions++
			if !slices.ContainsFunc(x.ChildElements(), func(a *etree.Element) bool {
				s, err := leaf(a)
				return a.Tag == "Audience" && a.NamespaceURI() == nsAssertion && err == nil && s == c.sp.entityID
			}) {
				return time.Time{}, fmt.Errorf("the audience is not %q", c.sp.entityID)
			}
		case "OneTimeUse", "ProxyRestriction": // held by the replay guard; we do not proxy
		default:
			return time.Time{}, fmt.Errorf("condition %s is not understood", x.Tag)
		}
	}
	if restrictions == 0 {
		return time.Time{}, errors.New("the assertion has no AudienceRestriction")
	}
	c.pass("audience %s, until %s", c.sp.entityID, stamp(end))
	return end, nil
}

// one returns the only child of the name in the assertion namespace.
func one(el *etree.Element, tag string) (*etree.Element, error) {
	var found *etree.Element
	for _, x := range el.ChildElements() {
		if x.Tag != tag || x.NamespaceURI() != nsAssertion {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s twice in %s", tag, el.Tag)
		}
		found = x
	}
	if found == nil {
		return nil, fmt.Errorf("%s has no %s", el.Tag, tag)
	}
	return found, nil
}

// subject: a NameID, and a bearer confirmation that is for this ACS, answers
// this request, has an end and no beginning.
func (c *check) subject(el *etree.Element, auth *broker.Authentication) (time.Time, error) {
	sub, err := one(el, "Subject")
	if err != nil {
		return time.Time{}, err
	}
	name, err := one(sub, "NameID")
	if err != nil {
		return time.Time{}, err
	}
	if auth.NameID, err = leaf(name); err != nil {
		return time.Time{}, err
	}
	if auth.NameID == "" {
		return time.Time{}, errors.New("the NameID is empty")
	}
	if auth.NameIDFormat, err = checkText("Format", attr(name, "Format")); err != nil {
		return time.Time{}, err
	}
	if auth.LogoutHint, err = hint(name); err != nil {
		return time.Time{}, err
	}
	auth.Subject.ID = c.subjectID(name, auth.NameIDFormat, auth.NameID)
	last := errors.New("the subject has no bearer confirmation")
	if c.unsolicited {
		// All of them, not only the one that is taken: what was made for a
		// request is not to be had without it.
		for _, data := range sub.FindElements("./SubjectConfirmation/SubjectConfirmationData") {
			if err := c.answers(data, "confirmation"); err != nil {
				return time.Time{}, err
			}
		}
	}
	for _, conf := range sub.ChildElements() {
		if conf.Tag != "SubjectConfirmation" || conf.NamespaceURI() != nsAssertion || attr(conf, "Method") != bearer {
			continue
		}
		end, err := c.confirmation(conf)
		if err == nil {
			c.pass("%s NameID, lasting: %t, confirmed for %s until %s", short(auth.NameIDFormat), auth.Subject.ID != "", c.sp.acs, stamp(end))
			return end, nil
		}
		last = err
	}
	return time.Time{}, last
}

func (c *check) confirmation(conf *etree.Element) (time.Time, error) {
	data, err := one(conf, "SubjectConfirmationData")
	if err != nil {
		return time.Time{}, err
	}
	switch {
	case hasAttr(data, "NotBefore"):
		return time.Time{}, errors.New("the confirmation has a NotBefore")
	case attr(data, "Recipient") != c.sp.acs:
		return time.Time{}, fmt.Errorf("the confirmation is for %.200q and not for %q", attr(data, "Recipient"), c.sp.acs)
	}
	if err := c.answers(data, "confirmation"); err != nil {
		return time.Time{}, err
	}
	return c.window(data)
}

// subjectID decides whether a NameID is a lasting key of one person: persistent
// always, an e-mail address only in a domain the provider is authoritative for
// (without regard to case, ASCII only, so that no two letters fold into one).
// Not if it is qualified by somebody else (core 2.2.2): such a name is unique
// among theirs. Otherwise it is empty and identity.subject must say who it is.
func (c *check) subjectID(name *etree.Element, format, id string) string {
	if q := attr(name, "NameQualifier"); q != "" && q != c.idp.entityID {
		return ""
	}
	if q := attr(name, "SPNameQualifier"); q != "" && q != c.sp.entityID {
		return ""
	}
	switch format {
	case nameIDPersistent:
		return id
	case nameIDEmail:
		ascii := !strings.ContainsFunc(id, func(r rune) bool { return r > unicode.MaxASCII })
		local, domain, _ := strings.Cut(strings.ToLower(id), "@")
		if ascii && local != "" && slices.Contains(c.sp.c.EmailDomains, domain) {
			return strings.ToLower(id)
		}
	}
	return ""
}

func short(urn string) string { return urn[strings.LastIndexByte(urn, ':')+1:] }

// authnStatement: when and how the person authenticated, and, if a fresh
// authentication or a context was asked for, that it was given.
func (c *check) authnStatement(el *etree.Element, auth *broker.Authentication) error {
	st, err := one(el, "AuthnStatement")
	if err != nil {
		return err
	}
	if auth.AuthnInstant, err = instant(st, "AuthnInstant"); err != nil {
		return err
	}
	skew := c.sp.c.ClockSkew
	if auth.AuthnInstant.Sub(c.now) > skew {
		return fmt.Errorf("authenticated at %s, and our clock says %s", stamp(auth.AuthnInstant), stamp(c.now))
	}
	if c.request.ForceAuthn && auth.AuthnInstant.Before(c.request.CreatedAt.Add(-skew)) {
		return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not ask you to sign in afresh.").
			Fix("Sign out there, then try again.").
			Because(fmt.Errorf("saml: ForceAuthn was asked for at %s, AuthnInstant is %s", stamp(c.request.CreatedAt), stamp(auth.AuthnInstant)))
	}
	if auth.SessionIndex, err = checkText("SessionIndex", attr(st, "SessionIndex")); err != nil {
		return err
	}
	if hasAttr(st, "SessionNotOnOrAfter") {
		if auth.NotOnOrAfter, err = instant(st, "SessionNotOnOrAfter"); err != nil {
			return err
		}
		if !c.now.Before(auth.NotOnOrAfter.Add(skew)) {
			return fmt.Errorf("the session at the identity provider ended at %s", stamp(auth.NotOnOrAfter))
		}
	}
	context, err := one(st, "AuthnContext")
	if err != nil {
		return err
	}
	if ref := child(context, nsAssertion, "AuthnContextClassRef"); ref != nil {
		if auth.AuthnContext.ACR, err = leaf(ref); err != nil {
			return err
		}
	}
	auth.AuthnContext.AMR = auth.Claims[entraAMR]
	// Comparison is exact, so one of them it must be (core 3.3.2.2.1).
	if want := c.request.RequestedContext; len(want) > 0 && !slices.Contains(want, auth.AuthnContext.ACR) {
		return broker.Errorf(broker.CodeUnauthenticated, noContext).Fix(noContextRemedy).
			Because(fmt.Errorf("saml: asked for the context %q, got %q", want, auth.AuthnContext.ACR))
	}
	c.pass("at %s, context %s, methods %q", stamp(auth.AuthnInstant), auth.AuthnContext.ACR, auth.AuthnContext.AMR)
	return nil
}

// attributes reads every AttributeStatement (core 2.7.3). The key of a claim is
// the attribute's exact Name; some products write one Attribute per value, so
// values of one Name and NameFormat are joined. The FriendlyName is a second
// key, unless it is the Name of an attribute or the FriendlyName of another
// one: a claim never mixes attributes.
func (c *check) attributes(el *etree.Element) (broker.Claims, error) {
	claims := broker.Claims{}
	formats := map[string]string{}
	owners := map[string]string{} // FriendlyName to Name, "" when several have it
	for _, st := range el.ChildElements() {
		if st.Tag != "AttributeStatement" || st.NamespaceURI() != nsAssertion {
			continue
		}
		for _, at := range st.ChildElements() {
			if at.Tag != "Attribute" || at.NamespaceURI() != nsAssertion {
				return nil, fmt.Errorf("%s among the attributes", at.Tag)
			}
			name, err := checkText("an attribute's Name", attr(at, "Name"))
			if err != nil || name == "" || len(name) > maxName {
				return nil, errors.New("an attribute without a usable Name")
			}
			if f, seen := formats[name]; seen && f != attr(at, "NameFormat") {
				return nil, fmt.Errorf("attribute %.80q in two formats", name)
			}
			formats[name] = attr(at, "NameFormat")
			values, err := attributeValues(at)
			if err != nil {
				return nil, fmt.Errorf("attribute %.80q: %w", name, err)
			}
			claims[name] = append(claims[name], values...)
			if f, err := checkText("FriendlyName", attr(at, "FriendlyName")); err == nil && f != "" && len(f) <= maxName {
				if owner, seen := owners[f]; seen && owner != name {
					name = ""
				}
				owners[f] = name
			}
			if len(claims) > maxAttributes {
				return nil, fmt.Errorf("more than %d attributes", maxAttributes)
			}
		}
	}
	c.pass("%d attributes", len(claims))
	for friendly, name := range owners {
		if _, taken := formats[friendly]; !taken && name != "" {
			claims[friendly] = claims[name]
		}
	}
	return claims, nil
}

func attributeValues(at *etree.Element) ([]string, error) {
	children := at.ChildElements()
	values := make([]string, 0, len(children))
	for _, v := range children {
		if v.Tag != "AttributeValue" || v.NamespaceURI() != nsAssertion {
			return nil, fmt.Errorf("it holds %s", v.Tag)
		}
		// eduPersonTargetedID and its like wrap one NameID.
		if inner := v.ChildElements(); len(inner) == 1 && inner[0].Tag == "NameID" && inner[0].NamespaceURI() == nsAssertion {
			v = inner[0]
		}
		s, err := leaf(v)
		if err != nil {
			return nil, err
		}
		values = append(values, s)
	}
	return values, nil
}
