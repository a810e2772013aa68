package oidc_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

func published(t *testing.T, rp *oidc.RelyingParty) []jose.JSONWebKey {
	t.Helper()
	b, err := rp.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil || strings.Contains(string(b), `"d"`) {
		t.Fatalf("%s: %v", b, err)
	}
	return set.Keys
}

var longSecret = broker.NewSecret("planted secret/+ planted secret/+")

// TestClientAuth ensures how we prove who we are, by what is configured and what
// the provider offers, at the token endpoint and where tokens are revoked.
func TestClientAuth(t *testing.T) {
	secret := func(m oidc.ClientAuth) func(*oidc.Config) {
		return func(c *oidc.Config) { c.ClientAuth, c.ClientSecret = m, longSecret }
	}
	key := func(c *oidc.Config) { c.ClientSecret, c.ClientKey, c.ClientKeyID = broker.Secret{}, ecKey(), "ck" }
	public := func(c *oidc.Config) { c.ClientSecret, c.ClientAuth = broker.Secret{}, oidc.AuthNone }
	for _, tt := range []struct {
		name   string
		offers any
		config func(*oidc.Config)
		want   string // basic, post, HS256, ES256 or none
	}{
		{"nothing offered, a secret", nil, secret(""), "basic"},
		{"basic and post offered", []string{"client_secret_post", "client_secret_basic"}, secret(""), "basic"},
		{"post offered", []string{"client_secret_post"}, secret(""), "post"},
		{"a signature with the secret offered", []string{"client_secret_jwt"}, secret(""), "HS256"},
		{"offered as text", "client_secret_post", secret(""), "post"},
		{"offered in an odd form", map[string]any{}, secret(""), "basic"},
		{"basic as configured", []string{"client_secret_post"}, secret(oidc.AuthBasic), "basic"},
		{"post as configured", []string{"client_secret_basic"}, secret(oidc.AuthPost), "post"},
		{"a signature with the secret as configured", nil, secret(oidc.AuthSecretJWT), "HS256"},
		{"a key", []string{"private_key_jwt"}, key, "ES256"},
		{"a key, nothing offered", nil, key, "ES256"},
		{"public", nil, public, "none"},
		{"public, others offered", []string{"client_secret_basic"}, public, "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			delete(p.discovery, "token_endpoint_auth_methods_supported")
			if tt.offers != nil {
				p.discovery["token_endpoint_auth_methods_supported"] = tt.offers
			}
			p.discovery["revocation_endpoint"] = p.URL + "/token" // which notes what came
			rp := p.party(t, tt.config)
			if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
				t.Fatal(err)
			}
			if _, err := rp.RefreshTokens(t.Context(), broker.Subject{Provider: "corp", ID: "alice-1"}, broker.Tokens{RefreshToken: broker.NewSecret("rt")}); err != nil {
				t.Fatal(err)
			}
			if _, err := rp.BeginLogout(t.Context(), broker.LogoutRequest{Tokens: broker.Tokens{RefreshToken: broker.NewSecret("rt")}}); err != nil {
				t.Fatal(err)
			}
			if len(p.forms) != 3 || p.forms[2].Get("token") != "rt" || p.forms[2].Get("token_type_hint") != "refresh_token" {
				t.Fatalf("%v", p.forms)
			}
			for i, form := range p.forms {
				if got := provenBy(t, form, p.basic[i], p.URL); got != tt.want {
					t.Errorf("request %d: %s, want %s: %v, %q", i, got, tt.want, form, p.basic[i])
				}
			}
		})
	}
}

