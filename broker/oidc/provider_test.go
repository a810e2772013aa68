package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestUnavailable ensures that a provider that does not work is named, and told
// apart from an answer that does not verify.
func TestUnavailable(t *testing.T) {
	status := func(code int, body map[string]any) func(*op) {
		return func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) { answer(w, code, body) }
		}
	}
	lie := func(name string, value any) func(*op) { return func(p *op) { p.discovery[name] = value } }
	for name, change := range map[string]func(*op){
		"token endpoint broken":            status(503, nil),
		"token endpoint brakes":            status(429, nil),
		"client secret refused":            status(401, map[string]any{"error": "invalid_client", "error_description": "planted-echo"}),
		"client secret refused, no reason": status(401, nil),
		"client not allowed":               status(400, map[string]any{"error": "unauthorized_client", "error_description": "planted-echo"}),
		"token answer no JSON": func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>planted-echo") }
		},
		"no access token":            func(p *op) { p.token = map[string]any{"access_token": ""} },
		"oversized token answer":     func(p *op) { p.token = map[string]any{"x": strings.Repeat("a", 600<<10)} },
		"keys gone":                  func(p *op) { p.discovery["jwks_uri"] = p.URL + "/nowhere" },
		"oversized JWKS":             func(p *op) { p.jwks[0].KeyID = strings.Repeat("a", 600<<10) },
		"only a weak key":            func(p *op) { p.jwks[0].Key = weakKey().Public() },
		"only an encryption key":     func(p *op) { p.jwks[0].Use = "enc" },
		"no keys":                    func(p *op) { p.jwks = nil },
		"userinfo broken":            func(p *op) { p.userinfoStatus = 500 },
		"oversized userinfo":         func(p *op) { p.userinfo["x"] = strings.Repeat("a", 600<<10) },
		"discovery oversized":        lie("x", strings.Repeat("a", 600<<10)),
		"discovery about another":    lie("issuer", "https://evil.example"),
		"discovery with a slash":     func(p *op) { p.discovery["issuer"] = p.URL + "/" },
		"no issuer":                  lie("issuer", nil),
		"token endpoint over http":   lie("token_endpoint", "http://evil.example/token"),
		"token endpoint on loopback": lie("token_endpoint", "http://127.0.0.1/token"),
		"no token endpoint":          lie("token_endpoint", nil),
		"keys over http":             lie("jwks_uri", "http://evil.example/jwks"),
		"keys in a file":             lie("jwks_uri", "file:///etc/passwd"),
		"userinfo over http":         lie("userinfo_endpoint", "http://evil.example/userinfo"),
		"sign-in page over http":     lie("authorization_endpoint", "http://evil.example/auth"),
		"javascript sign-in page":    lie("authorization_endpoint", "javascript:alert(1)"),
		"sign-in page with a user":   lie("authorization_endpoint", "https://corp@evil.example/auth"),
		"no code flow":               lie("response_types_supported", []string{"id_token"}),
		"signed requests wanted":     lie("require_signed_request_object", true),
		"no S256":                    lie("code_challenge_methods_supported", []string{"plain"}),
		"no way to prove who we are": lie("token_endpoint_auth_methods_supported", []string{"tls_client_auth"}),
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			change(p)
			_, err := p.party(t, func(c *oidc.Config) { c.UserInfo = true }).Finish(t.Context(), request(), callback())
			if broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(broker.Message(err), "corp") || broker.Remedy(err) == "" {
				t.Errorf("error %.300v", err)
			}
			if strings.Contains(fmt.Sprint(err), "planted") {
				t.Errorf("what was sent or answered is in the error: %v", err)
			}
		})
	}
}

// TestRedirectsRefused ensures that nothing follows a back-channel endpoint that
// redirects: code, secret and access token would go along.
func TestRedirectsRefused(t *testing.T) {
	for _, path := range []string{"/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"} {
		for _, status := range []int{302, 307} {
			t.Run(fmt.Sprint(path, status), func(t *testing.T) {
				var followed atomic.Int32
				elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
				t.Cleanup(elsewhere.Close)
				p := newOP(t)
				p.nonce = "nonce-1"
				client := redirecting{next: p.Client().Transport, path: path, status: status, to: elsewhere.URL}
				rp := p.party(t, func(c *oidc.Config) { c.UserInfo, c.HTTP = true, &http.Client{Transport: client} })
				if _, err := rp.Finish(t.Context(), request(), callback()); broker.CodeOf(err) != broker.CodeUnavailable {
					t.Errorf("%v", err)
				}
				if followed.Load() != 0 {
					t.Error("followed")
				}
			})
		}
	}
}

// redirecting answers one path with a redirect, after the real answer's body.
type redirecting struct {
	next     http.RoundTripper
	path, to string
	status   int
}

func (r redirecting) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err == nil && req.URL.Path == r.path {
		resp.StatusCode = r.status
		resp.Header.Set("Location", r.to)
	}
	return resp, err
}

