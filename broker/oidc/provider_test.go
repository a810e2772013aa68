package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
		"token endpoint broken": status(503, nil),
		"token endpoint brakes": status(429, nil),
		"client secret refused": status(401, map[string]any{"error": "invalid_client", "error_description": "planted-echo"}),
		"client not allowed":    status(400, map[string]any{"error": "unauthorized_client", "error_description": "planted-echo"}),
		"token answer no JSON": func(p *op) {
			p.serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>planted-echo") }
		},
		"no access token":        func(p *op) { p.token = map[string]any{"access_token": ""} },
		"oversized token answer": func(p *op) { p.token = map[string]any{"x": strings.Repeat("a", 600<<10)} },
		"keys gone":              func(p *op) { p.discovery["jwks_uri"] = p.URL + "/nowhere" },
		"oversized JWKS":         func(p *op) { p.jwks[0].KeyID = strings.Repeat("a", 600<<10) },
		"too many keys": func(p *op) {
			for range 100 {
				p.jwks = append(p.jwks, p.jwks[0])
			}
		},
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
				if _, err := rp.Finish(t.Context(), request(), callback()); err == nil {
					t.Error("accepted")
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

// TestRunBacksOff ensures how often a dead provider is asked, and that it comes
// back by itself.
func TestRunBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var asked []time.Duration
		rp, err := oidc.New(oidc.Config{
			ID: "corp", PublicURL: "https://sso.example.com", Issuer: "https://idp.example", ClientID: "c", ClientSecret: broker.NewSecret("s"),
			HTTP: &http.Client{Transport: answers(func(*http.Request) (string, error) {
				asked = append(asked, time.Since(start))
				return "", errors.New("no route")
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); rp.Run(ctx) }()
		time.Sleep(30 * time.Minute) // in the bubble's clock
		synctest.Wait()
		cancel()
		<-done
		want := []time.Duration{0, 5 * time.Second, 15 * time.Second, 35 * time.Second}
		for n, at := range want {
			if len(asked) <= n || asked[n] != at {
				t.Fatalf("asked at %v, want %v first", asked, want)
			}
		}
		if last := asked[len(asked)-1] - asked[len(asked)-2]; last != 5*time.Minute || len(asked) > 15 {
			t.Errorf("%d times in 30 min, last after %s", len(asked), last)
		}
	})
}

// TestFirstUseTogether ensures that a hundred people who come at once make one
// request to a provider, also one that hangs, and that the first one to leave
// takes nothing from the others.
func TestFirstUseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		rp, err := oidc.New(oidc.Config{
			ID: "corp", PublicURL: "https://sso.example.com", Issuer: "https://idp.example", ClientID: "c", ClientSecret: broker.NewSecret("s"),
			HTTP: &http.Client{Transport: answers(func(r *http.Request) (string, error) {
				asked.Add(1)
				select {
				case <-time.After(10 * time.Second):
					return "", errors.New("hung up")
				case <-r.Context().Done():
					return "", r.Context().Err()
				}
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for n := range 100 {
			ctx := t.Context()
			if n == 0 {
				ctx = first
			}
			wg.Go(func() {
				if _, err := rp.Begin(ctx, request()); broker.CodeOf(err) != broker.CodeUnavailable {
					t.Errorf("%v", err)
				}
			})
		}
		time.Sleep(time.Second)
		leave()
		wg.Wait()
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}
