package idp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker/sandbox/idp"
)

const callback = "http://rp.example.com/callback"

// op is a provider on loopback with a clock of its own.
type op struct {
	*idp.OIDC
	issuer, browser string
	people          []idp.Person
	key             *ecdsa.PrivateKey
	clock           time.Time
	client          *http.Client // a browser
}

func newOP(t *testing.T) *op {
	t.Helper()
	o := &op{people: idp.DemoPeople(), clock: time.Now().Truncate(time.Second)}
	var back, front http.Handler
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { back.ServeHTTP(w, r) }))
	two := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { front.ServeHTTP(w, r) }))
	t.Cleanup(one.Close)
	t.Cleanup(two.Close)
	o.issuer, o.browser = one.URL, two.URL
	var err error
	if o.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	o.OIDC, err = idp.NewOIDC(idp.OIDCOptions{
		Issuer: o.issuer, BrowserURL: o.browser, People: o.people, Now: func() time.Time { return o.clock },
		Clients: []idp.Client{
			{ID: "rp", Secret: "rp-secret", RedirectURIs: []string{callback}},
			{ID: "other", Secret: "other-secret", RedirectURIs: []string{callback}},
			{ID: "keyed", Keys: []crypto.PublicKey{o.key.Public()}, RedirectURIs: []string{callback}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	back, front = o.Handler(), o.BrowserHandler()
	o.newBrowser(t)
	return o
}

func (o *op) newBrowser(t *testing.T) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.client = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (o *op) config() oauth2.Config {
	return oauth2.Config{
		ClientID: "rp", ClientSecret: "rp-secret", RedirectURL: callback, Scopes: []string{"openid", "profile", "email", "groups", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: o.browser + "/authorize", TokenURL: o.issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
}

// do returns the page, or the redirect's query.
func (o *op) do(t *testing.T, resp *http.Response, err error) (int, string, url.Values) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var q url.Values
	if to, err := resp.Location(); err == nil {
		q = to.Query()
	}
	return resp.StatusCode, string(b), q
}

var flightPattern = regexp.MustCompile(`name="id" value="([^"]+)"`)

func flight(t *testing.T, page string) string {
	t.Helper()
	m := flightPattern.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no form in %s", page)
	}
	return m[1]
}

// authorize asks for a code; bob signs in if a page comes.
func (o *op) authorize(t *testing.T, address, username string) url.Values {
	t.Helper()
	resp, err := o.client.Get(address)
	_, page, q := o.do(t, resp, err)
	if q != nil {
		return q
	}
	id := flight(t, page)
	p := o.people[slices.IndexFunc(o.people, func(p idp.Person) bool { return p.Username == username })]
	resp, err = o.client.PostForm(o.browser+"/login", url.Values{"id": {id}, "username": {username}, "password": {p.Password}})
	if _, _, q = o.do(t, resp, err); q == nil && p.TOTPSecret != "" {
		resp, err = o.client.PostForm(o.browser+"/totp", url.Values{"id": {id}, "code": {p.Code(o.clock)}})
		_, _, q = o.do(t, resp, err)
	}
	if q == nil {
		t.Fatal("the sign-in led nowhere")
	}
	return q
}

func (o *op) code(t *testing.T, verifier string) string {
	t.Helper()
	c := o.config()
	q := o.authorize(t, c.AuthCodeURL("st", oauth2.S256ChallengeOption(verifier), oidc.Nonce("n1")), "bob")
	if q.Get("code") == "" || q.Get("state") != "st" || q.Get("iss") != o.issuer {
		t.Fatalf("%v", q)
	}
	return q.Get("code")
}

// TestCodeFlow ensures the whole flow with go-oidc as the relying party.
func TestCodeFlow(t *testing.T) {
	o := newOP(t)
	provider, err := oidc.NewProvider(t.Context(), o.issuer)
	if err != nil {
		t.Fatal(err)
	}
	c, verifier := o.config(), oauth2.GenerateVerifier()
	tok, err := c.Exchange(t.Context(), o.code(t, verifier), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: "rp", Now: func() time.Time { return o.clock }}).Verify(t.Context(), raw)
	if err != nil || id.Nonce != "n1" || id.VerifyAccessToken(tok.AccessToken) != nil {
		t.Fatalf("%+v %v", id, err)
	}
	info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(tok))
	var claims struct {
		Groups []string `json:"groups"`
	}
	if err != nil || info.Subject != id.Subject || info.Email != "bob@example.com" || info.Claims(&claims) != nil || !slices.Contains(claims.Groups, "aws-developers") {
		t.Errorf("userinfo: %+v %v", info, err)
	}
}

// TestTokenRefusals ensures that a code works once, for its client, redirect
// URI and verifier.
func TestTokenRefusals(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(o *op, c *oauth2.Config, code, verifier *string)
	}{
		{"wrong verifier", "invalid_grant", func(_ *op, _ *oauth2.Config, _, v *string) { *v = oauth2.GenerateVerifier() }},
		{"wrong redirect URI", "invalid_grant", func(_ *op, c *oauth2.Config, _, _ *string) { c.RedirectURL += "/other" }},
		{"wrong secret", "invalid_client", func(_ *op, c *oauth2.Config, _, _ *string) { c.ClientSecret = "no" }},
		{"another client", "invalid_grant", func(_ *op, c *oauth2.Config, _, _ *string) { c.ClientID, c.ClientSecret = "other", "other-secret" }},
		{"unknown client", "invalid_client", func(_ *op, c *oauth2.Config, _, _ *string) { c.ClientID = "nobody" }},
		{"secret in the body", "invalid_client", func(_ *op, c *oauth2.Config, _, _ *string) { c.Endpoint.AuthStyle = oauth2.AuthStyleInParams }},
		{"old code", "invalid_grant", func(o *op, _ *oauth2.Config, _, _ *string) { o.clock = o.clock.Add(time.Minute) }},
		{"unknown code", "invalid_grant", func(_ *op, _ *oauth2.Config, code, _ *string) { *code += "x" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			c, v := o.config(), oauth2.GenerateVerifier()
			code := o.code(t, v)
			tt.change(o, &c, &code, &v)
			_, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(v))
			if code := errorCode(err); code != tt.want {
				t.Errorf("%q, want %q", code, tt.want)
			}
		})
	}
}

