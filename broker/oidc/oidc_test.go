package oidc_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
		{"clock 59 s ahead", func(p *op) { p.claims["iat"] = time.Now().Add(59 * time.Second).Unix() }, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
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
			if got.Subject != (broker.Subject{Provider: "corp", ID: "alice-1"}) || got.SessionIndex != "sid-1" || got.AuthnContext.ACR != "loa2" ||
				len(got.AuthnContext.AMR) != 2 || got.AuthnInstant.IsZero() || got.ReplayID == "" || len(got.Claims["groups"]) != 2 || got.Claims.First("email") != "alice@example.com" {
				t.Errorf("%+v", got)
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
			case "userinfo":
				if got.Claims.First("department") != "ops" {
					t.Errorf("%v", got.Claims)
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

// TestRefuses holds the attacks and the negative modules of the OpenID
// Foundation's relying party plans, by name.
func TestRefuses(t *testing.T) {
	claim := func(k string, v any) func(*op) { return func(p *op) { p.claims[k] = v } }
	tests := []struct {
		name   string
		op     func(*op)
		config func(*oidc.Config)
		form   func(url.Values)
		req    func(*broker.AuthRequest)
	}{
		{name: "alg none", op: func(p *op) {
			p.mint = func(c map[string]any) string { return b64(map[string]any{"alg": "none"}) + "." + b64(c) + "." }
		}},
		{name: "HS256 with the public key", op: func(p *op) {
			p.mint = func(c map[string]any) string {
				der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
				if err != nil {
					panic(err)
				}
				signed := b64(map[string]any{"alg": "HS256", "kid": "k1"}) + "." + b64(c)
				m := hmac.New(sha256.New, der)
				m.Write([]byte(signed))
				return signed + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
			}
		}},
		{name: "HS256 with the client secret", op: func(p *op) {
			p.key = jose.SigningKey{Algorithm: jose.HS256, Key: []byte("planted secret/+planted secret/+")}
		}},
		{name: "algorithm not configured", op: func(p *op) { p.key.Algorithm = jose.RS384 }, config: func(c *oidc.Config) { c.Algorithms = []string{"RS256"} }},
		{name: "signed by another key", op: func(p *op) { p.key.Key = rsaKey2() }},
		{name: "unknown kid", op: func(p *op) { p.keyID = "k9" }},
		{name: "no kid, none of the keys", op: func(p *op) { p.keyID, p.key.Key = "", rsaKey2() }},
		{name: "RSA-1024", op: func(p *op) {
			p.key.Key = weakKey()
			p.jwks = []jose.JSONWebKey{{Key: weakKey().Public(), KeyID: "k1"}}
		}},
		{name: "key for encryption", op: func(p *op) { p.jwks[0].Use = "enc" }},
		{name: "key for another algorithm", op: func(p *op) { p.jwks[0].Algorithm = "PS256" }},
		{name: "key in the token's header", op: func(p *op) {
			p.mint = func(c map[string]any) string {
				s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey2()}, &jose.SignerOptions{EmbedJWK: true})
				if err != nil {
					panic(err)
				}
				raw, err := jwt.Signed(s).Claims(c).Serialize()
				if err != nil {
					panic(err)
				}
				return raw
			}
		}},
		{name: "changed payload", op: func(p *op) {
			p.mint = func(c map[string]any) string {
				parts := strings.Split(p.sign(c), ".")
				c["sub"] = "mallory"
				return parts[0] + "." + b64(c) + "." + parts[2]
			}
		}},
		{name: "iss", op: claim("iss", "https://evil.example")},
		{name: "iss with a slash", op: func(p *op) { p.claims["iss"] = p.URL + "/" }},
		{name: "aud", op: claim("aud", "other")},
		{name: "no aud", op: claim("aud", nil)},
		{name: "several aud without azp", op: claim("aud", []string{"rolegate", "other"})},
		{name: "azp", op: claim("azp", "other")},
		{name: "nonce", op: claim("nonce", "other")},
		{name: "no nonce", op: claim("nonce", nil)},
		{name: "no sub", op: claim("sub", nil)},
		{name: "no iat", op: claim("iat", nil)},
		{name: "iat to come", op: claim("iat", time.Now().Add(2*time.Minute).Unix())},
		{name: "no exp", op: claim("exp", nil)},
		{name: "expired at the edge", op: func(p *op) {
			p.claims["iat"], p.claims["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-61*time.Second).Unix()
		}},
		{name: "nbf to come", op: claim("nbf", time.Now().Add(2*time.Minute).Unix())},
		{name: "auth_time to come", op: claim("auth_time", time.Now().Add(2*time.Minute).Unix())},
		{name: "at_hash", op: claim("at_hash", hashOf("another"))},
		{name: "not a token", op: func(p *op) { p.mint = func(map[string]any) string { return "x" } }},
		{name: "five parts (JWE)", op: func(p *op) { p.mint = func(map[string]any) string { return "a.b.c.d.e" } }},
		{name: "no ID token", op: func(p *op) { p.token = map[string]any{"id_token": nil} }},
		{name: "oversized token", op: claim("x", strings.Repeat("a", 70<<10))},
		{name: "nested claims bomb", op: func(p *op) {
			var v any = "x"
			for range 50 {
				v = map[string]any{"a": v}
			}
			p.claims["x"] = v
		}},
		{name: "ambiguous dotted claim", op: func(p *op) { p.claims["a.b"], p.claims["a"] = "1", map[string]any{"b": "2"} }},
		{name: "another state", form: func(f url.Values) { f.Set("state", "other") }},
		{name: "no state", form: func(f url.Values) { f.Del("state") }},
		{name: "two codes", form: func(f url.Values) { f.Add("code", "code-2") }},
		{name: "no code", form: func(f url.Values) { f.Del("code") }},
		{name: "huge code", form: func(f url.Values) { f.Set("code", strings.Repeat("a", 5000)) }},
		{name: "mix-up: iss of another provider", form: func(f url.Values) { f.Set("iss", "https://evil.example") }},
		{name: "mix-up: iss removed", op: func(p *op) { p.discovery["authorization_response_iss_parameter_supported"] = true }},
		{name: "access_denied", form: func(f url.Values) { f.Set("error", "access_denied") }},
		{name: "error beside a code", form: func(f url.Values) { f.Set("error", "server_error") }},
		{name: "code refused", op: func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(400)
				reply(w, map[string]any{"error": "invalid_grant", "error_description": "planted-echo"})
			}
		}},
		{name: "userinfo about somebody else", op: func(p *op) { p.userinfo["sub"] = "mallory" }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo without sub", op: func(p *op) { delete(p.userinfo, "sub") }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo refuses", op: func(p *op) { p.token = map[string]any{"access_token": "other"} }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "max_age asked, no auth_time", op: claim("auth_time", nil), req: func(r *broker.AuthRequest) { r.MaxAuthAge = time.Minute }},
		{name: "max_age asked, older", op: claim("auth_time", time.Now().Add(-time.Hour).Unix()), req: func(r *broker.AuthRequest) { r.MaxAuthAge = time.Minute }},
		{name: "fresh sign-in asked, older", op: claim("auth_time", time.Now().Add(-time.Hour).Unix()), req: func(r *broker.AuthRequest) { r.ForceAuthn = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			if tt.op != nil {
				tt.op(p)
			}
			if _, set := p.claims["nonce"]; set && p.claims["nonce"] == nil {
				p.nonce = ""
			}
			f, r := callback(), request()
			if tt.form != nil {
				tt.form(f)
			}
			if tt.req != nil {
				tt.req(&r)
			}
			got, err := p.party(t, tt.config).Finish(t.Context(), r, f)
			if broker.CodeOf(err) != broker.CodeUnauthenticated || got.Subject.ID != "" {
				t.Fatalf("error %v, got %+v", err, got)
			}
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("a secret is in the error: %v", err)
			}
			t.Log(err)
		})
	}
}

