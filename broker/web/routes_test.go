package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/idp"
)

// concrete is a path that the pattern matches.
func concrete(pattern string) (method, path string) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodGet, pattern
	}
	path = strings.TrimSuffix(path, "{$}")
	return method, regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(path, "okta")
}

// TestHeadersOnEveryRoute ensures of every mounted route, answered to nobody, to
// a person and to an administrator, that browsers are told to be strict.
func TestHeadersOnEveryRoute(t *testing.T) {
	h := newHouse(t)
	check := func(t *testing.T, a answer) {
		t.Helper()
		for k, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Strict-Transport-Security": "max-age=31536000",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			"Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
		} {
			if got := a.Header.Get(k); got != want {
				t.Errorf("%s is %q", k, got)
			}
		}
		if p := a.Header.Get("Referrer-Policy"); p != "same-origin" && p != "no-referrer" {
			t.Errorf("Referrer-Policy is %q", p)
		}
		csp := a.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action "} {
			if !strings.Contains(csp, want) {
				t.Errorf("policy %q lacks %q", csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "data:") || strings.Contains(csp, "*") {
			t.Errorf("policy %q", csp)
		}
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("other sites may read: %q", got)
		}
		for _, c := range a.Cookies() {
			if !strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly || !c.Secure || c.SameSite == http.SameSiteDefaultMode {
				t.Errorf("cookie %+v", c)
			}
		}
	}
	patterns := h.server.(*web.Server).Patterns()
	if len(patterns) < 30 {
		t.Fatalf("only %d routes", len(patterns))
	}
	for _, who := range []string{"nobody", "person", "administrator"} {
		for _, pattern := range patterns {
			t.Run(who+" "+pattern, func(t *testing.T) {
				h := newHouse(t)
				if who != "nobody" {
					h.aws.admin, h.mfa = who == "administrator", true
					h.signIn()
				}
				method, path := concrete(pattern)
				if method == http.MethodPost {
					check(t, h.post(path, nil))
				} else {
					check(t, h.get(path))
				}
			})
		}
	}
}

// TestAttackOtherSitesWrite ensures of every route with an unsafe method that
// another site's form is refused, but for what identity providers send.
func TestAttackOtherSitesWrite(t *testing.T) {
	bypassed := 0
	for _, pattern := range newHouse(t).server.(*web.Server).Patterns() {
		method, path := concrete(pattern)
		if method == http.MethodGet {
			continue
		}
		h := newHouse(t)
		h.aws.admin, h.mfa = true, true
		h.signIn()
		a := h.do(method, path, strings.NewReader(""), header("Content-Type", "application/x-www-form-urlencoded"), fromElsewhere)
		switch pattern {
		case idp.PatternACS, idp.PatternSLO, idp.PatternBackChannel:
			bypassed++
			continue
		}
		if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "Another website") {
			t.Errorf("%s: %d", pattern, a.StatusCode)
		}
		old := header("Origin", "https://elsewhere.example") // a browser without Fetch Metadata
		if a := h.do(method, path, strings.NewReader(""), header("Content-Type", "application/x-www-form-urlencoded"), old); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s by an old browser: %d", pattern, a.StatusCode)
		}
	}
	if bypassed != 3 {
		t.Errorf("%d routes are open to other sites", bypassed)
	}
}

// limited puts limits into a house.
func limited(t *testing.T, limits map[limit.Kind]limit.Rate) *house {
	t.Helper()
	return newHouse(t, other(func(p *brokertest.Parts) { p.Rates = limits }))
}

// TestTooManyTries ensures what people and programs are told, by the address of
// the client and not of the proxy.
func TestTooManyTries(t *testing.T) {
	h := limited(t, map[limit.Kind]limit.Rate{
		limit.SignIn: {Address: 2, Per: time.Minute}, limit.Credentials: {Address: 9, Account: 1, Per: time.Minute},
	})
	proxied := func(client string) with {
		return func(r *http.Request) {
			r.RemoteAddr = "10.0.0.1:1"
			r.Header.Set("X-Forwarded-For", client)
		}
	}
	for range 2 {
		h.get("/signin/okta", proxied("203.0.113.5")).want(t, http.StatusSeeOther)
	}
	a := h.get("/signin/okta", proxied("203.0.113.5")).want(t, http.StatusTooManyRequests, "Too many tries", "Wait 30 seconds and try again.", "everybody who comes by the same network address")
	if got := a.Header.Get("Retry-After"); got != "30" { // two a minute: there is one again after half of it
		t.Errorf("Retry-After %q", got)
	}
	// Another client behind the same proxy, and one that invents a hop.
	h.get("/signin/okta", proxied("203.0.113.6")).want(t, http.StatusSeeOther)
	h.get("/signin/okta", proxied("1.2.3.4, 203.0.113.5")).want(t, http.StatusTooManyRequests)

	h.signIn()
	body := `{"assignment":"` + string(h.aws.assignments[0].ID) + `"}`
	post := func() answer {
		return h.do(http.MethodPost, "/api/v1/role-credentials", strings.NewReader(body), header("Content-Type", "application/json"), header("Accept", "application/json"), fromHere)
	}
	post().want(t, http.StatusOK)
	a = post().want(t, http.StatusTooManyRequests, `"code":"rate_limited"`, "Nobody else is kept out")
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("type %q", got)
	}
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}}).want(t, http.StatusTooManyRequests)
}

// TestUserAgentIsCut ensures that a browser's word about itself is bounded and
// harmless in what is kept.
func TestUserAgentIsCut(t *testing.T) {
	h := newHouse(t)
	h.get("/signin/okta")
	h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}, fromElsewhere,
		header("User-Agent", "Firefox \x1b[31m\u2028é<script>"+strings.Repeat("x", 5000)))
	for _, row := range h.store.Sessions() {
		sess, err := h.broker.Book.Live(t.Context(), row.Key)
		if err != nil {
			t.Fatal(err)
		}
		if s := sess.UserAgent; len(s) > 200 || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) || !strings.HasPrefix(s, "Firefox") {
			t.Errorf("kept: %q", s)
		}
		if len(row.Body) > 2000 {
			t.Errorf("%d bytes are kept", len(row.Body))
		}
	}
	h.get("/sessions").want(t, http.StatusOK, "<h3>Firefox</h3>")
}

// TestHealthSaysWhatIsWrong ensures that the overview names errors, ends of
// certificates, and every relaxation.
func TestHealthSaysWhatIsWrong(t *testing.T) {
	h := newHouse(t)
	h.aws.admin, h.mfa = true, true
	h.signIn()
	h.saml.beginErr = errors.New("no answer from metadata host")
	h.get("/admin").want(t, http.StatusOK, "insecure_http is on", "no answer from metadata host", "Needs attention", "7 days left: renew it",
		"3s from ours", "https://sts.example", "aws-saml")
	h.get("/admin/setup").want(t, http.StatusOK, "https://sso.example.com/saml/okta/metadata")
}
