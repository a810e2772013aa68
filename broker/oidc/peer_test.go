package oidc_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestPeer signs in through panva's certified oidc-provider, which
// .ci/peers/oidc-provider/start.sh starts; ROLEGATE_TEST_OIDC_PROVIDER is the
// folder it was given.
func TestPeer(t *testing.T) {
	dir := os.Getenv("ROLEGATE_TEST_OIDC_PROVIDER")
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("ROLEGATE_TEST_OIDC_PROVIDER is not set")
		}
		t.Skip("ROLEGATE_TEST_OIDC_PROVIDER is not set; see .ci/peers/README.md")
	}
	b, err := os.ReadFile(filepath.Join(dir, "discovery.json"))
	if err != nil {
		t.Fatal(err)
	}
	var discovery struct{ Issuer string }
	if err := json.Unmarshal(b, &discovery); err != nil {
		t.Fatal(err)
	}
	party := func(t *testing.T, change func(*oidc.Config)) *oidc.RelyingParty {
		c := oidc.Config{
			ID: "panva", PublicURL: "http://localhost:18302", Issuer: discovery.Issuer, ClientID: "adapter",
			ClientSecret: broker.NewSecret("only-for-tests: +/=&% adapter-0123456789"), Scopes: []string{"openid", "profile", "email", "groups", "offline_access"},
			Authorize: map[string]string{"prompt": "consent"}, // without which this provider gives no refresh token
			UserInfo:  true, Offline: true, InsecureHTTP: true, HTTP: http.DefaultClient,
		}
		if change != nil {
			change(&c)
		}
		rp, err := oidc.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return rp
	}
	t.Run("client_secret_basic", func(t *testing.T) { signInAndRefresh(t, party(t, nil)) })
	t.Run("private_key_jwt", func(t *testing.T) {
		rp := party(t, func(c *oidc.Config) {
			c.ClientID, c.ClientSecret, c.ClientKey = "adapter-key", broker.Secret{}, ecKey()
		})
		l, err := net.Listen("tcp", "127.0.0.1:18302")
		if err != nil {
			t.Fatal(err)
		}
		keys := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			b, err := rp.JWKS()
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(b)
		}))
		_ = keys.Listener.Close()
		keys.Listener = l
		keys.Start()
		t.Cleanup(keys.Close)
		signInAndRefresh(t, rp)
	})
	t.Run("code of another request", func(t *testing.T) {
		rp := party(t, nil)
		r := request()
		r.Provider = "panva"
		form := signIn(t, rp, r)
		r.CodeVerifier = broker.NewSecret(strings.Repeat("w", 43))
		if _, err := rp.Finish(t.Context(), r, form); broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Errorf("redeemed without the verifier: %v", err)
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		rp := party(t, func(c *oidc.Config) { c.ClientSecret = broker.NewSecret("wrong") })
		r := request()
		form := signIn(t, rp, r)
		if _, err := rp.Finish(t.Context(), r, form); broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(broker.Message(err), "client secret") {
			t.Errorf("%v", err)
		}
	})
	t.Run("iss is promised and taken out", func(t *testing.T) {
		rp := party(t, nil)
		r := request()
		form := signIn(t, rp, r)
		form.Del("iss")
		if _, err := rp.Finish(t.Context(), r, form); broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(err.Error(), "mix-up") {
			t.Errorf("%v", err)
		}
	})
}

func signInAndRefresh(t *testing.T, rp *oidc.RelyingParty) {
	t.Helper()
	r, begin := request(), time.Now().Truncate(time.Second)
	r.Provider, r.ForceAuthn, r.RequestedContext = "panva", true, []string{"urn:example:loa:2"}
	form := signIn(t, rp, r)
	got, err := rp.Finish(t.Context(), r, form)
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != (broker.Subject{Provider: "panva", ID: "alice"}) || got.AuthnContext.ACR != "urn:example:loa:2" ||
		!slices.Contains(got.AuthnContext.AMR, "otp") || !slices.Contains(got.Claims["groups"], "aws-prod-admin") ||
		got.Claims.First("email") != "alice@example.org" || got.AuthnInstant.Before(begin) || got.AuthnInstant.After(time.Now()) {
		t.Errorf("%+v", got)
	}
	if _, err := rp.Finish(t.Context(), r, form); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("a code worked twice: %v", err)
	}
	// The provider takes back what a code gave that was used twice (RFC 6749
	// 4.1.2): refresh with the tokens of another sign-in.
	r = request()
	got, err = rp.Finish(t.Context(), r, signIn(t, rp, r))
	if err != nil {
		t.Fatal(err)
	}
	next, err := rp.RefreshTokens(t.Context(), got.Subject, got.Tokens)
	if err != nil || next.IDToken.IsZero() || next.RefreshToken.IsZero() {
		t.Errorf("%+v %v", next, err)
	}
	got.Tokens.RefreshToken = broker.NewSecret("forged")
	if _, err := rp.RefreshTokens(t.Context(), got.Subject, got.Tokens); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("a forged refresh token: %v", err)
	}
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

// signIn is alice and her browser: from the challenge to the callback's form.
func signIn(t *testing.T, rp *oidc.RelyingParty, r broker.AuthRequest) url.Values {
	t.Helper()
	ch, err := rp.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, CheckRedirect: func(next *http.Request, _ []*http.Request) error {
		if next.URL.Port() == "18302" {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := browser.Get(ch.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(page.Body)
	_ = page.Body.Close()
	action := formAction.FindSubmatch(body)
	if err != nil || action == nil {
		t.Fatalf("no login page: %d %s %v", page.StatusCode, body, err)
	}
	to, err := page.Request.URL.Parse(string(action[1]))
	if err != nil {
		t.Fatal(err)
	}
	back, err := browser.PostForm(to.String(), url.Values{"login": {"alice"}, "password": {"alicepw"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = back.Body.Close()
	callback, err := back.Location()
	if err != nil {
		t.Fatalf("no way back: %d %v", back.StatusCode, err)
	}
	if callback.Path != "/oidc/panva/callback" {
		t.Fatalf("back at %s", callback)
	}
	return callback.Query()
}
