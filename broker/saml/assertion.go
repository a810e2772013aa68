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
	bearer          = "urn:oasis:names:tc:SAML:2.0:cm:bearer" //nolint:gosec // G101: a URN
	nameIDEmail     = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	nameIDTransient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
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
		{"saml.attributes", func() error { return c.attributes(el, &auth) }},
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
	if attr(el, name) == "" {
		return time.Time{}, fmt.Errorf("%s has no %s", el.Tag, name)
	}
	t, err := dateTime(attr(el, name))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s of %s: %w", name, el.Tag, err)
	}
	return t, nil
}

// window checks NotBefore and NotOnOrAfter, with the provider's skew on both
// sides. Either may be absent; the end is zero then.
func (c *check) window(el *etree.Element) (end time.Time, err error) {
	if hasAttr(el, "NotOnOrAfter") {
		if end, err = instant(el, "NotOnOrAfter"); err != nil {
			return time.Time{}, err
		}
		if !c.now.Before(end.Add(c.sp.c.ClockSkew)) {
			return time.Time{}, fmt.Errorf("%s ended at %s, and our clock says %s", el.Tag, stamp(end), stamp(c.now))
		}
	}
	if !hasAttr(el, "NotBefore") {
		return end, nil
	}
	start, err := instant(el, "NotBefore")
	if err != nil {
		return time.Time{}, err
	}
	if c.now.Before(start.Add(-c.sp.c.ClockSkew)) {
		return time.Time{}, fmt.Errorf("%s begins at %s, and our clock says %s", el.Tag, stamp(start), stamp(c.now))
	}
	if !end.IsZero() && !start.Before(end) {
		return time.Time{}, fmt.Errorf("%s begins at %s and ends at %s", el.Tag, stamp(start), stamp(end))
	}
	return end, nil
}

// conditions: one Conditions element, whose end the confirmation's may be in the
// place of (SAML core 2.5.1); every AudienceRestriction must name us,
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
	until := "the end of the confirmation"
	if !end.IsZero() {
		until = stamp(end)
	}
	c.pass("audience %s, until %s", c.sp.entityID, until)
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

// subject: a bearer confirmation that is for this ACS, answers this request, has
// an end and no beginning; and a NameID, if there is one: without it,
// identity.subject must say who it is.
func (c *check) subject(el *etree.Element, auth *broker.Authentication) (time.Time, error) {
	sub, err := one(el, "Subject")
	if err != nil {
		return time.Time{}, err
	}
	if err := c.nameID(sub, auth); err != nil {
		return time.Time{}, err
	}
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
			c.pass("NameID: %t, of the format %q, lasting: %t; confirmed for %s until %s",
				auth.NameID != "", short(auth.NameIDFormat), auth.Subject.ID != "", c.sp.acs, stamp(end))
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
	case collapse(attr(data, "Recipient")) != c.sp.acs:
		return time.Time{}, fmt.Errorf("the confirmation is for %.200q and not for %q", attr(data, "Recipient"), c.sp.acs)
	}
	if err := c.answers(data, "confirmation"); err != nil {
		return time.Time{}, err
	}
	if !hasAttr(data, "NotOnOrAfter") {
		return time.Time{}, errors.New("the confirmation has no NotOnOrAfter")
	}
	return c.window(data)
}

// nameID reads how the provider names the person (SAML core 2.2.3), if it does.
func (c *check) nameID(sub *etree.Element, auth *broker.Authentication) error {
	name, err := c.optional(sub, "NameID")
	if err != nil {
		return err
	}
	if name == nil {
		if name = c.decryptedID(sub); name == nil {
			return nil
		}
	}
	if auth.NameID, err = leaf(name); err != nil || auth.NameID == "" {
		return err
	}
	if auth.NameIDFormat, err = checkText("Format", attr(name, "Format")); err != nil {
		return err
	}
	if auth.LogoutHint, err = hint(name); err != nil {
		return err
	}
	auth.Subject.ID = c.subjectID(name, auth.NameIDFormat, auth.NameID)
	if auth.Subject.ID == "" && c.ours(name) && auth.NameIDFormat != nameIDTransient && auth.NameIDFormat != nameIDEmail {
		auth.GivenID = auth.NameID
	}
	return nil
}

// optional is [one] where there may be none.
func (c *check) optional(el *etree.Element, tag string) (*etree.Element, error) {
	if child(el, nsAssertion, tag) == nil {
		return nil, nil
	}
	return one(el, tag)
}

// decryptedID returns the NameID inside an EncryptedID (SAML core 2.2.4), nil
// if there is none that can be read.
func (c *check) decryptedID(sub *etree.Element) *etree.Element {
	el := child(sub, nsAssertion, "EncryptedID")
	if el == nil {
		return nil
	}
	name, err := c.sp.decrypt(el, nameNameID)
	if err != nil {
		c.pass("the EncryptedID is left out: %v", err)
		return nil
	}
	return name
}

// ours reports whether a NameID is qualified by nobody but the two of us (core
// 2.2.2): another one's name is unique among theirs.
func (c *check) ours(name *etree.Element) bool {
	q, s := attr(name, "NameQualifier"), attr(name, "SPNameQualifier")
	return (q == "" || q == c.idp.entityID) && (s == "" || s == c.sp.entityID)
}

// subjectID decides whether a NameID is a lasting key of one person: persistent
// always, an e-mail address only in a domain the provider is authoritative for
// (without regard to case, ASCII only, so that no two letters fold into one).
// Not if it is qualified by somebody else. Otherwise it is empty and
// identity.subject must say who it is.
func (c *check) subjectID(name *etree.Element, format, id string) string {
	if !c.ours(name) {
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
