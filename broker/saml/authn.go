package saml

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

const (
	entraAMR      = "http://schemas.microsoft.com/claims/authnmethodsreferences"
	maxStatements = 10
)

const (
	noContext       = "Your identity provider did not do the second factor that was asked for."
	noContextRemedy = "Set up a second factor at your identity provider, then sign in again."
)

// statement is one AuthnStatement (SAML core 2.7.2).
type statement struct {
	at, end time.Time // end is zero if none is said
	context string    // class reference, "" if none can be read
	session string    // "" if none can be read
}

// authnStatement: when and how the person authenticated, and, if a fresh
// authentication or a context was asked for, that it was given.
//
// There may be several statements (profiles 4.1.4.2). Each of them must hold,
// and the earliest end counts. Of the others the newest counts, where a context
// was asked for the newest of such a context: how the person signed in is never
// put together from two of them.
func (c *check) authnStatement(el *etree.Element, auth *broker.Authentication) error {
	var all []statement
	for _, st := range children(el, nsAssertion, "AuthnStatement") {
		if len(all) == maxStatements {
			return fmt.Errorf("more than %d AuthnStatements", maxStatements)
		}
		s, err := c.statement(st)
		if err != nil {
			return err
		}
		if all = append(all, s); !s.end.IsZero() && (auth.NotOnOrAfter.IsZero() || s.end.Before(auth.NotOnOrAfter)) {
			auth.NotOnOrAfter = s.end
		}
	}
	if len(all) == 0 {
		return errors.New("the assertion has no AuthnStatement")
	}
	// Comparison is exact, so one of them it must be (core 3.3.2.2.1).
	fitting := all
	if want := c.request.RequestedContext; len(want) > 0 {
		fitting = slices.DeleteFunc(slices.Clone(all), func(s statement) bool { return !slices.Contains(want, s.context) })
		if len(fitting) == 0 {
			return broker.Errorf(broker.CodeUnauthenticated, noContext).Fix(noContextRemedy).
				Because(fmt.Errorf("saml: asked for the context %q, got %q", want, all[0].context))
		}
	}
	counts := fitting[0]
	for _, s := range fitting[1:] {
		if s.at.After(counts.at) {
			counts = s
		}
	}
	if c.request.ForceAuthn && counts.at.Before(c.request.CreatedAt.Add(-c.sp.c.ClockSkew)) {
		return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not ask you to sign in afresh.").
			Fix("Sign out there, then try again.").
			Because(fmt.Errorf("saml: ForceAuthn was asked for at %s, AuthnInstant is %s", stamp(c.request.CreatedAt), stamp(counts.at)))
	}
	// There are providers that write the time of the answer, also when they
	// asked for nothing. What was not asked for says nothing about freshness.
	freshness := "not counted, as no fresh sign-in was asked for"
	if c.request.ForceAuthn || c.sp.c.TrustInstant {
		auth.AuthnInstant, freshness = counts.at, "counted"
	}
	auth.SessionIndex = counts.session
	auth.AuthnContext = broker.AuthnContext{ACR: counts.context, AMR: auth.Claims[entraAMR]}
	c.pass("%d statements; at %s (%s), context %s, methods %q", len(all), stamp(counts.at), freshness, counts.context, auth.AuthnContext.AMR)
	return nil
}

// statement reads one and holds it to its times.
func (c *check) statement(st *etree.Element) (s statement, err error) {
	if s.at, err = instant(st, "AuthnInstant"); err != nil {
		return s, err
	}
	skew := c.sp.c.ClockSkew
	if s.at.Sub(c.now) > skew {
		return s, fmt.Errorf("authenticated at %s, and our clock says %s", stamp(s.at), stamp(c.now))
	}
	if hasAttr(st, "SessionNotOnOrAfter") {
		if s.end, err = instant(st, "SessionNotOnOrAfter"); err != nil {
			return s, err
		}
		if !c.now.Before(s.end.Add(skew)) {
			return s, fmt.Errorf("the session at the identity provider ended at %s, and our clock says %s", stamp(s.end), stamp(c.now))
		}
	}
	context, err := one(st, "AuthnContext")
	if err != nil {
		return s, err
	}
	// What cannot be read proves nothing, and is in nobody's way.
	if ref := child(context, nsAssertion, "AuthnContextClassRef"); ref != nil {
		if s.context, err = leaf(ref); err != nil {
			c.pass("left out: %v", err)
		}
	}
	if s.session, err = checkText("SessionIndex", attr(st, "SessionIndex")); err != nil {
		c.pass("left out: %v", err)
	}
	return s, nil
}
