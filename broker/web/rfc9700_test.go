package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestCallbackLeaksNoCode ensures that neither the answer to a callback nor its
// error page tells the code on: no content of others, no Referer to others, no
// copy in a cache or in the page, and a redirect that drops it (RFC 9700 4.2,
// 4.12 and 4.16).
func TestCallbackLeaksNoCode(t *testing.T) {
	h := newHouse(t)
	h.get("/signin/entra")
	path := "/oidc/entra/callback?code=planted-code&state=" + url.QueryEscape(h.oidc.last.State)
	check := func(a answer, status int) {
		t.Helper()
		if a.StatusCode != status || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("status %d, headers %v", a.StatusCode, a.Header)
		}
		if p := a.Header.Get("Referrer-Policy"); p != "same-origin" && p != "no-referrer" {
			t.Errorf("Referrer-Policy %q", p)
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "http") {
			t.Errorf("policy %q", csp)
		}
		if strings.Contains(a.body, "planted-code") || strings.Contains(a.Header.Get("Location"), "planted-code") || strings.Contains(h.logs.String(), "planted-code") {
			t.Error("the code is told on")
		}
	}
	h.oidc.err = broker.Errorf(broker.CodeUnauthenticated, "It does not verify.")
	check(h.get(path, fromElsewhere), http.StatusUnauthorized)
	h.oidc.err = nil
	h.get("/signin/entra")
	path = "/oidc/entra/callback?code=planted-code&state=" + url.QueryEscape(h.oidc.last.State)
	check(h.get(path, fromElsewhere), http.StatusSeeOther) // 303, never 307: the form would go along
}

// TestRelayStateIsNoAddress ensures that a RelayState which is an address is
// nothing but a key that is not there, so that no redirect can come of it.
func TestRelayStateIsNoAddress(t *testing.T) {
	for _, relay := range []string{"https://evil.example/", "//evil.example", "/go?account=prod", "javascript:alert(1)", ""} {
		h := newHouse(t)
		h.get("/signin/okta")
		a := h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {relay}}, fromElsewhere)
		if a.StatusCode != http.StatusUnauthorized || a.Header.Get("Location") != "" || h.cookies[sessionName] != nil || strings.Contains(a.body, "evil") {
			t.Errorf("%q: status %d to %q\n%s", relay, a.StatusCode, a.Header.Get("Location"), a.body)
		}
	}
}
