package oidc_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker/oidc"
)

// inside answers without a network, so that a fuzz target is not about sockets.
type inside struct{ http.Handler }

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	return w.Result(), nil
}

// fuzzTime is the present of fuzz targets.
var fuzzTime = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// newFuzzOP is a provider that is the same in every process: the workers of a
// fuzz target get the seeds of another one, and with an address, a key or a
// clock of their own they would refuse all of them for that.
func newFuzzOP(t testing.TB) *op {
	t.Helper()
	p := newOP(t)
	p.URL = "https://op.example"
	p.fill(fuzzTime)
	p.claims["nonce"] = "nonce-1"
	p.key = jose.SigningKey{Algorithm: jose.EdDSA, Key: edKey()}
	p.jwks = []jose.JSONWebKey{{Key: edKey().Public(), KeyID: "k1", Algorithm: "EdDSA", Use: "sig"}}
	return p
}

// fuzzParty is a relying party of p over [inside], whose provider answers the
// path with raw.
func (p *op) fuzzParty(t testing.TB, path string, raw *[]byte, change func(*oidc.Config)) *oidc.RelyingParty {
	t.Helper()
	mux := p.Config.Handler
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			mux.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(*raw)
	})
	return p.party(t, func(c *oidc.Config) {
		c.HTTP, c.Now = &http.Client{Transport: inside{h}}, func() time.Time { return fuzzTime }
		c.Algorithms = []string{"EdDSA", "RS256", "ES256"}
		if change != nil {
			change(c)
		}
	})
}

// members returns the member names of a JSON object, or what is no such object.
func members(raw []byte) (map[string]json.RawMessage, error) {
	var out map[string]json.RawMessage
	err := json.Unmarshal(raw, &out)
	return out, err
}

// FuzzIDToken: no bytes are taken for an ID token but what the provider signed
// for us, and of that nothing but what it says.
func FuzzIDToken(f *testing.F) {
	p := newFuzzOP(f)
	genuine := p.sign(p.claims)
	part := strings.Split(genuine, ".")
	for _, s := range []string{
		genuine, "", "..", part[0] + "." + part[1] + ".",
		b64(map[string]any{"alg": "none"}) + "." + part[1] + ".",
		b64(map[string]any{"alg": "HS256", "kid": "k1"}) + "." + part[1] + "." + part[2],
		part[0] + "." + b64(map[string]any{"iss": p.URL, "sub": "mallory", "aud": "rolegate"}) + "." + part[2],
		genuine + "." + part[2], genuine + "=", part[0] + "\n." + part[1] + "." + part[2],
		`{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`,
		"e30.e30.e30", strings.Repeat("a", 70000),
	} {
		f.Add(s)
	}
	rp := p.fuzzParty(f, "/none", nil, nil)
	if err := rp.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	if _, err := rp.Verify(f.Context(), genuine); err != nil {
		f.Fatal("the genuine token is refused, so nothing is tried:", err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := rp.Verify(t.Context(), raw)
		if err != nil {
			if claims != nil {
				t.Errorf("%q gave claims beside an error", raw)
			}
			return
		}
		if claims.First("sub") != "alice-1" || claims.First("nonce") != "nonce-1" || len(claims["groups"]) != 2 {
			t.Errorf("%q accepted as %v", raw, claims)
		}
	})
}

// FuzzTokenAnswer: whatever the token endpoint answers, nobody is signed in but
// by the token that the provider signed.
func FuzzTokenAnswer(f *testing.F) {
	p := newFuzzOP(f)
	genuine := p.sign(p.claims)
	for _, s := range []string{
		`{"access_token":"at-1","token_type":"Bearer","id_token":"` + genuine + `","expires_in":3600}`,
		`{"access_token":"at-1","token_type":"DPoP","id_token":["` + genuine + `"]}`,
		`{"access_token":"at-1","id_token":"e30.e30.e30"}`, `{"error":"invalid_grant"}`,
		`{"access_token":"at-1","id_token":"","ID_TOKEN":"` + genuine + `"}`, `{"expires_in":1e999}`, "access_token=a&id_token=b", "", "[", "null",
	} {
		f.Add([]byte(s))
	}
	var raw []byte
	rp := p.fuzzParty(f, "/token", &raw, nil)
	if err := rp.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw = b
		got, err := rp.Finish(t.Context(), request(), callback())
		if err == nil && got.Subject.ID != "alice-1" {
			t.Errorf("%q signed %q in", b, got.Subject.ID)
		}
		if err != nil && got.Subject.ID != "" {
			t.Errorf("%q: a subject beside an error", b)
		}
	})
}