func provenBy(t *testing.T, form url.Values, basic, issuer string) string {
	t.Helper()
	signed := form.Get("client_assertion")
	switch {
	case basic == "rolegate:"+url.QueryEscape(longSecret.Reveal()) && !form.Has("client_secret") && signed == "":
		return "basic"
	case basic != ":":
		return "odd basic"
	case form.Get("client_id") == "rolegate" && form.Get("client_secret") == longSecret.Reveal() && signed == "":
		return "post"
	case form.Has("client_secret") || form.Get("client_id") != "rolegate":
		return "odd post"
	case signed == "":
		return "none"
	}
	tok, err := jwt.ParseSigned(signed, []jose.SignatureAlgorithm{jose.HS256, jose.ES256})
	if err != nil || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		t.Fatal(form, err)
	}
	var c jwt.Claims
	var verify any = []byte(longSecret.Reveal())
	if tok.Headers[0].Algorithm == "ES256" {
		verify = ecKey().Public()
	}
	if err := tok.Claims(verify, &c); err != nil || c.Validate(jwt.Expected{Issuer: "rolegate", Subject: "rolegate", AnyAudience: jwt.Audience{issuer}}) != nil {
		t.Error(c, err)
	}
	return tok.Headers[0].Algorithm
}

// TestClientAuthRefused ensures that a configuration which cannot work is
// refused at the start.
func TestClientAuthRefused(t *testing.T) {
	p := newOP(t)
	for name, change := range map[string]func(*oidc.Config){
		"no secret and no key": func(c *oidc.Config) { c.ClientSecret = broker.Secret{} },
		"secret and key":       func(c *oidc.Config) { c.ClientKey = ecKey() },
		"none with a secret":   func(c *oidc.Config) { c.ClientAuth = oidc.AuthNone },
		"basic with a key": func(c *oidc.Config) {
			c.ClientAuth, c.ClientSecret, c.ClientKey = oidc.AuthBasic, broker.Secret{}, ecKey()
		},
		"private_key_jwt by a secret": func(c *oidc.Config) { c.ClientAuth = oidc.AuthPrivateKeyJWT },
		"a short secret that signs":   func(c *oidc.Config) { c.ClientAuth, c.ClientSecret = oidc.AuthSecretJWT, broker.NewSecret("short") },
		"a method nobody knows":       func(c *oidc.Config) { c.ClientAuth = "tls_client_auth" },
		"discovery over http":         func(c *oidc.Config) { c.DiscoveryURL = "http://idp.example/x" },
		"redirect_uri of one's own":   func(c *oidc.Config) { c.Authorize = map[string]string{"redirect_uri": "https://evil.example"} },
		"response_mode of one's own":  func(c *oidc.Config) { c.Authorize = map[string]string{"response_mode": "fragment"} },
		"State in other case":         func(c *oidc.Config) { c.Authorize = map[string]string{"State": "x"} },
		"code_challenge_method":       func(c *oidc.Config) { c.Authorize = map[string]string{"code_challenge_method": "plain"} },
		"request_uri":                 func(c *oidc.Config) { c.Authorize = map[string]string{"request_uri": "https://evil.example"} },
		"prompt none":                 func(c *oidc.Config) { c.Authorize = map[string]string{"prompt": "login none"} },
		"a parameter without a name":  func(c *oidc.Config) { c.Authorize = map[string]string{"": "x"} },
	} {
		if _, err := oidc.New(p.config(change)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestClientKeys ensures that all keys are published by which we may prove who
// we are, each once, and no private one.
func TestClientKeys(t *testing.T) {
	p := newOP(t)
	rp := p.party(t, func(c *oidc.Config) {
		c.ClientSecret, c.ClientKey, c.ClientKeyID = broker.Secret{}, rsaKey2(), "now"
		c.ClientKeys = []oidc.PublicKey{{ID: "now", Key: rsaKey2().Public()}, {ID: "next", Key: ecKey().Public()}}
	})
	keys := published(t, rp)
	if len(keys) != 2 || keys[0].KeyID != "now" || keys[1].KeyID != "next" || keys[0].Use != "sig" || keys[1].Algorithm != "ES256" || !keys[0].IsPublic() || !keys[1].IsPublic() {
		t.Errorf("%+v", keys)
	}
	if keys := published(t, p.party(t, nil)); len(keys) != 0 {
		t.Errorf("with a secret: %+v", keys)
	}
}

// TestAssertionAudience ensures that an assertion is for the issuer, and for the
// token endpoint only where that is configured.
func TestAssertionAudience(t *testing.T) {
	for _, atEndpoint := range []bool{false, true} {
		p := newOP(t)
		p.nonce = "nonce-1"
		rp := p.party(t, func(c *oidc.Config) {
			c.ClientSecret, c.ClientKey, c.AudienceTokenEndpoint = broker.Secret{}, ecKey(), atEndpoint
		})
		if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
			t.Fatal(err)
		}
		tok, err := jwt.ParseSigned(p.forms[0].Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		var c jwt.Claims
		if err == nil {
			err = tok.Claims(ecKey().Public(), &c)
		}
		want := p.URL
		if atEndpoint {
			want += "/token"
		}
		if err != nil || len(c.Audience) != 1 || c.Audience[0] != want {
			t.Errorf("%v, %v", c.Audience, err)
		}
	}
}

// TestAuthorize ensures which scopes and parameters are sent: what is
// configured, without what the provider says it does not have.
func TestAuthorize(t *testing.T) {
	scopes := []string{"openid", "offline_access"}
	for _, tt := range []struct {
		name   string
		op     func(*op)
		config func(*oidc.Config)
		force  bool
		want   map[string]string
	}{
		{"kept tokens alone ask for nothing", nil, func(c *oidc.Config) { c.Offline = true }, false, map[string]string{"scope": "openid profile email", "prompt": ""}},
		{"offline_access as configured", nil, func(c *oidc.Config) { c.Scopes = scopes }, false, map[string]string{"scope": "openid offline_access", "prompt": ""}},
		{"offline_access that is offered", func(p *op) { p.discovery["scopes_supported"] = scopes }, func(c *oidc.Config) { c.Scopes = scopes }, false, map[string]string{"scope": "openid offline_access"}},
		{"offline_access that is not offered", func(p *op) { p.discovery["scopes_supported"] = []string{"openid"} }, func(c *oidc.Config) { c.Scopes = scopes }, false, map[string]string{"scope": "openid"}},
		{"another scope that is not listed", func(p *op) { p.discovery["scopes_supported"] = []string{"openid"} }, func(c *oidc.Config) { c.Scopes = []string{"openid", "groups"} }, false, map[string]string{"scope": "openid groups"}},
		{"further parameters", nil, func(c *oidc.Config) { c.Authorize = map[string]string{"access_type": "offline", "hd": "example.com"} }, false, map[string]string{"access_type": "offline", "hd": "example.com", "state": "state-1"}},
		{"a prompt", nil, func(c *oidc.Config) { c.Authorize = map[string]string{"prompt": "consent"} }, false, map[string]string{"prompt": "consent"}},
		{"a prompt, afresh", nil, func(c *oidc.Config) { c.Authorize = map[string]string{"prompt": "consent"} }, true, map[string]string{"prompt": "login consent"}},
		{"a prompt for login, afresh", nil, func(c *oidc.Config) { c.Authorize = map[string]string{"prompt": "login select_account"} }, true, map[string]string{"prompt": "login select_account"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			if tt.op != nil {
				tt.op(p)
			}
			r := request()
			r.ForceAuthn = tt.force
			ch, err := p.party(t, tt.config).Begin(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(ch.URL)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if got := u.Query().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestDiscoveryElsewhere ensures that the document may be elsewhere than below
// the issuer, and that the issuer is held to the letter all the same.
func TestDiscoveryElsewhere(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	const issuer = "https://tenant.example/guid/v2.0/"
	p.discovery["issuer"], p.claims["iss"] = issuer, issuer
	elsewhere := func(c *oidc.Config) {
		c.Issuer, c.DiscoveryURL = issuer, p.URL+"/.well-known/openid-configuration"
	}
	if _, err := p.party(t, elsewhere).Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
	p.claims["iss"] = p.URL
	if _, err := p.party(t, elsewhere).Finish(t.Context(), request(), callback()); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("a token of another issuer: %v", err)
	}
	p.discovery["issuer"] = "https://tenant.example/guid/v2.0"
	if _, err := p.party(t, elsewhere).Finish(t.Context(), request(), callback()); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("a document about another issuer: %v", err)
	}
}

// TestOddDiscovery ensures that a member nobody needs is in nobody's way,
// whatever its type.
func TestOddDiscovery(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	for _, name := range []string{"userinfo_endpoint", "end_session_endpoint", "revocation_endpoint", "scopes_supported", "code_challenge_methods_supported",
		"response_types_supported", "claims_supported", "pushed_authorization_request_endpoint", "introspection_endpoint"} {
		p.discovery[name] = map[string]any{"x": []int{1}}
	}
	p.discovery["ISSUER"] = "https://evil.example"
	p.discovery["authorization_response_iss_parameter_supported"] = "false"
	if _, err := p.party(t, nil).Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
}

// TestRevocation ensures that signing out tells the provider, and goes on
// whatever it answers.
func TestRevocation(t *testing.T) {
	r := broker.LogoutRequest{State: "s", Tokens: broker.Tokens{RefreshToken: broker.NewSecret("planted-refresh")}}
	for _, tt := range []struct {
		name   string
		change func(*op)
		config func(*oidc.Config)
		asked  int
		said   string
	}{
		{"revoked", nil, nil, 1, "has ended"},
		{"revoked without a logout", nil, func(c *oidc.Config) { c.NoLogout = true }, 1, "has ended"},
		{"refused", func(p *op) { p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) } }, nil, 1, "status 503"},
		{"no address", func(p *op) { delete(p.discovery, "revocation_endpoint") }, nil, 0, "names no"},
		{"an address over http", func(p *op) { p.discovery["revocation_endpoint"] = "http://evil.example/revoke" }, nil, 0, "names no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.discovery["revocation_endpoint"], p.discovery["end_session_endpoint"] = p.URL+"/token", p.URL+"/end"
			if tt.change != nil {
				tt.change(p)
			}
			trace := &broker.Trace{}
			ch, err := p.party(t, tt.config).BeginLogout(broker.WithTrace(t.Context(), trace), r)
			if err != nil || (ch == nil) != (tt.config != nil) || len(p.forms) != tt.asked {
				t.Errorf("%v, %v, asked %d times", ch, err, len(p.forms))
			}
			steps := trace.Steps()
			if len(steps) == 0 || !strings.Contains(steps[0].Detail, tt.said) || strings.Contains(steps[0].Detail, "planted") {
				t.Errorf("%v", steps)
			}
		})
	}
	p := newOP(t)
	p.discovery["revocation_endpoint"] = p.URL + "/token"
	if _, err := p.party(t, nil).BeginLogout(t.Context(), broker.LogoutRequest{State: "s"}); err != nil || len(p.forms) != 0 {
		t.Errorf("without tokens: %v, asked %d times", err, len(p.forms))
	}
}

// TestPushed ensures that a request goes to the provider itself where that wants
// it so, and that the browser carries nothing but what stands for it.
func TestPushed(t *testing.T) {
	p := newOP(t)
	p.discovery["require_pushed_authorization_requests"], p.discovery["pushed_authorization_request_endpoint"] = true, p.URL+"/token"
	p.discovery["authorization_endpoint"] = p.URL + "/auth?tenant=1"
	p.serve = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"request_uri":"urn:x:1","expires_in":60}`)
	}
	rp := p.party(t, nil)
	ch, err := rp.Begin(t.Context(), request())
	if err != nil || ch.URL != p.URL+"/auth?client_id=rolegate&request_uri=urn%3Ax%3A1&tenant=1" {
		t.Errorf("%v, %v", ch, err)
	}
	if f := p.forms[0]; f.Get("state") != "state-1" || f.Get("nonce") != "nonce-1" || f.Get("code_challenge") == "" || f.Get("redirect_uri") == "" || f.Has("tenant") {
		t.Errorf("%v", f)
	}
	p.serve = func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 400, map[string]any{"error": "invalid_request"})
	}
	if _, err := rp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), "invalid_request") {
		t.Errorf("%v", err)
	}
	q := newOP(t)
	q.discovery["require_pushed_authorization_requests"] = true
	if _, err := q.party(t, nil).Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("without an endpoint: %v", err)
	}
}
