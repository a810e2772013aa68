package idp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The contexts that the demo's OpenID provider vouches for.
const (
	ACRPassword = "urn:rolegate:demo:pwd" //nolint:gosec // G101: a URN
	ACRMFA      = "urn:rolegate:demo:mfa"
)

const (
	codeLife    = time.Minute
	idTokenLife = 10 * time.Minute
)

// Client is a relying party.
type Client struct {
	ID, Secret   string
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

	mu       sync.Mutex
	requests map[string]oidcRequest
	grants   map[string]*grant // by code
	refresh  map[string]*grant // by refresh token
	access   map[string]*grant // by access token
	tamper   func(map[string]any)
}

type oidcRequest struct {
	client   Client
	redirect string
	query    url.Values
	at       time.Time
}

// grant is what a person agreed to at one sign-in.
type grant struct {
	client    Client
	redirect  string
	nonce     string
	challenge string
	scopes    []string
	session   *session
	at        time.Time
}

// NewOIDC returns a provider with a key of its own.
func NewOIDC(o OIDCOptions) (*OIDC, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	p := &OIDC{o: o, key: key, kid: rand.Text()[:8], requests: map[string]oidcRequest{}, grants: map[string]*grant{}, refresh: map[string]*grant{}, access: map[string]*grant{}}
	p.login = newLogin(newDirectory(o.People, o.Now), "demo_oidc_session", "Acme OpenID Connect", p.answer)
	for _, c := range o.Clients {
		for _, r := range c.RedirectURIs {
			if u, err := url.Parse(r); err == nil {
				p.login.allow += " " + u.Scheme + "://" + u.Host
			}
		}
	}
	return p, nil
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
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": p.o.Issuer, "authorization_endpoint": p.o.BrowserURL + "/authorize", "token_endpoint": p.o.Issuer + "/token",
			"userinfo_endpoint": p.o.Issuer + "/userinfo", "jwks_uri": p.o.Issuer + "/keys", "response_types_supported": []string{"code"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
			"scopes_supported": []string{"openid", "profile", "email", "groups", "offline_access"}, "acr_values_supported": []string{ACRPassword, ACRMFA},
			"authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		e := big.NewInt(int64(p.key.E)).Bytes()
		writeJSON(w, http.StatusOK, map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": p.kid,
			"n": base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(e),
		}}})
	})
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	return mux
}

// BrowserHandler serves the authorization endpoint and the login pages.
func (p *OIDC) BrowserHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	p.login.mount(mux)
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody to tell
}

func (p *OIDC) client(id string) (Client, bool) {
	for _, c := range p.o.Clients {
		if c.ID == id {
			return c, true
		}
	}
	return Client{}, false
}

// authorize is OpenID Connect core 3.1.2. A request from an unknown client or
// for an unknown redirect URI is answered here and never redirected.
func (p *OIDC) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c, ok := p.client(q.Get("client_id"))
	if !ok || !slices.Contains(c.RedirectURIs, q.Get("redirect_uri")) {
		render(w, http.StatusBadRequest, "error.html", "'none'", "The client or its redirect URI is not known.")
		return
	}
	req := oidcRequest{client: c, redirect: q.Get("redirect_uri"), query: q, at: p.o.Now()}
	scopes := strings.Fields(q.Get("scope"))
	if q.Get("response_type") != "code" || !slices.Contains(scopes, "openid") || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
		p.back(w, req, url.Values{"error": {"invalid_request"}, "error_description": {"code flow with openid scope and PKCE S256 is needed"}})
		return
	}
	id := rand.Text()
	p.mu.Lock()
	p.requests[id] = req
	p.mu.Unlock()
	wanted := slices.Contains(strings.Fields(q.Get("acr_values")), ACRMFA)
	cur := p.login.current(r)
	fresh := cur != nil && !slices.Contains(strings.Fields(q.Get("prompt")), "login") && (!wanted || cur.mfa)
	if seconds, err := strconv.Atoi(q.Get("max_age")); err == nil && cur != nil && p.o.Now().Sub(cur.at) > time.Duration(seconds)*time.Second {
		fresh = false
	}
	if fresh {
		p.answer(w, r, id, cur)
		return
	}
	if q.Get("prompt") == "none" {
		p.back(w, req, url.Values{"error": {"login_required"}})
		return
	}
	p.login.ask(w, id, wanted)
}

