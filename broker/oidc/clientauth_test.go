package oidc_test

import (
	"crypto"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestClientAuthHasItsProof ensures that each method has the proof it needs and
// none beside: a secret that is never used may hide that another one is.
func TestClientAuthHasItsProof(t *testing.T) {
	secret, none := broker.NewSecret(strings.Repeat("s", 32)), broker.Secret{}
	short := broker.NewSecret(strings.Repeat("s", 31))
	const methods = "client_secret_basic client_secret_post client_secret_jwt private_key_jwt none"
	for _, tt := range []struct {
		name   string
		secret broker.Secret
		key    crypto.Signer
		taken  string // by these methods
	}{
		{"a secret", secret, nil, "client_secret_basic client_secret_post client_secret_jwt"},
		{"a secret too short to sign", short, nil, "client_secret_basic client_secret_post"},
		{"a key", none, ecKey(), "private_key_jwt"},
		{"both", secret, ecKey(), ""},
		{"neither", none, nil, "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			for m := range strings.FieldsSeq(methods) {
				_, err := oidc.New(p.config(func(c *oidc.Config) {
					c.ClientAuth, c.ClientSecret, c.ClientKey = oidc.ClientAuth(m), tt.secret, tt.key
				}))
				if taken := " " + tt.taken + " "; (err == nil) != strings.Contains(taken, " "+m+" ") {
					t.Errorf("%s: %v", m, err)
				}
			}
		})
	}
}

// TestClientKeyOfAnotherKind ensures that a key which no algorithm is known for
// is refused at the start, and is not published.
func TestClientKeyOfAnotherKind(t *testing.T) {
	p := newOP(t)
	for name, key := range map[string]crypto.PublicKey{"a secret": []byte(strings.Repeat("s", 32)), "nothing": nil, "weak": weakKey().Public()} {
		if _, err := oidc.New(p.config(func(c *oidc.Config) { c.ClientSecret, c.ClientKey, c.ClientKeyID = broker.Secret{}, broken{key}, "k" })); err == nil {
			t.Errorf("%s: taken", name)
		}
		rp := p.party(t, func(c *oidc.Config) {
			c.ClientSecret, c.ClientKey, c.ClientKeyID = broker.Secret{}, ecKey(), "now"
			c.ClientKeys = []oidc.PublicKey{{ID: "next", Key: key}}
		})
		if keys := published(t, rp); len(keys) != 1 || keys[0].KeyID != "now" {
			t.Errorf("%s: published %+v", name, keys)
		}
	}
}

// TestClientAuthAsConfigured ensures that a method which is configured is used
// whatever the provider's document offers.
func TestClientAuthAsConfigured(t *testing.T) {
	p := newOP(t)
	p.discovery["token_endpoint_auth_methods_supported"] = []string{"tls_client_auth"}
	if _, err := p.party(t, func(c *oidc.Config) { c.ClientAuth = oidc.AuthPost }).Begin(t.Context(), request()); err != nil {
		t.Error(err)
	}
}

// TestNothingIsSentWithoutProof ensures that neither a request nor a refresh
// token goes out where the client assertion that belongs to it cannot be made.
func TestNothingIsSentWithoutProof(t *testing.T) {
	p := newOP(t)
	p.discovery["require_pushed_authorization_requests"], p.discovery["pushed_authorization_request_endpoint"] = true, p.URL+"/token"
	p.discovery["revocation_endpoint"] = p.URL + "/token"
	rp := p.party(t, func(c *oidc.Config) { c.ClientSecret, c.ClientKey = broker.Secret{}, broken{ecKey().Public()} })
	if _, err := rp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), "client assertion") {
		t.Errorf("pushed: %v", err)
	}
	trace := &broker.Trace{}
	r := broker.LogoutRequest{State: "s", Tokens: broker.Tokens{RefreshToken: broker.NewSecret("rt")}}
	if _, err := rp.BeginLogout(broker.WithTrace(t.Context(), trace), r); err != nil {
		t.Errorf("the sign-out does not go on: %v", err)
	}
	if steps := trace.Steps(); len(steps) == 0 || steps[0].OK || !strings.Contains(steps[0].Detail, "not revoked") {
		t.Errorf("%+v", steps)
	}
	if len(p.forms) != 0 {
		t.Errorf("sent: %v", p.forms)
	}
}
