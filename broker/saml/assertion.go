package saml

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

const (
	bearer           = "urn:oasis:names:tc:SAML:2.0:cm:bearer" //nolint:gosec // G101: a URN
	nameIDEmail      = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	entraAMR         = "http://schemas.microsoft.com/claims/authnmethodsreferences"
	maxAttributes    = 200
	oldestInstantGap = 10 * time.Minute
)

// assertion checks a verified assertion as the browser SSO profile wants it
// (SAML profiles 4.1.4.2 and 4.1.4.3, core 2.3 to 2.7) and reads it.
func (c *check) assertion(el *etree.Element) (broker.Authentication, error) {
	if el.SelectAttrValue("Version", "") != "2.0" {
		return broker.Authentication{}, errors.New("the assertion's version is not 2.0")
	}
	id := el.SelectAttrValue("ID", "")
	if id == "" || len(id) > 256 {
		return broker.Authentication{}, errors.New("the assertion has no usable ID")
	}
	issuer := child(el, nsAssertion, "Issuer")
	if issuer == nil {
		return broker.Authentication{}, errors.New("the assertion has no Issuer")
	}
	if err := c.issuer(issuer); err != nil {
		return broker.Authentication{}, err
	}
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return broker.Authentication{}, err
	}
	if issued.Sub(c.now) > c.sp.c.ClockSkew || c.now.Sub(issued) > oldestInstantGap+c.sp.c.ClockSkew {
		return broker.Authentication{}, fmt.Errorf("the assertion was issued at %s, it is %s", issued, c.now)
	}
	c.trace.Pass("saml.issuer", "%s", c.idp.entityID)
	until, err := c.conditions(el)
	if err != nil {
		return broker.Authentication{}, err
	}
	auth := broker.Authentication{ReplayID: id, Subject: broker.Subject{Provider: c.sp.c.ID}}
	confirmedUntil, err := c.subject(el, &auth)
	if err != nil {
		return broker.Authentication{}, err
	}
	auth.ReplayExpires = confirmedUntil
	if until.After(confirmedUntil) {
		auth.ReplayExpires = until
	}
	auth.ReplayExpires = auth.ReplayExpires.Add(c.sp.c.ClockSkew)
	if err := c.authnStatement(el, &auth); err != nil {
		return broker.Authentication{}, err
	}
	if auth.Claims, err = attributes(el); err != nil {
		return broker.Authentication{}, err
	}
	auth.AuthnContext.AMR = auth.Claims[entraAMR]
	c.trace.Pass("saml.assertion", "%d attributes, context %s", len(auth.Claims), auth.AuthnContext.ACR)
	return auth, nil
}