// TestUnavailable ensures that a provider that does not work is named, and told
// apart from an answer that does not verify.
func TestUnavailable(t *testing.T) {
	for name, change := range map[string]func(*op){
		"token endpoint redirects": func(p *op) {
			p.serve = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
			}
		},
		"token endpoint broken": func(p *op) { p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) } },
		"huge answer": func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprint(w, `{"access_token":"`+strings.Repeat("a", 2<<20)+`"}`)
			}
		},
		"keys gone":                  func(p *op) { p.discovery["jwks_uri"] = p.URL + "/nowhere" },
		"discovery about another":    func(p *op) { p.discovery["issuer"] = "https://evil.example" },
		"token endpoint over http":   func(p *op) { p.discovery["token_endpoint"] = "http://evil.example/token" },
		"keys over http":             func(p *op) { p.discovery["jwks_uri"] = "http://evil.example/jwks" },
		"javascript sign-in address": func(p *op) { p.discovery["authorization_endpoint"] = "javascript:alert(1)" },
		"no code flow":               func(p *op) { p.discovery["response_types_supported"] = []string{"id_token"} },
		"no S256":                    func(p *op) { p.discovery["code_challenge_methods_supported"] = []string{"plain"} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			change(p)
			_, err := p.party(t, nil).Finish(t.Context(), request(), callback())
			redirected := name == "token endpoint redirects" && broker.CodeOf(err) == broker.CodeUnauthenticated
			if broker.CodeOf(err) != broker.CodeUnavailable && !redirected {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestKeyRotation ensures that a new key is fetched at once and that forged key
// ids do not make a storm.
func TestKeyRotation(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	now := time.Now()
	rp := p.party(t, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
	finish := func() error {
		_, err := rp.Finish(t.Context(), request(), callback())
		return err
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Second)
	p.keyID, p.key.Key = "k2", rsaKey2()
	p.jwks = append(p.jwks, jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "k2"})
	if err := finish(); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	before := p.fetches
	for n := range 50 {
		p.keyID = fmt.Sprint("forged", n)
		if finish() == nil {
			t.Error("a forged key id was accepted")
		}
	}
	if n := p.fetches - before; n > 1 {
		t.Errorf("%d fetches for 50 forged key ids", n)
	}
}

// TestDiscoveryKeepsLastGood ensures that an outage of discovery stops nobody
// who could sign in before.
func TestDiscoveryKeepsLastGood(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	rp := p.party(t, nil)
	if err := rp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.discovery = map[string]any{}
	if rp.Refresh(t.Context()) == nil || rp.Status().Err == nil {
		t.Error("an empty document was accepted")
	}
	if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
}

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
		ch, err := rp.Begin(t.Context(), request())
		if err != nil || !strings.Contains(ch.URL, "offline_access") || !strings.Contains(ch.URL, "prompt=consent") {
			t.Error(ch.URL, err)
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
		"another subject": func(p *op) { p.claims["sub"] = "mallory" },
		"another issuer":  func(p *op) { p.claims["iss"] = "https://evil.example" },
		"revoked": func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(400)
				reply(w, map[string]any{"error": "invalid_grant"})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			change(p)
			got, err := p.party(t, offline).RefreshTokens(t.Context(), alice, old)
			if broker.CodeOf(err) != broker.CodeUnauthenticated || !got.IDToken.IsZero() || strings.Contains(err.Error(), "planted") {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
}

// TestFlatten ensures the shape that claims have for the mapper.
func TestFlatten(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	p.claims["realm_access"] = map[string]any{"roles": []string{"r1", "r2"}}
	p.claims["big"] = json.Number("9007199254740993")
	p.claims["flag"] = true
	p.claims["nothing"] = json.RawMessage("null")
	p.claims["mixed"] = []any{"a", map[string]any{"x": 1}, 2}
	p.claims["_claim_names"] = map[string]any{"groups": "src1"}
	p.claims["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": "https://graph.example"}}
	got, err := p.party(t, nil).Finish(t.Context(), request(), callback())
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string][]string{
		"realm_access.roles": {"r1", "r2"}, "big": {"9007199254740993"}, "flag": {"true"}, "nothing": nil,
		"mixed": {"a", "2"}, "_claim_names.groups": {"src1"}, "email": {"alice@example.com"},
	} {
		if d := cmp.Diff(want, got.Claims[k]); d != "" {
			t.Errorf("%s: %s", k, d)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	p := newOP(t)
	for name, change := range map[string]func(*oidc.Config){
		"http issuer":        func(c *oidc.Config) { c.Issuer = "http://idp.example" },
		"no client":          func(c *oidc.Config) { c.ClientID = "" },
		"no secret":          func(c *oidc.Config) { c.ClientSecret = broker.Secret{} },
		"secret and key":     func(c *oidc.Config) { c.ClientKey = rsaKey() },
		"alg none":           func(c *oidc.Config) { c.Algorithms = []string{"none"} },
		"HMAC":               func(c *oidc.Config) { c.Algorithms = []string{"HS256"} },
		"scopes, no openid":  func(c *oidc.Config) { c.Scopes = []string{"email"} },
		"skew of an hour":    func(c *oidc.Config) { c.ClockSkew = time.Hour },
		"id with a slash":    func(c *oidc.Config) { c.ID = "a/b" },
		"public URL + path":  func(c *oidc.Config) { c.PublicURL += "/x" },
		"no HTTP client":     func(c *oidc.Config) { c.HTTP = nil },
		"user in the issuer": func(c *oidc.Config) { c.Issuer = "https://a:b@idp.example" },
	} {
		if _, err := oidc.New(p.config(change)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzCallback: no form panics or gets past state and code.
func FuzzCallback(f *testing.F) {
	p := newOP(f)
	p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }
	rp := p.party(f, nil)
	if err := rp.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Add("code=a&state=state-1")
	f.Add("error=x&iss=&code=")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if _, err := rp.Finish(t.Context(), request(), form); err == nil {
			t.Errorf("%q accepted", query)
		}
	})
}

// BenchmarkVerify is beside a bare RSA verification with one JSON decoding.
func BenchmarkVerify(b *testing.B) {
	for _, groups := range []int{20, 500} {
		p := newOP(b)
		list := make([]string, groups)
		for n := range list {
			list[n] = fmt.Sprint("group-", n)
		}
		p.claims["groups"] = list
		raw := p.sign(p.claims)
		b.Run(fmt.Sprintf("bare/groups=%d", groups), func(b *testing.B) {
			for b.Loop() {
				jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
				if err != nil {
					b.Fatal(err)
				}
				payload, err := jws.Verify(rsaKey().Public())
				var c map[string]any
				if err != nil || json.Unmarshal(payload, &c) != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("refresh/groups=%d", groups), func(b *testing.B) {
			rp := p.party(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rp.RefreshTokens(b.Context(), broker.Subject{Provider: "corp", ID: "alice-1"}, broker.Tokens{RefreshToken: broker.NewSecret("r")}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
