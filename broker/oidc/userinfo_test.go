package oidc_test

import (
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestSignedUserInfo ensures that a signed answer about a person is taken from
// the configured issuer and for us alone, whoever of the provider's keys signed
// it: a provider with many tenants signs for all of them with the same keys.
func TestSignedUserInfo(t *testing.T) {
	signed := func(name string, v any) func(*op) {
		return func(p *op) {
			claims := map[string]any{"iss": p.URL, "aud": "rolegate", "sub": "alice-1", "department": "ops"}
			if claims[name] = v; v == nil {
				delete(claims, name)
			}
			p.userinfoRaw = p.sign(claims)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*op)
		want   broker.Code // "" where it is taken
	}{
		{"as it should be", signed("email", "alice@example.com"), ""},
		{"one of several audiences", signed("aud", []string{"other", "rolegate"}), ""},
		{"plain, with dots in it", func(p *op) { p.userinfoRaw = ` {"sub":"alice-1","department":"ops","site":"a.b.c"}` }, ""},
		{"attack: another issuer", signed("iss", "https://evil.example"), broker.CodeUnauthenticated},
		{"attack: an issuer with a slash", func(p *op) { signed("iss", p.URL+"/")(p) }, broker.CodeUnauthenticated},
		{"attack: no issuer", signed("iss", nil), broker.CodeUnauthenticated},
		{"attack: two issuers", func(p *op) { signed("iss", []string{p.URL, "https://evil.example"})(p) }, broker.CodeUnauthenticated},
		{"attack: another audience", signed("aud", "other"), broker.CodeUnauthenticated},
		{"attack: no audience", signed("aud", nil), broker.CodeUnauthenticated},
		{"an audience that cannot be read", signed("aud", []any{"rolegate", map[string]any{}}), broker.CodeUnauthenticated},
		{"attack: about somebody else", signed("sub", "mallory"), broker.CodeUnauthenticated},
		{"attack: a logout token by its type", func(p *op) {
			p.typ = "logout+jwt"
			signed("x", "y")(p)
			p.typ = ""
		}, broker.CodeUnauthenticated},
		{"keys that cannot be fetched", func(p *op) {
			p.jwks = nil
			other := &op{key: jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey2()}, keyID: "k2"}
			p.userinfoRaw = other.sign(map[string]any{"iss": p.URL, "aud": "rolegate", "sub": "alice-1"})
		}, broker.CodeUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			rp := p.party(t, func(c *oidc.Config) { c.UserInfo = true })
			if err := rp.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			tt.change(p)
			got, err := rp.Finish(t.Context(), request(), callback())
			if tt.want == "" {
				if err != nil || got.Claims.First("department") != "ops" {
					t.Errorf("%v, %v", err, got.Claims)
				}
				return
			}
			if err == nil || broker.CodeOf(err) != tt.want || got.Subject.ID != "" {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestUserInfoBesideUnreadable ensures that a claim of the token which cannot be
// read takes its members from userinfo, and no other claim.
func TestUserInfoBesideUnreadable(t *testing.T) {
	p := newOP(t)
	p.nonce, p.claims["org"] = "nonce-1", []any{map[string]any{"unit": "a"}}
	p.userinfo["org"] = map[string]any{"unit": "admins"}
	p.userinfo["organization"] = "example"
	got, err := p.party(t, func(c *oidc.Config) { c.UserInfo = true }).Finish(t.Context(), request(), callback())
	if err != nil {
		t.Fatal(err)
	}
	if got.Claims["org.unit"] != nil || got.Claims.First("organization") != "example" || got.Claims.First("department") != "ops" {
		t.Errorf("%v", got.Claims)
	}
}
