package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// TestPresets ensures that each preset proves what is documented and nothing
// less, for each protocol, and that own lists add to it.
func TestPresets(t *testing.T) {
	s, o := &SAML{}, &OIDC{}
	tests := []struct {
		preset string
		saml   bool
		c      broker.AuthnContext
		claims broker.Claims
		want   bool
	}{
		{"okta", false, broker.AuthnContext{AMR: []string{"pwd", "mfa"}}, nil, true},
		{"okta", false, broker.AuthnContext{AMR: []string{"pwd"}}, nil, false},
		{"okta", true, broker.AuthnContext{}, broker.Claims{"session.amr": {"pwd", "mfa"}}, true},
		{"entra", false, broker.AuthnContext{AMR: []string{"mfa"}}, nil, true},
		{"entra", true, broker.AuthnContext{}, broker.Claims{microsoftMethods: {"x", microsoftMultiple}}, true},
		{"entra", true, broker.AuthnContext{}, broker.Claims{"other": {microsoftMultiple}}, false},
		{"adfs", true, broker.AuthnContext{}, broker.Claims{microsoftMethods: {microsoftMultiple}}, true},
		{"keycloak", false, broker.AuthnContext{ACR: "2"}, nil, true},
		{"keycloak", false, broker.AuthnContext{ACR: "1"}, nil, false},
		{"google", false, broker.AuthnContext{ACR: "2", AMR: []string{"mfa"}}, nil, false},
	}
	for _, tt := range tests {
		p := IdentityProvider{OIDC: o, MFA: MFA{Preset: tt.preset}}
		if tt.saml {
			p = IdentityProvider{SAML: s, MFA: MFA{Preset: tt.preset}}
		}
		if got := p.Policy().Satisfied(tt.c, tt.claims); got != tt.want {
			t.Errorf("%s saml=%t %+v %v: %t", tt.preset, tt.saml, tt.c, tt.claims, got)
		}
	}
	own := IdentityProvider{OIDC: o, MFA: MFA{Preset: "okta", ACR: Proofs{{"phr"}}, Claims: map[string]Proofs{"x": {{"y"}}}}}
	for _, c := range []struct {
		c      broker.AuthnContext
		claims broker.Claims
	}{{c: broker.AuthnContext{AMR: []string{"mfa"}}}, {c: broker.AuthnContext{ACR: "phr"}}, {claims: broker.Claims{"x": {"y"}}}} {
		if !own.Policy().Satisfied(c.c, c.claims) {
			t.Errorf("merged: %+v is no proof", c)
		}
	}
}

// TestCheckMFA ensures that what cannot work stops the start.
func TestCheckMFA(t *testing.T) {
	tests := []struct {
		name string
		p    IdentityProvider
		want string // "" for no problem
	}{
		{"google alone", IdentityProvider{SAML: &SAML{}, MFA: MFA{Preset: "google"}}, "own_factor"},
		{"google with own factor", IdentityProvider{SAML: &SAML{}, MFA: MFA{Preset: "google", OwnFactor: "allowed"}}, ""},
		{"keycloak by saml", IdentityProvider{SAML: &SAML{}, MFA: MFA{Preset: "keycloak"}}, "OpenID Connect"},
		{"unknown preset", IdentityProvider{OIDC: &OIDC{}, MFA: MFA{Preset: "okt"}}, "okta"},
		{"no day", IdentityProvider{OIDC: &OIDC{}, MFA: MFA{OwnFactor: "required", EnrolUntil: "31.12.2026"}}, "no day"},
		{"a day without enforcement", IdentityProvider{OIDC: &OIDC{}, MFA: MFA{OwnFactor: "allowed", EnrolUntil: "2026-12-31"}}, "required"},
		{"programs without any proof", IdentityProvider{OIDC: &OIDC{}, MFA: MFA{Programs: true}}, "no program"},
		{"programs with own factor", IdentityProvider{OIDC: &OIDC{}, MFA: MFA{Programs: true, OwnFactor: "allowed"}}, ""},
		{"required there and here", IdentityProvider{OIDC: &OIDC{}, MFA: MFA{OwnFactor: "allowed", Required: true}}, "take one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			checkMFA(func(path, format string, args ...any) { got = append(got, path+": "+fmt.Sprintf(format, args...)) }, "mfa", tt.p)
			if all := strings.Join(got, "\n"); tt.want == "" && all != "" || !strings.Contains(all, tt.want) || tt.want != "" && all == "" {
				t.Errorf("problems %q, want %q", all, tt.want)
			}
		})
	}
	p := IdentityProvider{OIDC: &OIDC{}, MFA: MFA{OwnFactor: "required", EnrolUntil: "2026-12-31"}}
	if got := p.Policy().EnrolUntil; !got.Equal(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("enforced from %s", got)
	}
}