func errorCode(err error) string {
	if e, ok := err.(*oauth2.RetrieveError); ok { //nolint:errorlint // oauth2 returns it bare
		return e.ErrorCode
	}
	return ""
}

// TestCodeTwice ensures that a code brought again ends what came of it.
func TestCodeTwice(t *testing.T) {
	o := newOP(t)
	c, v := o.config(), oauth2.GenerateVerifier()
	code := o.code(t, v)
	tok, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(v))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Exchange(t.Context(), code, oauth2.VerifierOption(v)); errorCode(err) != "invalid_grant" {
		t.Errorf("again: %v", err)
	}
	if o.userinfo(t, tok.AccessToken) != http.StatusUnauthorized {
		t.Error("the access token still works")
	}
}

func (o *op) userinfo(t *testing.T, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.issuer+"/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	status, _, _ := o.do(t, resp, err)
	return status
}

// TestRefresh ensures rotation, and that reuse ends the family.
func TestRefresh(t *testing.T) {
	o := newOP(t)
	c, v := o.config(), oauth2.GenerateVerifier()
	first, err := c.Exchange(t.Context(), o.code(t, v), oauth2.VerifierOption(v))
	if err != nil {
		t.Fatal(err)
	}
	renew := func(refresh string) (*oauth2.Token, error) {
		return c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: refresh}).Token()
	}
	second, err := renew(first.RefreshToken)
	if err != nil || second.RefreshToken == first.RefreshToken || o.userinfo(t, second.AccessToken) != http.StatusOK {
		t.Fatalf("%+v %v", second, err)
	}
	if _, err := renew(first.RefreshToken); errorCode(err) != "invalid_grant" {
		t.Errorf("reuse: %v", err)
	}
	if _, err := renew(second.RefreshToken); errorCode(err) != "invalid_grant" {
		t.Errorf("after the reuse: %v", err)
	}
	if o.userinfo(t, second.AccessToken) != http.StatusUnauthorized {
		t.Error("the access token still works")
	}
}

