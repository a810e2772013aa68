package oidc_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

var (
	_ broker.IdentityProvider = (*oidc.RelyingParty)(nil)
	_ broker.TokenRefresher   = (*oidc.RelyingParty)(nil)
)

// TestBegin ensures what the authentication request asks for.
func TestBegin(t *testing.T) {
	p := newOP(t)
	r := request()
	r.ForceAuthn, r.MaxAuthAge, r.RequestedContext = true, 90*time.Second, []string{"loa2", "loa3"}
	ch, err := p.party(t, nil).Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(ch.URL)
	if err != nil || ch.Form != nil || !strings.HasPrefix(ch.URL, p.URL+"/auth?") {
		t.Fatal(ch, err)
	}
	sum := sha256.Sum256([]byte(r.CodeVerifier.Reveal()))
	want := url.Values{
		"response_type": {"code"}, "client_id": {"rolegate"}, "redirect_uri": {"https://sso.example.com/oidc/corp/callback"},
		"scope": {"openid profile email"}, "state": {"state-1"}, "nonce": {"nonce-1"}, "prompt": {"login"}, "max_age": {"90"},
		"acr_values": {"loa2 loa3"}, "code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	if d := cmp.Diff(want, u.Query()); d != "" {
		t.Error(d)
	}
	r.MaxAuthAge, r.RequestedContext = 0, nil
	ch, err = p.party(t, func(c *oidc.Config) { c.Offline = true }).Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	u, err = url.Parse(ch.URL)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("prompt") != "login" || q.Get("scope") != "openid profile email" || q.Get("max_age") != "600" || q.Has("acr_values") {
		t.Errorf("offline and afresh: %v", q)
	}
}

