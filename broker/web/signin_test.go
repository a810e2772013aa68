package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/web"
)

// TestSignInSAML ensures that a sign-in leads from the portal to the identity
// provider and back to the page that was wanted.
func TestSignInSAML(t *testing.T) {
	h := newHouse(t)
	h.get("/access").wantLocation(t, "/signin?return_to=%2Faccess")
	h.get("/signin?return_to=%2Faccess").want(t, http.StatusOK, `href="/signin/okta?return_to=%2Faccess"`, "Entra ID")
	h.get("/signin/okta?return_to=%2Faccess").wantLocation(t, "https://idp.example/sso?RelayState="+h.saml.last.State)
	h.acs().wantLocation(t, "/access")
	h.get("/").want(t, http.StatusOK, "Alice Ames", "prod", "111122223333", "ReadOnly")
	if got := h.saml.form.Get("SAMLResponse"); got != "eA==" {
		t.Errorf("adapter got SAMLResponse %q", got)
	}
}

// TestSignInOIDC ensures the same for the callback.
func TestSignInOIDC(t *testing.T) {
	h := newHouse(t)
	h.get("/signin/entra").want(t, http.StatusSeeOther)
	h.get("/oidc/entra/callback?code=c&state="+h.oidc.last.State, fromElsewhere).wantLocation(t, "/")
	h.get("/").want(t, http.StatusOK, "Entra ID")
}

// TestCookies ensures the attributes of each cookie, over HTTPS and on plain
// loopback.
func TestCookies(t *testing.T) {
	for _, row := range []struct {
		name, public, prefix string
		secure               bool
		binding              http.SameSite
	}{
		{"https", "https://sso.example.com", "__Host-", true, http.SameSiteNoneMode},
		{"loopback", "http://localhost:8080", "", false, http.SameSiteLaxMode},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t, func(h *house, c *web.Config) { h.public, c.PublicURL = row.public, row.public })
			h.signIn()
			h.get("/go?account=prod&role=Admin", typed)
			session, binding := h.cookies[row.prefix+"rolegate_session"], h.cookies[row.prefix+"rolegate_signin"]
			if session == nil || binding == nil {
				t.Fatalf("cookies: %v", h.cookies)
			}
			for _, c := range []*http.Cookie{session, binding} {
				if !c.HttpOnly || c.Secure != row.secure || c.Path != "/" || c.Domain != "" || len(c.Value) != 43 {
					t.Errorf("%s", c)
				}
			}
			if session.SameSite != http.SameSiteLaxMode || session.MaxAge != 0 {
				t.Errorf("session: %s", session)
			}
			if binding.SameSite != row.binding || binding.MaxAge != 600 {
				t.Errorf("binding: %s", binding)
			}
		})
	}
}

// TestSessionTokenRotates ensures that a sign-in never keeps a token that the
// browser had before (session fixation), and ends the old session.
func TestSessionTokenRotates(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	first := h.cookies["__Host-rolegate_session"].Value
	h.signIn()
	second := h.cookies["__Host-rolegate_session"].Value
	if first == second {
		t.Error("the token stayed")
	}
	if len(h.store.Sessions()) != 1 {
		t.Errorf("%d sessions are alive", len(h.store.Sessions()))
	}
	if _, ok := h.store.Sessions()[broker.NewSecret(second).Hash()]; !ok {
		t.Error("the store does not hold the hash of the new token")
	}
}

// TestACSIgnoresTheSession ensures that the answer does not depend on who the
// browser was: the cookie is not looked up even if it is sent.
func TestACSIgnoresTheSession(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.get("/signin/okta")
	h.store.DropSessions(broker.NewSecret(h.cookies["__Host-rolegate_session"].Value).Hash())
	h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}).wantLocation(t, "/")
}

// TestReturnToStaysHere ensures that no sign-in ends on another site.
func TestReturnToStaysHere(t *testing.T) {
	for _, to := range []string{
		"https://evil.example/", "//evil.example/", `/\evil.example`, "/\t/evil.example", "javascript:alert(1)", "evil.example", "/%0d%0aSet-Cookie:x", "/%2Fevil.example?entry=direct", "/.//evil.example?entry=direct",
	} {
		t.Run(to, func(t *testing.T) {
			h := newHouse(t)
			h.get("/signin?return_to="+url.QueryEscape(to)).want(t, http.StatusOK)
			h.get("/signin/okta?return_to=" + url.QueryEscape(to))
			a := h.acs()
			loc := a.Header.Get("Location")
			if !strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//") || strings.ContainsAny(loc, "\\\r\n\t") {
				t.Errorf("returned to %q", loc)
			}
		})
	}
}