// TestDiscoveryKeepsLastGood ensures that an outage of discovery or of the keys
// stops nobody who could sign in before.
func TestDiscoveryKeepsLastGood(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	rp := p.party(t, nil)
	if err := rp.Refresh(t.Context()); err != nil || rp.Status().Refreshed.IsZero() || rp.Status().Issuer != p.URL {
		t.Fatal(err, rp.Status())
	}
	jwks := p.jwks
	p.jwks = nil
	if rp.Refresh(t.Context()) == nil || rp.Status().Err == nil {
		t.Error("an empty key set was accepted")
	}
	discovery := p.discovery
	p.discovery = map[string]any{}
	if rp.Refresh(t.Context()) == nil || rp.Status().Err == nil {
		t.Error("an empty document was accepted")
	}
	p.discovery, p.jwks = maps.Clone(discovery), jwks
	p.discovery["code_challenge_methods_supported"] = "plain"
	if rp.Refresh(t.Context()) == nil || rp.Status().Err == nil {
		t.Error("a document that can be read in part was accepted")
	}
	if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
	p.discovery, p.jwks = discovery, jwks
	if err := rp.Refresh(t.Context()); err != nil || rp.Status().Err != nil {
		t.Error(err)
	}
}

// TestIssuerWithSlash: the slash is part of the issuer but not doubled in the
// document's address (OpenID Connect Discovery 4.1).
func TestIssuerWithSlash(t *testing.T) {
	p := newOP(t)
	p.discovery["issuer"], p.claims["iss"], p.nonce = p.URL+"/", p.URL+"/", "nonce-1"
	rp := p.party(t, func(c *oidc.Config) { c.Issuer = p.URL + "/" })
	if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
}

// answers is a transport without a network.
type answers func(*http.Request) (string, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := a(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

const plainDiscovery = `{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/auth",
	"token_endpoint":"https://idp.example/token","jwks_uri":"https://idp.example/jwks"}`

// remote is a relying party of a provider that is a function.
func remote(t *testing.T, now func() time.Time, a answers) *oidc.RelyingParty {
	t.Helper()
	rp, err := oidc.New(oidc.Config{
		ID: "corp", PublicURL: "https://sso.example.com", Issuer: "https://idp.example", ClientID: "rolegate",
		ClientSecret: broker.NewSecret("s"), HTTP: &http.Client{Transport: a}, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return rp
}

// TestRunBacksOff ensures how often a dead provider is asked, that it comes back
// by itself, and that the next outage is noticed as fast as the first.
func TestRunBacksOff(t *testing.T) {
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var waits []time.Duration
		last := start
		rp := remote(t, nil, func(r *http.Request) (string, error) {
			if r.URL.Path == "/jwks" {
				return string(jwks), nil
			}
			waits, last = append(waits, time.Since(last)), time.Now()
			if at := time.Since(start); at > time.Hour && at < 2*time.Hour {
				return plainDiscovery, nil
			}
			return "", errors.New("no route")
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); rp.Run(ctx) }()
		time.Sleep(2*time.Hour + 10*time.Minute) // of the bubble's clock
		cancel()
		<-done
		var want []time.Duration
		for _, seconds := range []int{
			0, 5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, // until it is back
			3600, 5, 10, 20, 40, 80, 160, // and gone again
		} {
			want = append(want, time.Duration(seconds)*time.Second)
		}
		if d := cmp.Diff(want, waits); d != "" {
			t.Error(d)
		}
	})
}

// TestFirstUseTogether ensures that a hundred people who come at once make one
// request to a slow provider, and that the first one to leave takes nothing
// from the others.
func TestFirstUseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		rp := remote(t, nil, func(r *http.Request) (string, error) {
			if r.URL.Path == "/jwks" {
				return "", errors.New("down")
			}
			asked++
			select {
			case <-time.After(10 * time.Second):
				return plainDiscovery, nil
			case <-r.Context().Done():
				return "", r.Context().Err()
			}
		})
		begin := func(ctx context.Context) {
			if _, err := rp.Begin(ctx, request()); err != nil {
				t.Error(err)
			}
		}
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { begin(first) })
		synctest.Wait()
		for range 99 {
			wg.Go(func() { begin(t.Context()) })
		}
		synctest.Wait()
		leave()
		wg.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestDeadProviderIsNotStormed ensures that sign-ins ask a dead provider at most
// every five seconds, and say why it is dead.
func TestDeadProviderIsNotStormed(t *testing.T) {
	now, asked := time.Now(), 0
	rp := remote(t, func() time.Time { return now }, func(*http.Request) (string, error) { asked++; return "", errors.New("no route") })
	for range 60 {
		if _, err := rp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), "no route") {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	if asked != 12 {
		t.Errorf("asked %d times in a minute", asked)
	}
}
