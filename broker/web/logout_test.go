package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/web"
)

const theirSLO = "https://idp.example/slo"

func seen(h *house, id string, f ...broker.SessionFilter) broker.LogoutNotice {
	return broker.LogoutNotice{RequestID: id, RelayState: "theirs", ReplayID: "logout:" + id, ReplayExpires: h.clock.Add(time.Minute), Sessions: f}
}

// known gives the people of a provider a NameID and a SessionIndex.
func known(p *fakeIdP, name, index string) {
	auth := p.auth
	p.auth = func() broker.Authentication {
		a := auth()
		a.NameID, a.SessionIndex = name, index
		return a
	}
}

// TestSignOutGoesOn ensures that a sign-out ends the session here first, leads
// to the provider by a page of ours, and says what came of it.
func TestSignOutGoesOn(t *testing.T) {
	t.Run("redirect", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.saml.logout = &broker.Challenge{URL: theirSLO + "?SAMLRequest=x"}
		a := h.post("/signout", nil).want(t, http.StatusOK, "Continue to Okta", "sign out there too", `href="https://idp.example/slo?SAMLRequest=x"`)
		if got := a.Header.Get("Refresh"); got != "0; url="+theirSLO+"?SAMLRequest=x" {
			t.Errorf("Refresh %q", got)
		}
		if len(h.store.Sessions()) != 0 || h.cookies["__Host-rolegate_session"] != nil {
			t.Error("the session goes on")
		}
		back := "/saml/okta/slo?SAMLResponse=x&RelayState=" + h.saml.gone.State
		h.get(back, fromElsewhere).want(t, http.StatusOK, "You are signed out", "Okta says that your session there has ended too")
		if got := h.saml.message.Query; got != strings.TrimPrefix(back, "/saml/okta/slo?") {
			t.Errorf("the adapter got %q", got)
		}
		h.get(back, fromElsewhere).want(t, http.StatusUnauthorized, "already used")
	})
	t.Run("post", func(t *testing.T) {
		h := newHouse(t, func(_ *house, c *web.Config) {
			c.IdPOrigins = map[broker.ProviderID][]string{"okta": {"https://login.example"}}
		})
		h.signIn()
		h.saml.logout = &broker.Challenge{URL: theirSLO, Form: url.Values{"SAMLRequest": {"cmVx"}}}
		a := h.post("/signout", nil).want(t, http.StatusOK, `action="https://idp.example/slo"`, `name="SAMLRequest" value="cmVx"`, "data-send", "sign out there too")
		if csp := a.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' https://idp.example https://login.example") {
			t.Errorf("policy: %s", csp)
		}
		h.post("/saml/okta/slo", url.Values{"SAMLResponse": {"x"}, "RelayState": {h.saml.gone.State}}, fromElsewhere).
			want(t, http.StatusOK, "Okta says that your session there has ended too")
	})
	t.Run("OpenID Connect", func(t *testing.T) {
		h := newHouse(t)
		h.get("/signin/entra")
		h.get("/oidc/entra/callback?code=c&state="+h.oidc.last.State, fromElsewhere)
		h.oidc.logout = &broker.Challenge{URL: "https://op.example/end?id_token_hint=x"}
		h.post("/signout", nil).want(t, http.StatusOK, "Continue to Entra ID")
		h.get("/oidc/entra/signed-out?state="+h.oidc.gone.State, fromElsewhere).want(t, http.StatusOK, "Entra ID has sent you back")
		h.get("/oidc/entra/signed-out", fromElsewhere).want(t, http.StatusUnauthorized, "Signing out did not work")
	})
	t.Run("the provider is down", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.saml.logoutErr = brokertest.ErrDown
		a := h.post("/signout", nil).want(t, http.StatusOK, "You are signed out", "Okta could not be asked", "Trace id")
		if len(h.store.Sessions()) != 0 || strings.Contains(a.body, "planted") {
			t.Error("the session goes on, or the page says why")
		}
	})
	t.Run("the provider does not confirm", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.saml.logout = &broker.Challenge{URL: theirSLO}
		h.post("/signout", nil).want(t, http.StatusOK)
		h.saml.logoutErr = broker.Errorf(broker.CodeUnauthenticated, "Not there.").Fix("Sign out there.")
		h.get("/saml/okta/slo?SAMLResponse=x&RelayState="+h.saml.gone.State, fromElsewhere).
			want(t, http.StatusUnauthorized, "Signing out did not work", "Not there.", "Sign out there.", "Trace id")
	})
	t.Run("the store is down", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.store.LoseEvents(true)
		h.post("/signout", nil).want(t, http.StatusServiceUnavailable)
		if len(h.store.Sessions()) != 0 {
			t.Error("the session goes on because a disk is full")
		}
		if h.cookies["__Host-rolegate_session"] != nil {
			t.Error("the browser keeps the cookie")
		}
		h.get("/").want(t, http.StatusSeeOther)
	})
}