// TestSignInRefused ensures that what goes wrong at a sign-in makes no session,
// names no cause, and has a trace id where it is about a provider.
func TestSignInRefused(t *testing.T) {
	refused := broker.Errorf(broker.CodeUnauthenticated, "The signature does not verify.").Fix("Tell your administrator.").
		Because(brokertest.ErrDown)
	for _, row := range []struct {
		name   string
		do     func(h *house) answer
		status int
		text   string
	}{
		{"forged", func(h *house) answer { h.saml.err = refused; h.get("/signin/okta"); return h.acs() }, 401, "The signature does not verify."},
		{"replayed state", func(h *house) answer { h.signIn(); return h.acs() }, 401, "already used"},
		{"unsolicited", func(h *house) answer { return h.acs() }, 401, "did not begin here"},
		{"other browser", func(h *house) answer {
			h.get("/signin/okta")
			delete(h.cookies, "__Host-rolegate_signin")
			return h.acs()
		}, 401, "another browser"},
		{"answer to another provider", func(h *house) answer {
			h.get("/signin/okta")
			return h.get("/oidc/entra/callback?code=c&state=" + h.saml.last.State)
		}, 401, "did not begin here"},
		{"unknown provider", func(h *house) answer { return h.get("/signin/nobody") }, 404, "no identity provider with this name"},
		{"acs of an OIDC provider", func(h *house) answer { return h.post("/saml/entra/acs", nil, fromElsewhere) }, 404, "no such identity provider"},
		{"provider down", func(h *house) answer {
			h.saml.beginErr = broker.Errorf(broker.CodeUnavailable, "Its metadata is not known.").Because(brokertest.ErrDown)
			return h.get("/signin/okta")
		}, 503, "Its metadata is not known."},
		{"fault of ours", func(h *house) answer { h.saml.err = brokertest.ErrDown.Err; h.get("/signin/okta"); return h.acs() }, 500, "Something went wrong on our side."},
		{"events are down", func(h *house) answer { h.get("/signin/okta"); h.store.LoseEvents(true); return h.acs() }, 503, "The store does not answer."},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			before := len(h.store.Sessions())
			a := row.do(h).want(t, row.status, row.text)
			if row.name != "replayed state" && (len(h.store.Sessions()) != before || h.cookies["__Host-rolegate_session"] != nil) {
				t.Error("there is a session")
			}
			if strings.Contains(a.body, "planted-cause") {
				t.Error("the page names the cause")
			}
			if (traceOf(a.body) != "") != (row.status != http.StatusNotFound) {
				t.Errorf("the page has the trace id %q", traceOf(a.body))
			}
			if row.status == 503 && a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
	t.Run("page names the provider", func(t *testing.T) {
		h := newHouse(t)
		h.saml.beginErr = broker.Errorf(broker.CodeUnavailable, "Down.")
		a := h.get("/signin/okta").want(t, 503, "Okta", `href="/signin/okta"`)
		if _, err := h.broker.Journal.Trace(t.Context(), traceOf(a.body)); err != nil {
			t.Errorf("the trace on the page cannot be found: %v", err)
		}
		h.get("/signin/entra").want(t, http.StatusSeeOther)
	})
}

func traceOf(body string) string {
	_, after, _ := strings.Cut(body, `<code id="trace">`)
	id, _, _ := strings.Cut(after, "<")
	return id
}

// TestSignInByEmail ensures that the domain chooses the provider and that the
// browser goes on outside of the form's redirects.
func TestSignInByEmail(t *testing.T) {
	h := newHouse(t)
	a := h.post("/signin", url.Values{"email": {" Alice@EXAMPLE.com "}, "return_to": {"/access"}}).
		want(t, http.StatusOK, `href="/signin/okta?return_to=%2Faccess"`)
	if got := a.Header.Get("Refresh"); got != "0; url=/signin/okta?return_to=%2Faccess" {
		t.Errorf("Refresh: %q", got)
	}
	h.post("/signin", url.Values{"email": {"bob@other.example"}}).want(t, http.StatusUnprocessableEntity, "other.example", `role="alert"`)
	h.post("/signin", url.Values{"email": {"bob"}}).want(t, http.StatusUnprocessableEntity, "whole work e-mail")
}

// TestPostBinding ensures that the page posts to the provider only.
func TestPostBinding(t *testing.T) {
	h := newHouse(t, func(_ *house, c *web.Config) {
		c.IdPOrigins = map[broker.ProviderID][]string{"okta": {"https://login.example"}}
	})
	h.saml.post = true
	a := h.get("/signin/okta").want(t, http.StatusOK, `action="https://idp.example/sso"`, `name="SAMLRequest" value="cmVxdWVzdA=="`, "data-send")
	if csp := a.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' https://idp.example https://login.example") {
		t.Errorf("policy: %s", csp)
	}
	h.acs().wantLocation(t, "/")
}

