package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// TestBackToAnAnswer ensures that who is signed in and goes back to an answer
// that was taken ends in the portal, in the same session, and nobody else does.
func TestBackToAnAnswer(t *testing.T) {
	const callback = "/oidc/entra/callback?code=c&state="
	oidc := func(h *house) string {
		h.get("/signin/entra")
		h.get(callback+h.oidc.last.State, fromElsewhere).want(t, http.StatusSeeOther)
		return callback + h.oidc.last.State
	}
	t.Run("OpenID Connect, signed in", func(t *testing.T) {
		h := newHouse(t)
		again := oidc(h)
		session := h.cookies["__Host-rolegate_session"].Value
		h.get(again, fromElsewhere).wantLocation(t, "/")
		h.get("/").want(t, http.StatusOK)
		if h.cookies["__Host-rolegate_session"].Value != session {
			t.Error("the session is another one")
		}
	})
	t.Run("OpenID Connect, signed out", func(t *testing.T) {
		h := newHouse(t)
		again := oidc(h)
		h.post("/signout", nil)
		h.get(again, fromElsewhere).want(t, http.StatusUnauthorized, "already used")
	})
	t.Run("OpenID Connect, the session has ended", func(t *testing.T) {
		h := newHouse(t)
		again := oidc(h)
		h.clock = h.clock.Add(24 * time.Hour)
		h.get(again, fromElsewhere).want(t, http.StatusUnauthorized, "already used")
	})
	t.Run("OpenID Connect, an answer that is refused", func(t *testing.T) {
		h := newHouse(t)
		oidc(h)
		h.get("/signin/entra")
		h.oidc.err = broker.Errorf(broker.CodeUnauthenticated, "The signature does not verify.")
		h.get(callback+h.oidc.last.State, fromElsewhere).want(t, http.StatusUnauthorized, "does not verify")
	})
	t.Run("OpenID Connect, at another provider's address", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.get("/signin/okta")
		h.get(callback+h.saml.last.State, fromElsewhere).want(t, http.StatusUnauthorized, "did not begin here")
	})
	for name, signedIn := range map[string]bool{"SAML, signed in": true, "SAML, signed out": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			if !signedIn {
				h.post("/signout", nil)
			}
			a := h.acs().want(t, http.StatusUnauthorized, "already used")
			to, ok := strings.CutPrefix(a.Header.Get("Refresh"), "0; url=")
			if !ok || to != "/saml/okta/acs?"+(url.Values{"trace": {traceOf(a.body)}}).Encode() {
				t.Fatalf("leads to %q", a.Header.Get("Refresh"))
			}
			b := h.get(to, fromElsewhere)
			if signedIn {
				b.wantLocation(t, "/")
				return
			}
			b.want(t, http.StatusUnauthorized, "already used")
			if b.Header.Get("Refresh") != "" || traceOf(b.body) != traceOf(a.body) {
				t.Errorf("it goes on to %q, with the trace %q", b.Header.Get("Refresh"), traceOf(b.body))
			}
		})
	}
	t.Run("SAML, a trace of somebody's making", func(t *testing.T) {
		h := newHouse(t)
		for _, trace := range []string{"call-me-please-09", "call-me-please-at-0900", "call+0900-12345", "<b>", "a", strings.Repeat("a-", 50) + "b", ""} {
			a := h.get("/saml/okta/acs?trace="+url.QueryEscape(trace), fromElsewhere).want(t, http.StatusUnauthorized, "did not begin here")
			if got := traceOf(a.body); got != "" {
				t.Errorf("the page has the trace %q", got)
			}
		}
		h.get("/saml/nobody/acs").want(t, http.StatusNotFound)
	})
}