// TestSingleLogout ensures that a provider's request ends the sessions it names
// whatever browser brings it, and no other.
func TestSingleLogout(t *testing.T) {
	by := map[string]func(h *house) answer{
		"GET": func(h *house) answer { return h.get("/saml/okta/slo?SAMLRequest=x&RelayState=theirs", fromElsewhere) },
		"POST": func(h *house) answer {
			return h.post("/saml/okta/slo", url.Values{"SAMLRequest": {"x"}, "RelayState": {"theirs"}}, fromElsewhere)
		},
	}
	for name, send := range by {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			known(h.saml, "alice", "i1")
			h.signIn()
			h.cookies = map[string]*http.Cookie{} // another browser
			h.saml.notice = seen(h, "r1", broker.SessionFilter{Provider: "okta", NameID: "alice", SessionIndex: "i1"})
			h.saml.answer = &broker.Challenge{URL: theirSLO + "?SAMLResponse=x"}
			a := send(h)
			a.wantLocation(t, theirSLO+"?SAMLResponse=x")
			if len(h.store.Sessions()) != 0 || a.Header.Get("Cache-Control") != "no-store" || len(a.Cookies()) != 0 {
				t.Errorf("%d sessions, %v", len(h.store.Sessions()), a.Header)
			}
			h.signIn()
			send(h).want(t, http.StatusUnauthorized, "carried out before")
			if len(h.store.Sessions()) != 1 {
				t.Error("a replay ended a session")
			}
		})
		t.Run(name+", somebody else", func(t *testing.T) {
			h := newHouse(t)
			known(h.saml, "alice", "i1")
			h.signIn()
			h.saml.notice = seen(h, "r1", broker.SessionFilter{Provider: "okta", NameID: "bob"})
			send(h).want(t, http.StatusOK, "Okta has ended your session here")
			if len(h.store.Sessions()) != 1 || h.cookies["__Host-rolegate_session"] == nil {
				t.Error("the browser's own session ended, which nobody named")
			}
		})
		t.Run(name+", forged", func(t *testing.T) {
			h := newHouse(t)
			known(h.saml, "alice", "i1")
			h.signIn()
			h.saml.noticeErr = broker.Errorf(broker.CodeUnauthenticated, "It could not be verified.")
			send(h).want(t, http.StatusUnauthorized, "It could not be verified.", "Signing out did not work")
			if len(h.store.Sessions()) != 1 {
				t.Error("a forged request ended a session")
			}
		})
	}
	h := newHouse(t)
	h.saml.notice = seen(h, "r2", broker.SessionFilter{Provider: "okta", NameID: "alice"})
	h.saml.answer = &broker.Challenge{URL: theirSLO, Form: url.Values{"SAMLResponse": {"eA=="}}}
	a := by["POST"](h).want(t, http.StatusOK, `action="https://idp.example/slo"`, `name="SAMLResponse" value="eA=="`)
	if csp := a.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' https://idp.example") {
		t.Errorf("policy: %s", csp)
	}
	for target, status := range map[string]int{
		"/saml/okta/slo": http.StatusBadRequest,
		"/saml/okta/slo?SAMLRequest=x&SAMLResponse=x":    http.StatusBadRequest,
		"/saml/okta/slo?SAMLRequest=%zz":                 http.StatusBadRequest,
		"/saml/okta/slo?x=" + strings.Repeat("x", 17000): http.StatusBadRequest,
		"/saml/entra/slo?SAMLRequest=x":                  http.StatusNotFound,
		"/saml/nobody/slo?SAMLRequest=x":                 http.StatusNotFound,
		"/oidc/okta/signed-out?state=x":                  http.StatusNotFound,
		"/oidc/nobody/signed-out?state=x":                http.StatusNotFound,
		"/oidc/entra/signed-out?state=x":                 http.StatusUnauthorized,
	} {
		h.get(target, fromElsewhere).want(t, status)
	}
}

