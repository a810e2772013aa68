package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const sessionName, bindingName = "__Host-rolegate_session", "__Host-rolegate_signin"

var arrivalField = regexp.MustCompile(`name="arrival" value="([^"]+)"`)

// arrive brings an answer that nobody asked for, from the provider's site.
func arrive(t *testing.T, h *house, relay string) (token string) {
	t.Helper()
	h.saml.unasked = true
	form := url.Values{"SAMLResponse": {"eA=="}}
	if relay != "" {
		form.Set("RelayState", relay)
	}
	a := h.post("/saml/okta/acs", form, fromElsewhere).want(t, http.StatusOK, "You arrive from Okta", "Continue as Alice Ames?", "alice@example.com")
	if h.cookies[sessionName] != nil {
		t.Fatal("a session before the click")
	}
	if c := h.cookies[bindingName]; c == nil || !c.HttpOnly || !c.Secure {
		t.Fatalf("binding cookie %v", c)
	}
	m := arrivalField.FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("no token on\n%s", a.body)
	}
	return m[1]
}

func agree(token string) url.Values { return url.Values{"arrival": {token}} }

// TestArrive ensures that one click on the page makes the session and leads to
// the portal, and that the portal opens.
func TestArrive(t *testing.T) {
	h := newHouse(t)
	token := arrive(t, h, "")
	h.post("/saml/okta/agree", agree(token)).wantLocation(t, "/")
	h.get("/").want(t, http.StatusOK, "Alice Ames")
}

// TestArriveRelayStateIsNoAddress ensures that nothing in RelayState says where
// to go: neither another site nor a deep link of ours.
func TestArriveRelayStateIsNoAddress(t *testing.T) {
	for _, relay := range []string{"https://evil.example/", "//evil.example", "/go?account=prod&role=Admin&entry=direct", "javascript:alert(1)", strings.Repeat("a", 43)} {
		h := newHouse(t)
		token := arrive(t, h, relay)
		h.post("/saml/okta/agree", url.Values{"arrival": {token}, "RelayState": {relay}, "return_to": {relay}}).wantLocation(t, "/")
	}
}

// TestArriveLoginCSRF ensures that a foreign site cannot sign a browser in as
// somebody else: it can bring its own answer, and no more.
func TestArriveLoginCSRF(t *testing.T) {
	h := newHouse(t)
	token := arrive(t, h, "")
	t.Run("foreign site clicks for the person", func(t *testing.T) {
		h.post("/saml/okta/agree", agree(token), fromElsewhere).want(t, http.StatusForbidden)
	})
	t.Run("foreign site, old browser that sends Origin only", func(t *testing.T) {
		h.post("/saml/okta/agree", agree(token), func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://elsewhere.example")
		}).want(t, http.StatusForbidden)
	})
	t.Run("click by GET", func(t *testing.T) {
		h.get("/saml/okta/agree?arrival="+token, fromElsewhere).want(t, http.StatusMethodNotAllowed)
	})
	if h.cookies[sessionName] != nil {
		t.Fatal("a session by a foreign click")
	}
	t.Run("attacker's token in the person's browser", func(t *testing.T) {
		victim := newHouse(t)
		victim.server, victim.store, victim.saml = h.server, h.store, h.saml
		victim.get("/signin/okta") // has a binding cookie of its own
		victim.post("/saml/okta/agree", agree(token)).want(t, http.StatusUnauthorized)
		if victim.cookies[sessionName] != nil {
			t.Error("signed in as the attacker")
		}
	})
}

// TestArriveOff ensures that the page does not exist where unsolicited answers
// are not configured.
func TestArriveOff(t *testing.T) {
	h := newHouse(t)
	h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}}, fromElsewhere).want(t, http.StatusUnauthorized, "did not begin here")
	h.post("/saml/nobody/agree", agree("x")).want(t, http.StatusNotFound)
	if len(h.cookies) != 0 {
		t.Errorf("cookies %v", h.cookies)
	}
}

// TestArriveStepUp ensures that a role that needs a second factor needs it of
// those who came unasked too, and that the way there is offered.
func TestArriveStepUp(t *testing.T) {
	h := newHouse(t)
	h.aws.assignments[0].Require.MFA = true
	token := arrive(t, h, "")
	h.post("/saml/okta/agree", agree(token)).wantLocation(t, "/")
	a := h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}})
	a.want(t, http.StatusUnauthorized, "/signin/okta")
	if h.aws.assumed != 0 {
		t.Error("AWS was called")
	}
	if !strings.Contains(a.body, `name="mfa" value="true"`) {
		t.Errorf("no step-up form:\n%s", a.body)
	}
}
