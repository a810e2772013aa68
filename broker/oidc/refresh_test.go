package oidc_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

func TestRefreshTokens(t *testing.T) {
	alice := broker.Subject{Provider: "corp", ID: "alice-1"}
	old := broker.Tokens{IDToken: broker.NewSecret("old"), RefreshToken: broker.NewSecret("planted-refresh")}
	offline := func(c *oidc.Config) { c.Offline = true }
	t.Run("kept at sign-in", func(t *testing.T) {
		p := newOP(t)
		p.nonce = "nonce-1"
		rp := p.party(t, offline)
		got, err := rp.Finish(t.Context(), request(), callback())
		if err != nil || got.Tokens.IDToken.IsZero() || got.Tokens.RefreshToken.Reveal() != "rt-1" || got.Tokens.IDExpires.IsZero() {
			t.Errorf("%+v %v", got.Tokens, err)
		}
	})
	t.Run("rotated", func(t *testing.T) {
		p := newOP(t)
		p.token = map[string]any{"refresh_token": "rt-2"}
		got, err := p.party(t, offline).RefreshTokens(t.Context(), alice, old)
		if err != nil || got.RefreshToken.Reveal() != "rt-2" || got.IDToken.IsZero() {
			t.Errorf("%+v %v", got, err)
		}
		if f := p.forms[0]; f.Get("grant_type") != "refresh_token" || f.Get("refresh_token") != "planted-refresh" {
			t.Errorf("%v", f)
		}
	})
	t.Run("not rotated", func(t *testing.T) {
		p := newOP(t)
		p.token = map[string]any{"refresh_token": nil}
		got, err := p.party(t, offline).RefreshTokens(t.Context(), alice, old)
		if err != nil || got.RefreshToken.Reveal() != "planted-refresh" {
			t.Errorf("%+v %v", got, err)
		}
	})
	for name, change := range map[string]func(*op){
		"another subject":       func(p *op) { p.claims["sub"] = "mallory" },
		"another audience":      func(p *op) { p.claims["aud"] = "other" },
		"signed by another key": func(p *op) { p.key.Key = rsaKey2() },
		"expired": func(p *op) {
			p.claims["iat"], p.claims["exp"] = time.Now().Add(-2*time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
		},
		"no ID token":    func(p *op) { p.token = map[string]any{"id_token": nil} },
		"another issuer": func(p *op) { p.claims["iss"] = "https://evil.example" },
		"revoked": func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 400, map[string]any{"error": "invalid_grant"})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			change(p)
			got, err := p.party(t, offline).RefreshTokens(t.Context(), alice, old)
			if broker.CodeOf(err) != broker.CodeUnauthenticated || !got.IDToken.IsZero() || strings.Contains(err.Error(), "planted") || !strings.Contains(broker.Message(err), "did not renew") {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	t.Run("private_key_jwt", func(t *testing.T) {
		p := newOP(t)
		rp := p.party(t, func(c *oidc.Config) { c.Offline, c.ClientSecret, c.ClientKey = true, broker.Secret{}, ecKey() })
		if _, err := rp.RefreshTokens(t.Context(), alice, old); err != nil {
			t.Fatal(err)
		}
		f := p.forms[0]
		if f.Get("grant_type") != "refresh_token" || f.Get("refresh_token") != "planted-refresh" || f.Get("client_assertion") == "" || f.Get("code") != "" || f.Has("redirect_uri") {
			t.Errorf("%v", f)
		}
		if keys := published(t, rp); len(keys) != 1 || keys[0].KeyID == "" || keys[0].Algorithm != "ES256" || !keys[0].IsPublic() {
			t.Errorf("published: %+v", keys)
		}
	})
	t.Run("provider down", func(t *testing.T) {
		p := newOP(t)
		p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }
		if _, err := p.party(t, offline).RefreshTokens(t.Context(), alice, old); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%v", err)
		}
	})
	t.Run("provider not known yet", func(t *testing.T) {
		p := newOP(t)
		p.discovery["issuer"] = "https://other.example"
		if _, err := p.party(t, offline).RefreshTokens(t.Context(), alice, old); broker.CodeOf(err) != broker.CodeUnavailable || len(p.forms) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("nothing to refresh with", func(t *testing.T) {
		p := newOP(t)
		if _, err := p.party(t, offline).RefreshTokens(t.Context(), alice, broker.Tokens{}); broker.CodeOf(err) != broker.CodeUnauthenticated || len(p.forms) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("a subject of another provider", func(t *testing.T) {
		p := newOP(t)
		if _, err := p.party(t, offline).RefreshTokens(t.Context(), broker.Subject{Provider: "other", ID: "alice-1"}, old); err == nil || len(p.forms) != 0 {
			t.Errorf("%v", err)
		}
	})
}
