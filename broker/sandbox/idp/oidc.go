package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The contexts that the demo's OpenID provider vouches for.
const (
	ACRPassword = "urn:rolegate:demo:pwd" //nolint:gosec // G101: a URN
	ACRMFA      = "urn:rolegate:demo:mfa"
)

const (
	codeLife    = time.Minute
	accessLife  = 10 * time.Minute
	idTokenLife = 10 * time.Minute
	refreshLife = 24 * time.Hour
)

// Client is a relying party. It has a secret (client_secret_basic) or keys
// (private_key_jwt), not both. Its ID is the audience of its ID tokens, and so
// what IAM has to know an OIDC provider's client by.
type Client struct {
	ID, Secret   string
	Keys         []crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey on P-256, ed25519.PublicKey
	RedirectURIs []string
}

// OIDCOptions of an OpenID provider.
type OIDCOptions struct {
	Issuer     string // https, for back-channel endpoints
	BrowserURL string // where browsers find the authorization endpoint
	People     []Person
	Clients    []Client
	Now        func() time.Time
}

// OIDC is an OpenID provider: authorization code flow with PKCE, refresh
// tokens, userinfo. It signs with the standard library alone.
type OIDC struct {
	o     OIDCOptions
	key   *rsa.PrivateKey
	kid   string
	login *login

	codes   *shelf[*grant]
	refresh *shelf[*grant] // by refresh token
	access  *shelf[*grant] // by access token
	spent   *shelf[*grant] // codes and refresh tokens that were redeemed
	seen    *shelf[bool]   // client assertions

	mu     sync.Mutex
	tamper func(map[string]any)
}

// grant is what a person agreed to at one sign-in.
type grant struct {
	client    Client
	redirect  string
	nonce     string
	challenge string
	scopes    []string
	session   *session
	revoked   atomic.Bool
}

// NewOIDC returns a provider with a key of its own.
func NewOIDC(o OIDCOptions) (*OIDC, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if origin(o.Issuer) == "" || origin(o.BrowserURL) == "" {
		return nil, fmt.Errorf("idp: issuer %q or browser URL %q is not http", o.Issuer, o.BrowserURL)
	}
	for _, c := range o.Clients {
		if err := c.valid(); err != nil {
			return nil, err
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	p := &OIDC{
		o: o, key: key, kid: rand.Text()[:8],
		codes: newShelf[*grant](o.Now, codeLife), refresh: newShelf[*grant](o.Now, refreshLife), access: newShelf[*grant](o.Now, accessLife),
		spent: newShelf[*grant](o.Now, refreshLife), seen: newShelf[bool](o.Now, assertionLimit+assertionSkew),
	}
	if p.login, err = newLogin(o.People, o.Now, "demo_oidc_session", "Acme OpenID Connect"); err != nil {
		return nil, err
	}
	return p, nil
}

func (c Client) valid() error {
	if c.ID == "" || len(c.RedirectURIs) == 0 || (c.Secret == "") == (len(c.Keys) == 0) {
		return fmt.Errorf("idp: client %q needs an ID, a redirect URI, and either a secret or keys", c.ID)
	}
	for _, r := range c.RedirectURIs {
		if origin(r) == "" || strings.Contains(r, "#") {
			return fmt.Errorf("idp: client %q: redirect URI %q is not an http one without fragment", c.ID, r)
		}
	}
	for _, k := range c.Keys {
		if keyAlgorithm(k) == "" {
			return fmt.Errorf("idp: client %q: key of type %T", c.ID, k)
		}
	}
	return nil
}

// SetTamper lets a test change the claims of ID tokens before they are signed.
// Nil ends it.
func (p *OIDC) SetTamper(f func(claims map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tamper = f
}

// Handler serves the issuer: discovery, keys, token and userinfo endpoints.
func (p *OIDC) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	mux.HandleFunc("POST /userinfo", p.userinfo)
	return mux
}

// BrowserHandler serves the authorization endpoint and the login pages.
func (p *OIDC) BrowserHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /authorize", p.authorize)
	p.login.mount(mux)
	return mux
}

// discovery is OpenID Connect discovery 1.0 section 3.
func (p *OIDC) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                           p.o.Issuer,
		"authorization_endpoint":                           p.o.BrowserURL + "/authorize",
		"token_endpoint":                                   p.o.Issuer + "/token",
		"userinfo_endpoint":                                p.o.Issuer + "/userinfo",
		"jwks_uri":                                         p.o.Issuer + "/keys",
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{"query"},
		"grant_types_supported":                            []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            []string{"RS256"},
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
		"scopes_supported":                                 []string{"openid", "profile", "email", "groups", "offline_access"},
		"acr_values_supported":                             []string{ACRPassword, ACRMFA},
		"claims_supported": []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
			"name", "preferred_username", "email", "email_verified", "groups"},
		"request_uri_parameter_supported":                false, // true by default
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *OIDC) keys(w http.ResponseWriter, _ *http.Request) {
	e := big.NewInt(int64(p.key.E)).Bytes()
	writeJSON(w, http.StatusOK, map[string]any{"keys": []map[string]string{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": p.kid,
		"n": base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(e),
	}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody to tell
}

func (p *OIDC) client(id string) (Client, bool) {
	i := slices.IndexFunc(p.o.Clients, func(c Client) bool { return c.ID == id })
	if i < 0 {
		return Client{}, false
	}
	return p.o.Clients[i], true
}

// userinfo is OpenID Connect core 5.3; the token comes in the header.
func (p *OIDC) userinfo(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g, known := p.access.get(token)
	if !ok || !known || g.revoked.Load() {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	claims := g.claims()
	writeJSON(w, http.StatusOK, claims)
}

// claims of the person for the scopes that were granted.
func (g *grant) claims() map[string]any {
	p := g.session.person
	out := map[string]any{"sub": p.subject()}
	if slices.Contains(g.scopes, "profile") {
		out["name"], out["preferred_username"] = p.Name, p.Username
	}
	if slices.Contains(g.scopes, "email") {
		out["email"], out["email_verified"] = p.Email, true
	}
	if slices.Contains(g.scopes, "groups") {
		out["groups"] = slices.Concat([]string{}, p.Groups) // an empty list, never null
	}
	return out
}