// TestAccepts holds the legal variety.
func TestAccepts(t *testing.T) {
	tests := []struct {
		name   string
		op     func(*op)
		config func(*oidc.Config)
		form   func(url.Values)
	}{
		{"secret in the header", nil, nil, nil},
		{"secret in the body", func(p *op) {
			p.discovery["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
		}, nil, nil},
		{"private_key_jwt", nil, func(c *oidc.Config) { c.ClientSecret, c.ClientKey, c.ClientKeyID = broker.Secret{}, rsaKey2(), "ck" }, nil},
		{"userinfo", nil, func(c *oidc.Config) { c.UserInfo = true }, nil},
		{"signed userinfo", func(p *op) {
			p.userinfoRaw = p.sign(map[string]any{"iss": p.URL, "aud": "rolegate", "sub": "alice-1", "department": "ops", "only_userinfo": map[string]any{"list": []string{"a", "b"}}})
		}, func(c *oidc.Config) { c.UserInfo = true }, nil},
		{"no kid, one key", func(p *op) { p.keyID = "" }, nil, nil},
		{"no kid, several keys", func(p *op) {
			p.keyID = ""
			p.jwks = append([]jose.JSONWebKey{{Key: rsaKey2().Public(), KeyID: "k0"}}, p.jwks...)
		}, nil, nil},
		{"key of an unknown kind beside ours", func(p *op) {
			p.jwks = append([]jose.JSONWebKey{{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "oct"}}, p.jwks...)
		}, nil, nil},
		{"ES256", func(p *op) {
			p.key = jose.SigningKey{Algorithm: jose.ES256, Key: ecKey()}
			p.jwks = []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "k1"}}
		}, nil, nil},
		{"iss in the answer", nil, nil, func(f url.Values) { f.Set("iss", "OP") }},
		{"two audiences with azp", func(p *op) { p.claims["aud"], p.claims["azp"] = []string{"rolegate", "x"}, "rolegate" }, nil, nil},
		{"at_hash", func(p *op) { p.claims["at_hash"] = hashOf("at-1") }, nil, nil},
		{"at_hash with EdDSA", func(p *op) {
			p.key = jose.SigningKey{Algorithm: jose.EdDSA, Key: edKey()}
			p.jwks = []jose.JSONWebKey{{Key: edKey().Public(), KeyID: "k1"}}
			sum := sha512.Sum512([]byte("at-1"))
			p.claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:32])
		}, func(c *oidc.Config) { c.Algorithms = []string{"EdDSA"} }, nil},
		{"PS256", func(p *op) { p.key.Algorithm, p.jwks[0].Algorithm = jose.PS256, "PS256" }, nil, nil},
		{"private_key_jwt with ECDSA", nil, func(c *oidc.Config) { c.ClientSecret, c.ClientKey = broker.Secret{}, ecKey() }, nil},
		{"dates with fractions", func(p *op) { p.claims["iat"] = float64(time.Now().Unix()) + 0.75 }, nil, nil},
		{"dates as text", func(p *op) { p.claims["exp"] = fmt.Sprint(time.Now().Add(time.Hour).Unix()) }, nil, nil},
		{"nbf with the largest skew", func(p *op) { p.claims["nbf"] = time.Now().Add(4*time.Minute + 50*time.Second).Unix() },
			func(c *oidc.Config) { c.ClockSkew = 5 * time.Minute }, nil},
		{"3,000 groups", func(p *op) {
			list := []string{"g1", "g2"}
			for n := range 2998 {
				list = append(list, fmt.Sprint("corporate-group-", n))
			}
			p.claims["groups"] = list
		}, nil, nil},
		{"claims like protocol claims in other case", func(p *op) { p.claims["Sub"], p.claims["ACR"], p.claims["AMR"] = "mallory", "loa9", "hwk" }, nil, nil},
		{"sign-in page on this machine over http", func(p *op) { p.discovery["authorization_endpoint"] = "http://127.0.0.1:1/auth" }, nil, nil},
		{"auth_time of the year 0 is not known", func(p *op) { p.claims["auth_time"] = 0 }, nil, nil},
		{"auth_time that is none is not known", func(p *op) { p.claims["auth_time"] = "yesterday" }, nil, nil},
		{"acr and sid as lists say nothing", func(p *op) { p.claims["acr"], p.claims["sid"] = []string{"loa2", "loa3"}, []any{map[string]any{}} }, nil, nil},
		{"nested claims bomb", func(p *op) {
			var v any = "x"
			for range 50 {
				v = map[string]any{"a": v}
			}
			p.claims["x"] = v
		}, nil, nil},
		{"ambiguous dotted claim", func(p *op) { p.claims["a.b"], p.claims["a"] = "1", map[string]any{"b": "2"} }, nil, nil},
		{"clock 59 s ahead", func(p *op) { p.claims["iat"] = time.Now().Add(59 * time.Second).Unix() }, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			sum := sha256.Sum256([]byte(request().CodeVerifier.Reveal()))
			p.nonce, p.challenge = "nonce-1", base64.RawURLEncoding.EncodeToString(sum[:])
			if tt.op != nil {
				tt.op(p)
			}
			f := callback()
			if tt.form != nil {
				tt.form(f)
			}
			if f.Get("iss") == "OP" {
				f.Set("iss", p.URL)
			}
			got, err := p.party(t, tt.config).Finish(t.Context(), request(), f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(tt.name, "say nothing") {
				if got.SessionIndex != "" || got.AuthnContext.ACR != "" {
					t.Errorf("%q, %q", got.SessionIndex, got.AuthnContext.ACR)
				}
				got.SessionIndex, got.AuthnContext.ACR = "sid-1", "loa2"
			}
			if got.Subject != (broker.Subject{Provider: "corp", ID: "alice-1"}) || got.SessionIndex != "sid-1" || got.AuthnContext.ACR != "loa2" ||
				len(got.AuthnContext.AMR) != 2 || got.AuthnInstant.IsZero() != strings.Contains(tt.name, "is not known") || got.ReplayID == "" || len(got.Claims["groups"]) < 2 || got.Claims.First("email") != "alice@example.com" {
				t.Errorf("%.500v", got)
			}
			if !got.Tokens.IDToken.IsZero() {
				t.Error("tokens are kept though nothing needs them")
			}
			switch sent := p.forms[0]; tt.name {
			case "secret in the header":
				if p.basic[0] != "rolegate:planted+secret%2F%2B" || sent.Get("code_verifier") != strings.Repeat("v", 43) || sent.Get("redirect_uri") == "" {
					t.Errorf("%q %v", p.basic[0], sent)
				}
			case "secret in the body":
				if sent.Get("client_secret") != "planted secret/+" {
					t.Errorf("%v", sent)
				}
			case "userinfo", "signed userinfo":
				if got.Claims.First("department") != "ops" || got.Claims["only_userinfo.list"][1] != "b" {
					t.Errorf("%v", got.Claims)
				}
			case "private_key_jwt with ECDSA":
				tok, err := jwt.ParseSigned(sent.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
				if err != nil || tok.Claims(ecKey().Public(), &jwt.Claims{}) != nil || tok.Headers[0].KeyID == "" {
					t.Errorf("%v %v", sent, err)
				}
			case "private_key_jwt":
				tok, err := jwt.ParseSigned(sent.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256})
				if err != nil || sent.Has("client_secret") {
					t.Fatal(err, sent)
				}
				var c jwt.Claims
				if err := tok.Claims(rsaKey2().Public(), &c); err != nil || c.Validate(jwt.Expected{Issuer: "rolegate", Subject: "rolegate", AnyAudience: jwt.Audience{p.URL}}) != nil || c.ID == "" {
					t.Errorf("%+v %v", c, err)
				}
			}
		})
	}
}