// TestBackChannelLogout ensures what Back-Channel Logout 2.8 says of the answer,
// and that a token ends sessions in no browser's name.
func TestBackChannelLogout(t *testing.T) {
	enter := func(h *house) {
		known(h.oidc, "alice", "sid-1")
		h.get("/signin/entra")
		h.get("/oidc/entra/callback?code=c&state="+h.oidc.last.State, fromElsewhere)
		h.oidc.notice = seen(h, "j1", broker.SessionFilter{Provider: "entra", NameID: "alice", SessionIndex: "sid-1"})
	}
	machine := func(r *http.Request) { // neither Origin nor Sec-Fetch-Site nor Accept
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Del("Accept")
	}
	send := func(h *house, opts ...with) answer {
		return h.post("/oidc/entra/backchannel-logout", url.Values{"logout_token": {"t"}}, opts...)
	}
	h := newHouse(t)
	enter(h)
	h.cookies = map[string]*http.Cookie{}
	a := send(h, machine).want(t, http.StatusOK)
	if len(h.store.Sessions()) != 0 || a.Header.Get("Cache-Control") != "no-store" || a.body != "" || len(a.Cookies()) != 0 {
		t.Errorf("%d sessions, %v", len(h.store.Sessions()), a.Header)
	}
	if h.oidc.message.Form.Get("logout_token") != "t" || h.oidc.message.Query != "" {
		t.Errorf("the adapter got %+v", h.oidc.message)
	}
	for name, tt := range map[string]struct {
		change func(*house)
		code   string
	}{
		"it does not verify": {func(h *house) { h.oidc.noticeErr = broker.Errorf(broker.CodeUnauthenticated, "No.") }, "invalid_request"},
		"replayed":           {func(h *house) { send(h, machine); enter(h) }, "invalid_request"},
		"the keys are away":  {func(h *house) { h.oidc.noticeErr = brokertest.ErrDown }, "temporarily_unavailable"},
		"the store is down":  {func(h *house) { h.store.Down(true) }, "temporarily_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			enter(h)
			tt.change(h)
			for _, accept := range []with{machine, header("Accept", "text/html")} {
				a := send(h, machine, accept).want(t, http.StatusBadRequest)
				var got map[string]string
				if err := json.Unmarshal([]byte(a.body), &got); err != nil || got["error"] != tt.code || got["error_description"] == "" || strings.Contains(a.body, "planted") {
					t.Errorf("%v %s", err, a.body)
				}
				if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("WWW-Authenticate") != "" {
					t.Errorf("%v", a.Header)
				}
			}
			h.store.Down(false)
			if len(h.store.Sessions()) != 1 {
				t.Error("the session is over")
			}
			if !strings.Contains(h.logs.String(), `"status":400`) || !strings.Contains(h.logs.String(), `"error":`) {
				t.Errorf("log: %s", h.logs)
			}
		})
	}
	t.Run("no event", func(t *testing.T) {
		h := newHouse(t)
		enter(h)
		h.store.LoseEvents(true)
		send(h, machine).want(t, http.StatusBadRequest, "temporarily_unavailable")
		if len(h.store.Sessions()) != 0 {
			t.Error("the session goes on because a disk is full")
		}
		send(h, machine).want(t, http.StatusOK) // a retry finds nothing left to end
	})
	h = newHouse(t)
	h.post("/oidc/okta/backchannel-logout", url.Values{"logout_token": {"t"}}, machine).want(t, http.StatusNotFound)
	h.post("/oidc/nobody/backchannel-logout", url.Values{"logout_token": {"t"}}, machine).want(t, http.StatusBadRequest)
	h.get("/oidc/entra/backchannel-logout?logout_token=t").want(t, http.StatusMethodNotAllowed)
}
