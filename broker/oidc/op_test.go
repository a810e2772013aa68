package oidc_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

var (
	rsaKey  = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	rsaKey2 = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	weakKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
	edKey   = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, 32)) })
	ecKey   = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
)

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

// op is an OpenID provider whose every answer a test can change.
type op struct {
	*httptest.Server
	mu        sync.Mutex
	discovery map[string]any
	jwks      []jose.JSONWebKey
	rawKeys   []any // in the place of jwks
	key       jose.SigningKey
	keyID     string
	claims    map[string]any
	userinfo  map[string]any
	token     map[string]any                           // added to the token answer
	mint      func(map[string]any) string              // instead of signing claims
	serve     func(http.ResponseWriter, *http.Request) // instead of the token endpoint
	forms     []url.Values
	basic     []string
	fetches   int
	nonce     string
	challenge string // what PKCE was begun with, if it is checked
	typ       string

	userinfoRaw    string
	userinfoStatus int
}

func newOP(t testing.TB) *op {
	t.Helper()
	p := &op{key: jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey()}, keyID: "k1"}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { reply(w, p.discovery) })
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fetches++
		if p.rawKeys != nil {
			reply(w, map[string]any{"keys": p.rawKeys})
			return
		}
		reply(w, map[string]any{"keys": p.jwks})
	})
	mux.HandleFunc("/token", p.tokenEndpoint)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		status := max(p.userinfoStatus, http.StatusOK)
		if r.Header.Get("Authorization") != "Bearer at-1" {
			status = http.StatusUnauthorized
		}
		if p.userinfoRaw != "" {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(p.userinfoRaw))
			return
		}
		answer(w, status, p.userinfo)
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	p.fill(time.Now())
	return p
}

// fill makes the documents of a good provider at p.URL.
func (p *op) fill(now time.Time) {
	p.discovery = map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"userinfo_endpoint": p.URL + "/userinfo", "response_types_supported": []string{"code"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "private_key_jwt"},
	}
	p.jwks = []jose.JSONWebKey{{Key: rsaKey().Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}
	p.claims = map[string]any{
		"iss": p.URL, "sub": "alice-1", "aud": "rolegate", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(),
		"acr": "loa2", "amr": []string{"pwd", "otp"}, "sid": "sid-1", "groups": []string{"g1", "g2"}, "email": "alice@example.com",
	}
	p.userinfo = map[string]any{"sub": "alice-1", "department": "ops", "email": "other@example.com", "only_userinfo": map[string]any{"list": []string{"a", "b"}}}
}

func reply(w http.ResponseWriter, v any) { answer(w, http.StatusOK, v) }

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *op) tokenEndpoint(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	user, pass, _ := r.BasicAuth()
	p.forms, p.basic = append(p.forms, r.PostForm), append(p.basic, user+":"+pass)
	if p.serve != nil {
		p.serve(w, r)
		return
	}
	if sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier"))); p.challenge != "" && p.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	claims := maps.Clone(p.claims)
	if _, set := claims["nonce"]; !set && r.PostForm.Get("grant_type") == "authorization_code" {
		claims["nonce"] = p.nonce
	}
	for k, v := range claims {
		if v == nil {
			delete(claims, k)
		}
	}
	mint := p.sign
	if p.mint != nil {
		mint = p.mint
	}
	out := map[string]any{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-1", "id_token": mint(claims)}
	maps.Copy(out, p.token)
	reply(w, out)
}

func (p *op) sign(claims map[string]any) string {
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return p.signRaw(b)
}

func (p *op) signRaw(payload []byte) string {
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if p.typ != "" {
		opts = (&jose.SignerOptions{}).WithType(jose.ContentType(p.typ))
	}
	if p.keyID != "" {
		opts = opts.WithHeader("kid", p.keyID)
	}
	s, err := jose.NewSigner(p.key, opts)
	if err != nil {
		panic(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		panic(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return raw
}

// appended is the claims as JSON with a member more at the end, where it beats
// an earlier one for a careless reader.
func appended(claims map[string]any, member string) []byte {
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return append(b[:len(b)-1], ","+member+"}"...)
}

func b64(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (p *op) config(change func(*oidc.Config)) oidc.Config {
	c := oidc.Config{
		ID: "corp", PublicURL: "https://sso.example.com", Issuer: p.URL, ClientID: "rolegate",
		ClientSecret: broker.NewSecret("planted secret/+"), HTTP: p.Client(),
	}
	if change != nil {
		change(&c)
	}
	return c
}

func (p *op) party(t testing.TB, change func(*oidc.Config)) *oidc.RelyingParty {
	t.Helper()
	rp, err := oidc.New(p.config(change))
	if err != nil {
		t.Fatal(err)
	}
	return rp
}

func request() broker.AuthRequest {
	return broker.AuthRequest{
		ID: "id-1", State: "state-1", Nonce: "nonce-1", CodeVerifier: broker.NewSecret(strings.Repeat("v", 43)),
		Provider: "corp", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute),
	}
}

func callback() url.Values { return url.Values{"code": {"code-1"}, "state": {"state-1"}} }

func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