// TestErrorAnswers ensures that a person reads what to do, and never what the
// provider or an attacker wrote into the address.
func TestErrorAnswers(t *testing.T) {
	p := newOP(t)
	for code, want := range map[string]struct {
		code broker.Code
		word string
	}{
		"access_denied": {broker.CodeUnauthenticated, "did not sign you in"}, "login_required": {broker.CodeUnauthenticated, "needs something"},
		"interaction_required": {broker.CodeUnauthenticated, "needs something"}, "account_selection_required": {broker.CodeUnauthenticated, "needs something"},
		"consent_required": {broker.CodeUnauthenticated, "needs something"}, "unmet_authentication_requirements": {broker.CodeUnauthenticated, "as strongly"},
		"server_error": {broker.CodeUnavailable, "corp"}, "temporarily_unavailable": {broker.CodeUnavailable, "corp"},
		"invalid_scope": {broker.CodeUnauthenticated, "corp"}, "<script>": {broker.CodeUnauthenticated, "corp"},
	} {
		f := url.Values{"state": {"state-1"}, "error": {code}, "error_description": {"planted <b>\n words"}}
		_, err := p.party(t, nil).Finish(t.Context(), request(), f)
		public := broker.Message(err) + broker.Remedy(err)
		if broker.CodeOf(err) != want.code || !strings.Contains(public, want.word) || broker.Remedy(err) == "" || strings.Contains(public, "planted") || strings.Contains(public, "<") {
			t.Errorf("%s: %s %q", code, broker.CodeOf(err), public)
		}
		if !strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the trace does not say it, or not in one line: %v", code, err)
		}
	}
}

// TestTokenErrors ensures that an error of the token endpoint is no answer that
// could not be verified, but for a code that is spent.
func TestTokenErrors(t *testing.T) {
	for code, word := range map[string]string{
		"not_allowed": "did not take rolegate's request", "invalid_scope": "did not take rolegate's request", "invalid_request": "did not take rolegate's request",
		"invalid_client": "does not know rolegate", "invalid_grant": "could not be verified",
	} {
		p := newOP(t)
		p.serve = func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 400, map[string]any{"error": code, "error_description": "planted-echo"})
		}
		_, err := p.party(t, nil).Finish(t.Context(), request(), callback())
		if !strings.Contains(broker.Message(err), word) || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// TestReplay ensures that one token has one replay id, also when its signature
// was made into another valid one, and that it is not remembered for ever.
func TestReplay(t *testing.T) {
	p := newOP(t)
	p.nonce, p.claims["nonce"] = "nonce-1", "nonce-1"
	p.claims["exp"] = time.Now().AddDate(1000, 0, 0).Unix()
	p.key = jose.SigningKey{Algorithm: jose.ES256, Key: ecKey()}
	p.jwks = []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "k1"}}
	raw := p.sign(p.claims)
	cut := strings.LastIndexByte(raw, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(raw[cut:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).Sub(ecKey().Params().N, new(big.Int).SetBytes(sig[32:]))
	twin := raw[:cut] + base64.RawURLEncoding.EncodeToString(append(sig[:32:32], s.FillBytes(make([]byte, 32))...))
	rp := p.party(t, nil)
	ids := map[string]bool{}
	for _, token := range []string{raw, twin} {
		p.mint = func(map[string]any) string { return token }
		got, err := rp.Finish(t.Context(), request(), callback())
		if err != nil {
			t.Fatal(err)
		}
		ids[got.ReplayID] = true
		if until := time.Until(got.ReplayExpires); until > 25*time.Hour || until < 23*time.Hour {
			t.Errorf("remembered for %s", until)
		}
	}
	if len(ids) != 1 {
		t.Error("the twin of a token counts as another")
	}
}