// TestAuthorizeRefusals ensures the errors of the authorization endpoint.
func TestAuthorizeRefusals(t *testing.T) {
	tests := []struct{ name, key, value, want string }{
		{"no PKCE", "code_challenge", "", "invalid_request"},
		{"plain PKCE", "code_challenge_method", "plain", "invalid_request"},
		{"no openid", "scope", "profile", "invalid_scope"},
		{"implicit", "response_type", "id_token", "unsupported_response_type"},
		{"prompt none", "prompt", "none", "login_required"},
		{"prompt none and login", "prompt", "none login", "invalid_request"},
		{"max_age", "max_age", "-1", "invalid_request"},
		{"request object", "request", "x.y.z", "request_not_supported"},
		{"redirect URI", "redirect_uri", callback + "/x", ""},
		{"client", "client_id", "nobody", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOP(t)
			c := o.config()
			u, err := url.Parse(c.AuthCodeURL("st", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			q.Set(tt.key, tt.value)
			u.RawQuery = q.Encode()
			resp, err := o.client.Get(u.String())
			status, _, got := o.do(t, resp, err)
			if tt.want == "" && (status != http.StatusBadRequest || got != nil) || got.Get("error") != tt.want {
				t.Errorf("status %d, %v", status, got)
			}
		})
	}
}

// TestSessions ensures that a session is enough unless max_age, prompt or a
// second factor say otherwise.
func TestSessions(t *testing.T) {
	o := newOP(t)
	c := o.config()
	ask := func(more ...oauth2.AuthCodeOption) (asked bool) {
		resp, err := o.client.Get(c.AuthCodeURL("st", append(more, oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))...))
		_, _, q := o.do(t, resp, err)
		return q.Get("code") == ""
	}
	o.code(t, oauth2.GenerateVerifier())
	o.clock = o.clock.Add(time.Minute)
	mfa, param := oauth2.SetAuthURLParam("acr_values", idp.ACRMFA), oauth2.SetAuthURLParam
	if ask() || ask(param("prompt", "none")) || ask(param("max_age", "61")) {
		t.Error("asked in spite of a session")
	}
	if !ask(param("max_age", "30")) || !ask(param("max_age", "0")) || !ask(param("prompt", "login")) || !ask(mfa) {
		t.Error("not asked")
	}
	v := oauth2.GenerateVerifier()
	q := o.authorize(t, c.AuthCodeURL("st", oauth2.S256ChallengeOption(v), mfa), "alice")
	tok, err := c.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(v))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	var claims struct {
		ACR string   `json:"acr"`
		AMR []string `json:"amr"`
	}
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil || claims.ACR != idp.ACRMFA || !slices.Contains(claims.AMR, "otp") {
		t.Errorf("%+v %v", claims, err)
	}
}

// TestSecondFactor ensures that wrong, used and late codes do not sign in, and
// that a password alone is not a session.
func TestSecondFactor(t *testing.T) {
	o := newOP(t)
	alice, c := o.people[0], o.config()
	try := func(code string) int {
		o.newBrowser(t)
		resp, err := o.client.Get(c.AuthCodeURL("st", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
		_, page, _ := o.do(t, resp, err)
		id := flight(t, page)
		resp, err = o.client.PostForm(o.browser+"/login", url.Values{"id": {id}, "username": {"alice"}, "password": {alice.Password}})
		if _, _, q := o.do(t, resp, err); q != nil {
			t.Fatal("the password was enough")
		}
		resp, err = o.client.PostForm(o.browser+"/totp", url.Values{"id": {id}, "code": {code}})
		status, _, _ := o.do(t, resp, err)
		return status
	}
	present := alice.Code(o.clock)
	for _, tt := range []struct {
		name, code string
		want       int
	}{
		{"late", alice.Code(o.clock.Add(-2 * time.Minute)), http.StatusUnauthorized},
		{"empty", "", http.StatusUnauthorized},
		{"right", present, http.StatusSeeOther},
		{"replayed", present, http.StatusUnauthorized},
	} {
		if got := try(tt.code); got != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestPrivateKeyJWT ensures that a client assertion is taken once, from its
// client, for this provider.
func TestPrivateKeyJWT(t *testing.T) {
	o := newOP(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := func(jti string) jwt.Claims {
		return jwt.Claims{Issuer: "keyed", Subject: "keyed", Audience: jwt.Audience{o.issuer}, ID: jti, Expiry: jwt.NewNumericDate(o.clock.Add(time.Minute))}
	}
	tests := []struct {
		name, want string
		key        *ecdsa.PrivateKey
		change     func(*jwt.Claims)
	}{
		{"right", "invalid_grant", o.key, func(c *jwt.Claims) { c.ID = "same" }},
		{"replayed", "invalid_client", o.key, func(c *jwt.Claims) { c.ID = "same" }},
		{"another key", "invalid_client", stranger, func(*jwt.Claims) {}},
		{"another audience", "invalid_client", o.key, func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://other.example"} }},
		{"another subject", "invalid_client", o.key, func(c *jwt.Claims) { c.Subject = "rp" }},
		{"without ID", "invalid_client", o.key, func(c *jwt.Claims) { c.ID = "" }},
		{"without expiry", "invalid_client", o.key, func(c *jwt.Claims) { c.Expiry = nil }},
		{"client with a secret", "invalid_client", o.key, func(c *jwt.Claims) { c.Issuer, c.Subject = "rp", "rp" }},
	}
	for _, tt := range tests {
		claims := good(tt.name)
		tt.change(&claims)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: tt.key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.PostForm(o.issuer+"/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {"none"}, "client_assertion": {raw},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		})
		_, body, _ := o.do(t, resp, err)
		var out struct{ Error string }
		if err := json.Unmarshal([]byte(body), &out); err != nil || out.Error != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, body, tt.want)
		}
	}
}