// back sends the browser to the client with the answer, state and iss.
func (p *OIDC) back(w http.ResponseWriter, req oidcRequest, answer url.Values) {
	answer.Set("state", req.query.Get("state"))
	answer.Set("iss", p.o.Issuer)
	w.Header().Set("Location", req.redirect+"?"+answer.Encode())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

func (p *OIDC) answer(w http.ResponseWriter, _ *http.Request, id string, s *session) {
	p.mu.Lock()
	req, ok := p.requests[id]
	delete(p.requests, id)
	code := rand.Text()
	if ok {
		p.grants[code] = &grant{
			client: req.client, redirect: req.redirect, nonce: req.query.Get("nonce"), challenge: req.query.Get("code_challenge"),
			scopes: strings.Fields(req.query.Get("scope")), session: s, at: p.o.Now(),
		}
	}
	p.mu.Unlock()
	if !ok {
		render(w, http.StatusBadRequest, "error.html", "'none'", "This sign-in is over. Start again at the service.")
		return
	}
	p.back(w, req, url.Values{"code": {code}})
}

func (p *OIDC) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	user, pass, _ := r.BasicAuth()
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(pass)
	c, ok := p.client(id)
	if err1 != nil || err2 != nil || !ok || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) != 1 {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	var g *grant
	nonce := ""
	p.mu.Lock()
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		code := r.PostFormValue("code")
		g = p.grants[code]
		delete(p.grants, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if g != nil && (g.redirect != r.PostFormValue("redirect_uri") || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || p.o.Now().Sub(g.at) > codeLife) {
			g = nil
		}
		if g != nil {
			nonce = g.nonce
		}
	case "refresh_token":
		old := r.PostFormValue("refresh_token")
		g = p.refresh[old]
		delete(p.refresh, old)
	}
	p.mu.Unlock()
	if g == nil || g.client.ID != c.ID {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	writeJSON(w, http.StatusOK, p.issue(g, nonce))
}

func (p *OIDC) issue(g *grant, nonce string) map[string]any {
	access := rand.Text()
	now := p.o.Now()
	sum := sha256.Sum256([]byte(access))
	claims := p.claims(g)
	claims["iss"], claims["aud"], claims["iat"], claims["exp"] = p.o.Issuer, g.client.ID, now.Unix(), now.Add(idTokenLife).Unix()
	claims["auth_time"], claims["sid"], claims["jti"] = g.session.at.Unix(), g.session.id, rand.Text()
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:16])
	claims["acr"], claims["amr"] = ACRPassword, []string{"pwd"}
	if g.session.mfa {
		claims["acr"], claims["amr"] = ACRMFA, []string{"pwd", "otp", "mfa"}
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	out := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 600}
	p.mu.Lock()
	if p.tamper != nil {
		p.tamper(claims)
	}
	p.access[access] = g
	if slices.Contains(g.scopes, "offline_access") {
		refresh := rand.Text()
		p.refresh[refresh] = g
		out["refresh_token"] = refresh
	}
	p.mu.Unlock()
	out["id_token"] = p.sign(claims)
	return out
}

// claims of the person for the scopes that were granted.
func (p *OIDC) claims(g *grant) map[string]any {
	out := map[string]any{"sub": g.session.person.subject()}
	if slices.Contains(g.scopes, "profile") {
		out["name"], out["preferred_username"] = g.session.person.Name, g.session.person.Username
	}
	if slices.Contains(g.scopes, "email") {
		out["email"], out["email_verified"] = g.session.person.Email, true
	}
	if slices.Contains(g.scopes, "groups") {
		out["groups"] = g.session.person.Groups
	}
	return out
}

// sign makes a compact JWS with RS256 (RFC 7515, RFC 7518 section 3.3).
func (p *OIDC) sign(claims map[string]any) string {
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"alg": "RS256", "typ": "JWT", "kid": p.kid}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
	if err != nil {
		return ""
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (p *OIDC) userinfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	g := p.access[token]
	p.mu.Unlock()
	if g == nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	writeJSON(w, http.StatusOK, p.claims(g))
}
