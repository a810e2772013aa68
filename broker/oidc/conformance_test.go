package oidc_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestNegativeModules holds the negative modules of the OpenID Foundation's
// relying-party plans (basic, config, refresh token, and those of FAPI 2 that
// concern a client) by their names. Each must end without a person.
func TestNegativeModules(t *testing.T) {
	unknownES := func(p *op) {
		p.key = jose.SigningKey{Algorithm: jose.ES256, Key: ecKey()}
		p.jwks = append(p.jwks, jose.JSONWebKey{Key: ecKey().Public(), KeyID: "es", Use: "sig"})
		p.keyID = "es"
		sign := p.sign
		p.mint = func(claims map[string]any) string {
			raw := sign(claims)
			cut := strings.LastIndexByte(raw, '.') + 1
			sig, err := base64.RawURLEncoding.DecodeString(raw[cut:])
			if err != nil {
				panic(err)
			}
			sig[5] ^= 1
			return raw[:cut] + base64.RawURLEncoding.EncodeToString(sig)
		}
	}
	for _, tt := range []struct {
		name   string
		code   broker.Code // "" means unauthenticated
		op     func(*op)
		config func(*oidc.Config)
		form   func(url.Values)
	}{
		{name: "oidcc-client-test-invalid-iss", op: func(p *op) { p.claims["iss"] = "https://other.example" }},
		{name: "oidcc-client-test-missing-sub", op: func(p *op) { p.claims["sub"] = nil }},
		{name: "oidcc-client-test-invalid-aud", op: func(p *op) { p.claims["aud"] = "other" }},
		{name: "oidcc-client-test-missing-aud", op: func(p *op) { p.claims["aud"] = nil }},
		{name: "oidcc-client-test-missing-iat", op: func(p *op) { p.claims["iat"] = nil }},
		{name: "oidcc-client-test-kid-absent-multiple-jwks, none signs", op: func(p *op) {
			p.keyID, p.key.Key = "", rsaKey2()
			p.jwks = append(p.jwks, jose.JSONWebKey{Key: ecKey().Public(), KeyID: "k2"})
		}},
		{name: "oidcc-client-test-idtoken-sig-none", op: func(p *op) {
			p.mint = func(c map[string]any) string { return b64(map[string]string{"alg": "none"}) + "." + b64(c) + "." }
		}},
		{name: "oidcc-client-test-invalid-sig-rs256", op: func(p *op) { p.key.Key = rsaKey2() }},
		{name: "oidcc-client-test-invalid-sig-hs256", op: func(p *op) {
			p.key = jose.SigningKey{Algorithm: jose.HS256, Key: []byte("another secret of thirty-two bytes")}
		}},
		{name: "oidcc-client-test-invalid-sig-es256", op: unknownES},
		{name: "oidcc-client-test-userinfo-invalid-sub", op: func(p *op) { p.userinfo["sub"] = "mallory" }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "oidcc-client-test-nonce-invalid", op: func(p *op) { p.claims["nonce"] = "another" }},
		{name: "oidcc-client-test-discovery-issuer-mismatch", code: broker.CodeUnavailable, op: func(p *op) { p.discovery["issuer"] = "https://other.example" }},
		{name: "fapi2 response iss wrong", form: func(f url.Values) { f.Set("iss", "https://other.example") }},
		{name: "fapi2 response iss removed", op: func(p *op) { p.discovery["authorization_response_iss_parameter_supported"] = true }},
		{name: "fapi2 state wrong", form: func(f url.Values) { f.Set("state", "another") }},
		{name: "fapi2 state missing", form: func(f url.Values) { f.Del("state") }},
		{name: "fapi2 secondary aud", op: func(p *op) { p.claims["aud"] = []string{"rolegate", "other"} }},
		{name: "fapi2 exp missing", op: func(p *op) { p.claims["exp"] = nil }},
		{name: "fapi2 exp past", op: func(p *op) {
			p.claims["iat"], p.claims["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-5*time.Minute).Unix()
		}},
		{name: "fapi2 nonce missing", op: func(p *op) { p.claims["nonce"] = nil }},
		{name: "fapi2 iss missing", op: func(p *op) { p.claims["iss"] = nil }},
		{name: "fapi2 other alg than agreed", op: func(p *op) { p.key.Algorithm, p.jwks[0].Algorithm = jose.PS256, "PS256" }, config: func(c *oidc.Config) { c.Algorithms = []string{"RS256"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			if _, set := p.claims["nonce"]; set {
				t.Fatal("the provider's nonce is not that of the request")
			}
			if tt.op != nil {
				tt.op(p)
			}
			f := callback()
			if tt.form != nil {
				tt.form(f)
			}
			want := tt.code
			if want == "" {
				want = broker.CodeUnauthenticated
			}
			got, err := p.party(t, tt.config).Finish(t.Context(), request(), f)
			if broker.CodeOf(err) != want || got.Subject.ID != "" {
				t.Errorf("error %.300v, got %.100v", err, got.Subject)
			}
		})
	}
}

// TestRefreshModules holds the negative modules of the refresh-token plan.
func TestRefreshModules(t *testing.T) {
	alice := broker.Subject{Provider: "corp", ID: "alice-1"}
	for name, change := range map[string]func(*op){
		"oidcc-client-test-refresh-token-invalid-issuer": func(p *op) { p.claims["iss"] = "https://other.example" },
		"oidcc-client-test-refresh-token-invalid-sub":    func(p *op) { p.claims["sub"] = "mallory" },
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			change(p)
			rp := p.party(t, func(c *oidc.Config) { c.Offline = true })
			got, err := rp.RefreshTokens(t.Context(), alice, broker.Tokens{RefreshToken: broker.NewSecret("rt")})
			if broker.CodeOf(err) != broker.CodeUnauthenticated || !got.IDToken.IsZero() {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestEmailIsNoIdentity ensures that the subject is sub and nothing else,
// whatever a provider says of an e-mail address: who can write another person's
// address into their profile is not that person.
func TestEmailIsNoIdentity(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"unverified e-mail of somebody else": func(c map[string]any) { c["email"], c["email_verified"] = "ceo@example.com", false },
		"verified e-mail of somebody else":   func(c map[string]any) { c["email"], c["email_verified"] = "ceo@example.com", true },
		"username and upn of somebody else":  func(c map[string]any) { c["preferred_username"], c["upn"] = "ceo", "ceo@example.com" },
		"email_verified as text":             func(c map[string]any) { c["email"], c["email_verified"] = "ceo@example.com", "false" },
	} {
		p := newOP(t)
		p.nonce, p.claims["sub"] = "nonce-1", "mallory-1"
		change(p.claims)
		got, err := p.party(t, nil).Finish(t.Context(), request(), callback())
		if err != nil || got.Subject != (broker.Subject{Provider: "corp", ID: "mallory-1"}) {
			t.Errorf("%s: %v %v", name, got.Subject, err)
		}
		if _, set := p.claims["email_verified"]; set && name == "unverified e-mail of somebody else" && got.Claims.First("email_verified") != "false" {
			t.Errorf("%s: the mapping cannot see that it is not verified: %v", name, got.Claims)
		}
	}
}

// TestDistributedClaims ensures that a token which says that claims are
// elsewhere makes nobody fetch them: the address is the token's own.
func TestDistributedClaims(t *testing.T) {
	p := newOP(t)
	var asked atomic.Int32
	next := p.Client().Transport
	client := &http.Client{Transport: counting(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/claims" {
			asked.Add(1)
		}
		return next.RoundTrip(r)
	})}
	p.nonce = "nonce-1"
	p.claims["_claim_names"] = map[string]string{"groups": "src1"}
	p.claims["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": p.URL + "/claims"}}
	delete(p.claims, "groups")
	got, err := p.party(t, func(c *oidc.Config) { c.HTTP = client }).Finish(t.Context(), request(), callback())
	if asked.Load() != 0 {
		t.Error("the address in the token was asked")
	}
	if err == nil && len(got.Claims["groups"]) != 0 {
		t.Errorf("groups %v", got.Claims["groups"])
	}
}

type counting func(*http.Request) (*http.Response, error)

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) { return c(r) }

// TestAuthorizationRequest ensures what RFC 9700 asks of every request: the code
// flow alone, S256 with this request's own verifier, the exact redirect address
// of this provider, and neither secret nor verifier in the browser.
func TestAuthorizationRequest(t *testing.T) {
	p := newOP(t)
	rp := p.party(t, nil)
	challenges := map[string]bool{}
	for _, verifier := range []string{strings.Repeat("v", 43), strings.Repeat("w", 43)} {
		r := request()
		r.CodeVerifier = broker.NewSecret(verifier)
		ch, err := rp.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(ch.URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		challenges[q.Get("code_challenge")] = true
		if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || q.Get("nonce") == "" ||
			q.Get("redirect_uri") != "https://sso.example.com/oidc/corp/callback" || q.Has("response_mode") || q.Has("request_uri") {
			t.Errorf("%v", q)
		}
		for _, secret := range []string{verifier, "planted"} {
			if strings.Contains(ch.URL, secret) {
				t.Errorf("%q is in the address", secret)
			}
		}
	}
	if len(challenges) != 2 {
		t.Error("two requests have one challenge")
	}
}
