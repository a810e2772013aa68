package oidc_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

var update = flag.Bool("update", false, "write golden files")

// TestRefuses holds the attacks and the negative modules of the OpenID
// Foundation's relying party plans, by name.
func TestRefuses(t *testing.T) {
	claim := func(k string, v any) func(*op) { return func(p *op) { p.claims[k] = v } }
	from := func(k string, d time.Duration) func(*op) {
		return func(p *op) { p.claims[k] = time.Now().Add(d).Unix() }
	}
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
			p.key.Key, p.keyID = weakKey(), "weak"
			p.jwks = append(p.jwks, jose.JSONWebKey{Key: weakKey().Public(), KeyID: "weak"})
		}},
		{name: "key for encryption", op: func(p *op) {
			p.key.Key, p.keyID = rsaKey2(), "enc"
			p.jwks = append(p.jwks, jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "enc", Use: "enc"})
		}},
		{name: "key for another algorithm", op: func(p *op) { p.jwks[0].Algorithm = "PS256" }},
		{name: "kid of another key", op: func(p *op) {
			p.keyID = "k2"
			p.jwks = append(p.jwks, jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "k2"})
		}},
		{name: "an access token by its type", op: func(p *op) { p.typ = "at+jwt" }},
		{name: "a logout token by its type", op: func(p *op) { p.typ = "logout+JWT" }},
		{name: "JSON serialization with a second signature", op: func(p *op) {
			p.mint = func(c map[string]any) string {
				part := strings.Split(p.sign(c), ".")
				return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, part[1], part[0], part[2])
			}
		}},
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
		{name: "empty azp", op: claim("azp", "")},
		{name: "azp as a list with ours", op: claim("azp", []string{"rolegate", "other"})},
		{name: "nonce", op: claim("nonce", "other")},
		{name: "nonce as a list", op: claim("nonce", []string{"nonce-1"})},
		{name: "nonce in other case", op: func(p *op) { p.claims["Nonce"], p.claims["nonce"], p.nonce = "nonce-1", nil, "" }},
		{name: "sub in other case over none", op: func(p *op) { p.claims["SUB"], p.claims["sub"] = "alice-1", nil }},
		{name: "aud in other case over another", op: func(p *op) {
			p.claims["aud"] = "other"
			p.mint = func(c map[string]any) string { return p.signRaw(appended(c, `"AUD":"rolegate"`)) }
		}},
		{name: "iss in other case over another", op: func(p *op) {
			p.claims["iss"] = "https://evil.example"
			p.mint = func(c map[string]any) string { return p.signRaw(appended(c, `"ISS":"`+p.URL+`"`)) }
		}},
		{name: "a claim twice", op: func(p *op) {
			p.mint = func(c map[string]any) string {
				return p.signRaw(appended(c, `"sub":"mallory"`))
			}
		}},
		{name: "sub as a number", op: claim("sub", 7)},
		{name: "sub as a list", op: claim("sub", []string{"alice-1"})},
		{name: "endless sub", op: claim("sub", strings.Repeat("a", 256))},
		{name: "no nonce", op: claim("nonce", nil)},
		{name: "no sub", op: claim("sub", nil)},
		{name: "no iat", op: claim("iat", nil)},
		{name: "iat to come", op: from("iat", 2*time.Minute)},
		{name: "no exp", op: claim("exp", nil)},
		{name: "expired at the edge", op: func(p *op) {
			p.claims["iat"], p.claims["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-61*time.Second).Unix()
		}},
		{name: "exp beyond all calendars", op: claim("exp", json.Number("9223372036854775807"))},
		{name: "iat beyond all calendars", op: claim("iat", json.Number("9223372036854775807"))},
		{name: "iat before all calendars", op: claim("iat", -1)},
		{name: "exp before iat", op: func(p *op) {
			p.claims["iat"], p.claims["exp"] = time.Now().Add(50*time.Second).Unix(), time.Now().Add(40*time.Second).Unix()
		}},
		{name: "nbf to come", op: from("nbf", 2*time.Minute)},
		{name: "auth_time to come", op: from("auth_time", 2*time.Minute)},
		{name: "at_hash", op: claim("at_hash", hashOf("another"))},
		{name: "at_hash empty", op: claim("at_hash", "")},
		{name: "at_hash in other case emptied", op: func(p *op) {
			p.claims["at_hash"] = hashOf("another")
			p.mint = func(c map[string]any) string { return p.signRaw(appended(c, `"AT_HASH":""`)) }
		}},
		{name: "not a token", op: func(p *op) { p.mint = func(map[string]any) string { return "x" } }},
		{name: "five parts (JWE)", op: func(p *op) { p.mint = func(map[string]any) string { return "a.b.c.d.e" } }},
		{name: "no ID token", op: func(p *op) { p.token = map[string]any{"id_token": nil} }},
		{name: "oversized token", op: claim("x", strings.Repeat("a", 260<<10))},
		{name: "azp as an object", op: claim("azp", map[string]any{"x": "other"})},
		{name: "azp as a list of objects", op: claim("azp", []any{map[string]any{"x": "other"}})},
		{name: "nbf as an object", op: claim("nbf", map[string]any{"x": 1})},
		{name: "nbf unclear", op: claim("nbf", "later")},
		{name: "another state", form: func(f url.Values) { f.Set("state", "other") }},
		{name: "no state", form: func(f url.Values) { f.Del("state") }},
		{name: "two codes", form: func(f url.Values) { f.Add("code", "code-2") }},
		{name: "no code", form: func(f url.Values) { f.Del("code") }},
		{name: "huge code", form: func(f url.Values) { f.Set("code", strings.Repeat("a", 5000)) }},
		{name: "mix-up: iss of another provider", form: func(f url.Values) { f.Set("iss", "https://evil.example") }},
		{name: "mix-up: iss empty", form: func(f url.Values) { f.Set("iss", "") }},
		{name: "mix-up: iss twice", form: func(f url.Values) { f["iss"] = []string{"OP", "https://evil.example"} }},
		{name: "mix-up: iss removed", op: func(p *op) { p.discovery["authorization_response_iss_parameter_supported"] = true }},
		{name: "two states", form: func(f url.Values) { f.Add("state", "state-1") }},
		{name: "no state asked, none given", form: func(f url.Values) { f.Del("state") }, req: func(r *broker.AuthRequest) { r.State = "" }},
		{name: "no nonce asked, none given", op: claim("nonce", nil), req: func(r *broker.AuthRequest) { r.Nonce = "" }},
		{name: "error beside a code", form: func(f url.Values) { f.Set("error", "access_denied") }},
		{name: "PKCE verifier of another request", op: func(p *op) { p.challenge = "another" }},
		{name: "code refused", op: func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) {
				answer(w, 400, map[string]any{"error": "invalid_grant", "error_description": "planted-echo"})
			}
		}},
		{name: "userinfo about somebody else", op: func(p *op) { p.userinfo["sub"] = "mallory" }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo without sub", op: func(p *op) { delete(p.userinfo, "sub") }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo with a list of subs", op: func(p *op) { p.userinfo["sub"] = []string{"alice-1", "mallory"} }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo with a list of one sub", op: func(p *op) { p.userinfo["sub"] = []string{"alice-1"} }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo that is a list", op: func(p *op) { p.userinfoRaw = `["alice-1"]` }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo followed by more", op: func(p *op) { p.userinfoRaw = `{"sub":"alice-1"} {"groups":["admin"]}` }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo nested for ever", op: func(p *op) { p.userinfoRaw = `{"sub":"alice-1","x":` + strings.Repeat("[", 100000) }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "signed userinfo by another key", op: func(p *op) {
			p.userinfoRaw = (&op{key: jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey2()}, keyID: "k1"}).sign(map[string]any{"iss": p.URL, "aud": "rolegate", "sub": "alice-1"})
		}, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "signed userinfo for somebody else", op: func(p *op) {
			p.userinfoRaw = p.sign(map[string]any{"iss": p.URL, "aud": "other", "sub": "alice-1"})
		}, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "signed userinfo of nobody", op: func(p *op) { p.userinfoRaw = p.sign(map[string]any{"sub": "alice-1"}) }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "unsigned userinfo as a token", op: func(p *op) {
			p.userinfoRaw = b64(map[string]any{"alg": "none"}) + "." + b64(map[string]any{"iss": p.URL, "aud": "rolegate", "sub": "alice-1"}) + "."
		}, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "userinfo refuses", op: func(p *op) { p.token = map[string]any{"access_token": "other"} }, config: func(c *oidc.Config) { c.UserInfo = true }},
		{name: "max_age asked, no auth_time", op: claim("auth_time", nil), req: func(r *broker.AuthRequest) { r.MaxAuthAge = time.Minute }},
		{name: "max_age asked, older", op: from("auth_time", -time.Hour), req: func(r *broker.AuthRequest) { r.MaxAuthAge = time.Minute }},
		{name: "fresh sign-in asked, older", op: from("auth_time", -time.Hour), req: func(r *broker.AuthRequest) { r.ForceAuthn = true }},
	}
	// The reasons are a golden file, so that no row passes because of another
	// check than the one it is about.
	var reasons []string
	variable := regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+Z`)
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
			if v := f["iss"]; len(v) > 0 && v[0] == "OP" {
				v[0] = p.URL
			}
			if tt.req != nil {
				tt.req(&r)
			}
			got, err := p.party(t, tt.config).Finish(t.Context(), r, f)
			if broker.CodeOf(err) != broker.CodeUnauthenticated || got.Subject.ID != "" {
				t.Fatalf("error %.300v, got %.300v", err, got)
			}
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("a secret is in the error: %v", err)
			}
			reasons = append(reasons, tt.name+": "+variable.ReplaceAllString(strings.ReplaceAll(err.Error(), p.URL, "OP"), "TIME"))
		})
	}
	if len(reasons) < len(tests) { // some failed, or -run left them out
		return
	}
	got := strings.Join(reasons, "\n") + "\n"
	if *update {
		if err := os.WriteFile("testdata/refusals.golden", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/refusals.golden")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Error(d)
	}
}