func instant(el *etree.Element, name string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, el.SelectAttrValue(name, ""))
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
		return time.Time{}, fmt.Errorf("%s ended at %s, it is %s", el.Tag, end, c.now)
	}
	if el.SelectAttr("NotBefore") == nil {
		return end, nil
	}
	start, err := instant(el, "NotBefore")
	if err != nil {
		return time.Time{}, err
	}
	if c.now.Before(start.Add(-c.sp.c.ClockSkew)) || !start.Before(end) {
		return time.Time{}, fmt.Errorf("%s begins at %s and ends at %s, it is %s", el.Tag, start, end, c.now)
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
	c.trace.Pass("saml.conditions", "audience %s, until %s", c.sp.entityID, end.UTC().Format(time.RFC3339))
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
	auth.NameIDFormat = name.SelectAttrValue("Format", "")
	auth.Subject.ID = c.subjectID(auth.NameIDFormat, auth.NameID)
	last := errors.New("the subject has no bearer confirmation")
	for _, conf := range sub.ChildElements() {
		if conf.Tag != "SubjectConfirmation" || conf.NamespaceURI() != nsAssertion || conf.SelectAttrValue("Method", "") != bearer {
			continue
		}
		end, err := c.confirmation(conf)
		if err == nil {
			c.trace.Pass("saml.subject", "%s NameID, confirmed for %s", short(auth.NameIDFormat), c.sp.acs)
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
	case data.SelectAttr("NotBefore") != nil:
		return time.Time{}, errors.New("the confirmation has a NotBefore")
	case data.SelectAttrValue("Recipient", "") != c.sp.acs:
		return time.Time{}, fmt.Errorf("the confirmation is for %.200q and not for %q", data.SelectAttrValue("Recipient", ""), c.sp.acs)
	case data.SelectAttrValue("InResponseTo", "") != c.request.ID:
		return time.Time{}, fmt.Errorf("the confirmation answers %.60q and not our request", data.SelectAttrValue("InResponseTo", ""))
	}
	return c.window(data)
}

// subjectID decides whether a NameID is a lasting key: persistent always, an
// e-mail address only in a domain the provider is authoritative for. Otherwise
// it is empty and identity.subject must say what is.
func (c *check) subjectID(format, id string) string {
	switch format {
	case nameIDPersistent:
		return id
	case nameIDEmail:
		_, domain, _ := strings.Cut(strings.ToLower(id), "@")
		if domain != "" && slices.Contains(c.sp.c.EmailDomains, domain) {
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
		return fmt.Errorf("authenticated at %s, which is to come", auth.AuthnInstant)
	}
	if c.request.ForceAuthn && auth.AuthnInstant.Before(c.request.CreatedAt.Add(-skew)) {
		return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not ask you to sign in afresh.").
			Fix("Sign out there, then try again.").Because(fmt.Errorf("saml: ForceAuthn asked, AuthnInstant %s", auth.AuthnInstant))
	}
	auth.SessionIndex = st.SelectAttrValue("SessionIndex", "")
	if st.SelectAttr("SessionNotOnOrAfter") != nil {
		if auth.NotOnOrAfter, err = instant(st, "SessionNotOnOrAfter"); err != nil {
			return err
		}
		if !c.now.Before(auth.NotOnOrAfter.Add(skew)) {
			return errors.New("the session at the identity provider is over")
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
	if want := c.request.RequestedContext; len(want) > 0 && !slices.Contains(want, auth.AuthnContext.ACR) {
		// Not refused here: another proof (amr) may do. The mapper judges.
		c.trace.Pass("saml.context", "asked for %s, got %s", strings.Join(want, " or "), auth.AuthnContext.ACR)
	}
	return nil
}

// attributes reads every AttributeStatement. A value is text; the key is the
// attribute's exact Name, and its FriendlyName too unless that is the Name of
// another attribute.
func attributes(el *etree.Element) (broker.Claims, error) {
	claims := broker.Claims{}
	friendly := broker.Claims{}
	for _, st := range el.ChildElements() {
		if st.Tag != "AttributeStatement" || st.NamespaceURI() != nsAssertion {
			continue
		}
		for _, at := range st.ChildElements() {
			if at.Tag != "Attribute" || at.NamespaceURI() != nsAssertion {
				return nil, fmt.Errorf("%s among the attributes", at.Tag)
			}
			name := at.SelectAttrValue("Name", "")
			if name == "" || len(name) > 512 {
				return nil, errors.New("an attribute without a usable Name")
			}
			if _, twice := claims[name]; twice {
				return nil, fmt.Errorf("attribute %.80q twice", name)
			}
			values, err := attributeValues(at)
			if err != nil {
				return nil, fmt.Errorf("attribute %.80q: %w", name, err)
			}
			claims[name] = values
			if f := at.SelectAttrValue("FriendlyName", ""); f != "" && len(f) <= 512 {
				friendly[f] = append(friendly[f], values...)
			}
			if len(claims) > maxAttributes {
				return nil, fmt.Errorf("more than %d attributes", maxAttributes)
			}
		}
	}
	for f, v := range friendly {
		if _, taken := claims[f]; !taken {
			claims[f] = v
		}
	}
	return claims, nil
}

func attributeValues(at *etree.Element) ([]string, error) {
	values := []string{}
	for _, v := range at.ChildElements() {
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