// TestSingleProviderSkipsThePage ensures that there is nothing to choose from
// one.
func TestSingleProviderSkipsThePage(t *testing.T) {
	h := newHouse(t, other(func(p *brokertest.Parts) { p.Providers = p.Providers[:1] }))
	h.get("/signin?return_to=%2Faccess").wantLocation(t, "/signin/okta?return_to=%2Faccess")
}

// TestSignOut ensures that the session ends in the store and in the browser.
func TestSignOut(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.post("/signout", nil).want(t, http.StatusOK, "You are signed out")
	if len(h.store.Sessions()) != 0 || h.cookies["__Host-rolegate_session"] != nil {
		t.Error("the session goes on")
	}
	h.get("/").want(t, http.StatusSeeOther)
	h.post("/signout", nil).want(t, http.StatusOK)
}

// TestStepUp ensures that a role that needs more leads to a sign-in that asks
// for it, and back to the click.
func TestStepUp(t *testing.T) {
	h := newHouse(t)
	h.aws.assignments[0].Require = broker.Requirement{MFA: true}
	h.signIn()
	id := string(h.aws.assignments[0].ID)
	a := h.post("/console", url.Values{"assignment": {id}, "destination": {"ec2/home"}}).
		want(t, http.StatusUnauthorized, `action="/signin/okta"`, `name="mfa" value="true"`)
	if got := a.Header.Get("WWW-Authenticate"); !strings.Contains(got, "insufficient_user_authentication") {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	_, after, _ := strings.Cut(a.body, `name="return_to" value="`)
	back, _, _ := strings.Cut(after, `"`)
	back = strings.ReplaceAll(back, "&amp;", "&")
	a = h.post("/signin/okta", url.Values{"mfa": {"true"}, "return_to": {back}}).want(t, http.StatusOK, "Continue to Okta")
	if !h.saml.last.ForceAuthn || len(h.saml.last.RequestedContext) != 1 {
		t.Errorf("request: %+v", h.saml.last)
	}
	if !strings.HasPrefix(a.Header.Get("Refresh"), "0; url=https://idp.example/sso?") {
		t.Errorf("Refresh: %q", a.Header.Get("Refresh"))
	}
	h.mfa = true
	a = h.acs()
	a.wantPage(t, "/go?account=111122223333&destination=ec2%2Fhome&role=Admin")
	// A browser may say that it comes from the identity provider; the click did not.
	h.get(a.leads(), fromElsewhere).wantLocation(t, "https://signin.example/federation?SigninToken=planted-link")
	h.get(a.leads(), fromElsewhere).want(t, http.StatusOK, "Open the AWS console?")
}

// TestSessionEnds ensures that an ended session is a way to sign in for a page,
// and a refusal for a form, which nobody repeats by itself.
func TestSessionEnds(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.clock = h.clock.Add(2 * time.Hour)
	h.get("/").wantLocation(t, "/signin?return_to=%2F")
	h.signIn()
	h.clock = h.clock.Add(2 * time.Hour)
	a := h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}}).want(t, http.StatusUnauthorized, `href="/signin"`)
	if h.aws.assumed > 0 || a.Header.Get("Location") != "" {
		t.Error("something was done")
	}
}

// TestSignInAgainForTokens ensures that a role whose corporate token has run out
// offers a sign-in that comes back to the click.
func TestSignInAgainForTokens(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.aws.err = broker.Errorf(broker.CodeUnauthenticated, "The token has run out.")
	a := h.get("/go?account=prod&role=Admin", typed).want(t, http.StatusUnauthorized, "Identity provider: <b>Okta</b>")
	_, after, _ := strings.Cut(a.body, `class="button main" href="`)
	again, _, _ := strings.Cut(after, `"`)
	h.get(strings.ReplaceAll(again, "&amp;", "&"), fromHere).want(t, http.StatusSeeOther)
	h.aws.err = nil
	h.get(h.acs().leads(), fromElsewhere).wantLocation(t, awsLink)
}

// TestSecondFactorRequired ensures that a provider's MFA policy makes no session
// without proof and offers to bring it.
func TestSecondFactorRequired(t *testing.T) {
	h := newHouse(t, other(func(p *brokertest.Parts) { p.Providers[0].MFA.Required = true }))
	h.get("/signin/okta")
	h.acs().want(t, http.StatusUnauthorized, `action="/signin/okta"`, `name="mfa" value="true"`, "Signing in did not work")
	if len(h.store.Sessions()) != 0 {
		t.Error("there is a session")
	}
	h.post("/signin/okta", url.Values{"mfa": {"true"}}).want(t, http.StatusOK)
	h.mfa = true
	h.acs().wantLocation(t, "/")
	h.post("/signin/okta", url.Values{"max_auth_age": {"-5"}}).want(t, http.StatusBadRequest)
}