// FuzzUserinfo: userinfo is taken only about the token's subject, and never over
// what the token says.
func FuzzUserinfo(f *testing.F) {
	p := newFuzzOP(f)
	for _, s := range []string{
		`{"sub":"alice-1","department":"ops","email":"other@example.com","o":{"p":["q"]}}`,
		`{"sub":"mallory"}`, `{"SUB":"alice-1"}`, `{"sub":["alice-1"]}`, `{"sub":"mallory","sub":"alice-1"}`, `{"sub":"alice-1","iss":"https://evil.example","groups":["admins"]}`,
		"eyJhbGciOiJub25lIn0.e30.", `{"sub":"alice-1"} {"sub":"mallory"}`, "", "{",
	} {
		f.Add([]byte(s))
	}
	var raw []byte
	rp := p.fuzzParty(f, "/userinfo", &raw, func(c *oidc.Config) { c.UserInfo = true })
	if err := rp.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw = b
		got, err := rp.Finish(t.Context(), request(), callback())
		if err != nil {
			return
		}
		object, err := members(b)
		var sub string
		if err != nil || json.Unmarshal(object["sub"], &sub) != nil || sub != "alice-1" {
			t.Errorf("%q taken: %v", b, err)
		}
		if got.Subject.ID != "alice-1" || got.Claims.First("email") != "alice@example.com" || !slices.Equal(got.Claims["groups"], []string{"g1", "g2"}) ||
			got.Claims.First("iss") != p.URL {
			t.Errorf("%q changed what the token says: %v", b, got.Claims)
		}
	})
}

// FuzzDiscovery: a document that is taken is about the configured issuer, and
// its addresses are https ones that a browser and we can be sent to.
func FuzzDiscovery(f *testing.F) {
	p := newFuzzOP(f)
	good, err := json.Marshal(p.discovery)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		string(good), strings.Replace(string(good), p.URL+"/token", "http://127.0.0.1/token", 1),
		strings.Replace(string(good), p.URL+"/auth", "javascript:alert(1)", 1), strings.Replace(string(good), p.URL+"/auth", "https://a:b@evil.example/auth", 1),
		strings.Replace(string(good), p.URL+"/jwks", "file:///etc/passwd", 1), strings.Replace(string(good), `"issuer"`, `"ISSUER"`, 1),
		`{"issuer":"` + p.URL + `"}`, `{"issuer":1}`, "[]", "", strings.Repeat("[", 20000),
	} {
		f.Add([]byte(s))
	}
	var raw []byte
	f.Fuzz(func(t *testing.T, b []byte) {
		raw = b
		rp := p.fuzzParty(t, "/.well-known/openid-configuration", &raw, func(c *oidc.Config) { c.UserInfo = true })
		refreshed := rp.Refresh(t.Context())
		if rp.Status().Issuer == "" {
			if refreshed == nil {
				t.Errorf("%q: no error and no issuer", b)
			}
			return
		}
		object, err := members(b)
		if err != nil || rp.Status().Issuer != p.URL {
			t.Fatalf("%q taken: %v", b, err)
		}
		// Case-insensitive as encoding/json is: what is checked here is what was
		// decoded, whichever member it came from.
		var doc struct {
			Token    string `json:"token_endpoint"`
			Keys     string `json:"jwks_uri"`
			UserInfo string `json:"userinfo_endpoint"`
		}
		if err := json.Unmarshal(b, &doc); err != nil || len(object) == 0 {
			t.Fatalf("%q taken: %v", b, err)
		}
		for _, s := range []string{doc.Token, doc.Keys, doc.UserInfo} {
			if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
				t.Errorf("%q: %q will be called", b, s)
			}
		}
		ch, err := rp.Begin(t.Context(), request())
		if err != nil {
			t.Fatalf("%q taken, and cannot begin: %v", b, err)
		}
		u, err := url.Parse(ch.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
			t.Fatalf("%q sends the browser to %q", b, ch.URL)
		}
		for k, want := range map[string]string{"state": "state-1", "nonce": "nonce-1", "code_challenge_method": "S256", "client_id": "rolegate", "response_type": "code"} {
			if v := u.Query()[k]; len(v) == 0 || v[len(v)-1] != want {
				t.Errorf("%q: %s is %q in %q", b, k, v, ch.URL)
			}
		}
	})
}

