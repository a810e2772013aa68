package config

import (
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The claims and values of Microsoft's products (claim type of the
// authentication methods, and the method that stands for several).
const (
	microsoftMethods  = "http://schemas.microsoft.com/claims/authnmethodsreferences"
	microsoftMultiple = "http://schemas.microsoft.com/claims/multipleauthn"
)

// preset is what a product's documents say of its proof, for each protocol.
// A missing policy means that the documents name no proof that is there
// without being configured; why says what to do about it.
type preset struct {
	saml, oidc *broker.MFAPolicy
	why        string
}

func one(values ...string) [][]string {
	var out [][]string
	for _, v := range values {
		out = append(out, []string{v})
	}
	return out
}

func presets() map[string]preset {
	microsoft := &broker.MFAPolicy{Claims: map[string][][]string{microsoftMethods: one(microsoftMultiple)}}
	return map[string]preset{
		// ID tokens name "mfa" when two kinds of factor were used. SAML answers
		// do so only in an attribute that is set up with the value session.amr.
		"okta": {
			oidc: &broker.MFAPolicy{AMR: one("mfa")},
			saml: &broker.MFAPolicy{Claims: map[string][][]string{"session.amr": one("mfa")}},
		},
		"entra": {saml: microsoft, oidc: &broker.MFAPolicy{AMR: one("mfa")}},
		"adfs": {
			saml: microsoft,
			why:  "what AD FS says in an ID token depends on its claim rules: list the values under amr, acr or claims",
		},
		// The level of the step-up flow of its Server Administration Guide, which
		// has to be set up in the realm.
		"keycloak": {
			oidc: &broker.MFAPolicy{ACR: one("2")},
			why:  "Keycloak's SAML answers name the level of a sign-in as you did in the ACR to LoA mapping: list that under authn_context, use OpenID Connect, or set own_factor",
		},
		"google": {why: "Google does not say whether a second factor was used: set own_factor to allowed or required"},
	}
}

// Policy returns the preset's and the own proof lists together, as the broker
// judges them.
func (p IdentityProvider) Policy() broker.MFAPolicy {
	m := p.MFA
	out := broker.MFAPolicy{Required: m.Required, Programs: m.Programs, Own: broker.OwnFactor(m.OwnFactor)}
	if m.OwnFactor == "off" {
		out.Own = broker.OwnFactorOff
	}
	if day, err := time.Parse(time.DateOnly, m.EnrolUntil); err == nil {
		out.EnrolUntil = day.AddDate(0, 0, 1)
	}
	var base broker.MFAPolicy
	if known := presets()[m.Preset].of(p); known != nil {
		base = *known
	}
	out.AMR = slices.Concat([][]string(m.AMR), base.AMR)
	out.ACR = slices.Concat([][]string(m.ACR), base.ACR)
	out.AuthnContext = slices.Concat([][]string(m.AuthnContext), base.AuthnContext)
	if len(m.Claims)+len(base.Claims) > 0 {
		out.Claims = map[string][][]string{}
		for name, proofs := range m.Claims {
			out.Claims[name] = slices.Clone([][]string(proofs))
		}
		for name, proofs := range base.Claims {
			out.Claims[name] = append(out.Claims[name], proofs...)
		}
	}
	return out
}

func (x preset) of(p IdentityProvider) *broker.MFAPolicy {
	if p.SAML != nil {
		return x.saml
	}
	return x.oidc
}

func checkMFA(bad badFunc, at string, p IdentityProvider) {
	m := p.MFA
	policy := p.Policy()
	if m.Preset != "" {
		known, ok := presets()[m.Preset]
		switch {
		case !ok:
			oneOf(bad, at+".preset", m.Preset, "okta", "entra", "google", "adfs", "keycloak")
		case !policy.Proves() && policy.Own == broker.OwnFactorOff:
			bad(at+".preset", "%s", known.why)
		}
	}
	for name := range m.Claims {
		if name == "" {
			bad(at+".claims", "a claim needs a name")
		}
	}
	oneOf(bad, at+".own_factor", m.OwnFactor, "off", "allowed", "required")
	if m.EnrolUntil != "" {
		if _, err := time.Parse(time.DateOnly, m.EnrolUntil); err != nil {
			bad(at+".enrol_until", "%q is no day: write it like 2026-12-31", m.EnrolUntil)
		}
		if m.OwnFactor != "required" {
			bad(at+".enrol_until", "it says until when people may enrol before own_factor: required is enforced, so it goes with that only")
		}
	}
	if m.Programs && !policy.Proves() && policy.Own == broker.OwnFactorOff {
		bad(at+".programs", "nothing proves a second factor here, so that no program could be let in: list proofs, or set own_factor")
	}
	if m.Required && policy.Own != broker.OwnFactorOff {
		bad(at+".required", "it refuses sign-ins without the identity provider's proof before own_factor can be used: take one of the two")
	}
}