// FuzzJWKS: no set of keys makes a token good that a weak key or a shared
// secret made, or one that nobody signed, or a key that is not in the set.
func FuzzJWKS(f *testing.F) {
	p := newFuzzOP(f)
	set := func(keys ...jose.JSONWebKey) string {
		b, err := json.Marshal(map[string]any{"keys": keys})
		if err != nil {
			f.Fatal(err)
		}
		return string(b)
	}
	mint := func(alg jose.SignatureAlgorithm, key any) string {
		p.key = jose.SigningKey{Algorithm: alg, Key: key}
		return p.sign(p.claims)
	}
	secret := []byte(strings.Repeat("s", 32))
	never := map[string]string{
		"shared secret": mint(jose.HS256, secret), "unsigned": b64(map[string]any{"alg": "none"}) + "." + b64(p.claims) + ".",
		"weak key": mint(jose.RS256, weakKey()),
	}
	genuine := mint(jose.EdDSA, edKey())
	ours := p.jwks[0]
	for _, s := range []string{
		set(ours), set(ours, jose.JSONWebKey{Key: secret, KeyID: "k1"}), set(jose.JSONWebKey{Key: edKey(), KeyID: "k1"}),
		set(jose.JSONWebKey{Key: weakKey().Public(), KeyID: "k1"}), set(jose.JSONWebKey{Key: ours.Key, KeyID: "k1", Use: "enc"}),
		set(jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "k1"}), set(jose.JSONWebKey{Key: ecKey().Public(), KeyID: "k1"}),
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQ"},{"kty":"x"},1,null]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`,
		`{"keys":{}}`, "", "[",
	} {
		f.Add([]byte(s))
	}
	// The weak key differs between processes: it is put in by each itself.
	weak := set(jose.JSONWebKey{Key: weakKey().Public(), KeyID: "k1"})
	var raw []byte
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, raw = range [][]byte{b, append([]byte(weak[:len(weak)-2]+","), bytes.TrimPrefix(b, []byte(`{"keys":[`))...)} {
			rp := p.fuzzParty(t, "/jwks", &raw, nil)
			if rp.Refresh(t.Context()) != nil {
				continue
			}
			for name, token := range never {
				if _, err := rp.Verify(t.Context(), token); err == nil {
					t.Errorf("%q: a token by the %s is good", raw, name)
				}
			}
			if _, err := rp.Verify(t.Context(), genuine); err == nil && !holdsKey(raw, ours) {
				t.Errorf("%q: verifies the token of a key that is not in it", raw)
			}
		}
	})
}

// holdsKey reports whether a set has a member with the key's public half.
func holdsKey(raw []byte, want jose.JSONWebKey) bool {
	var set struct {
		Keys []struct {
			X string `json:"x"`
		} `json:"keys"`
	}
	// Members of other shapes leave theirs empty.
	_ = json.Unmarshal(raw, &set)
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.X, "="))
		if err == nil && bytes.Equal(x, want.Key.(ed25519.PublicKey)) {
			return true
		}
	}
	return false
}
