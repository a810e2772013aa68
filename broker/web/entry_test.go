package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker/limit"
)

// hrefOf is where the link with the text leads.
func hrefOf(t *testing.T, a answer, text string) string {
	t.Helper()
	before, _, ok := strings.Cut(a.body, `">`+text+`</a>`)
	i := strings.LastIndex(before, `href="`)
	if !ok || i < 0 {
		t.Fatalf("no link %q in\n%s", text, a.body)
	}
	return strings.ReplaceAll(before[i+len(`href="`):], "&amp;", "&")
}

// TestAttackConsoleWithoutTheQuestion ensures that a page of another site cannot
// have the console opened by way of a form of ours, whose redirect a browser
// calls same-origin.
func TestAttackConsoleWithoutTheQuestion(t *testing.T) {
	const link = "/go?account=prod&role=Admin"
	in := func(path, to string) string { return path + "?" + url.Values{"return_to": {to}}.Encode() }
	for name, to := range map[string]string{
		"the link":                                 link,
		"with an entry":                            link + "&entry=direct",
		"by way of the sign-in page":               in("/signin", link+"&entry=direct"),
		"by way of the enrolment":                  in("/mfa/enrol", link+"&entry=direct"),
		"by way of both":                           in("/mfa", in("/signin", link+"&entry=direct")),
		"by way of a provider":                     in("/signin/okta", link+"&entry=direct"),
		"entry written otherwise":                  in("/signin", link+"&%65ntry=direct"),
		"by way of the sign-in page, several ways": in("/signin", "/")[:len("/signin?return_to=")] + url.QueryEscape(link+"&entry=direct") + "&return_to=%2F",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, ownFactor(t))
			code := h.enrolled()
			a := h.get(in("/mfa", to), fromElsewhere).want(t, http.StatusOK)
			a = h.post("/mfa", url.Values{"code": {code()}, "return_to": {field(t, a.body, "return_to")}})
			for hops := 0; a.StatusCode == http.StatusSeeOther && strings.HasPrefix(a.leads(), "/") && hops < 5; hops++ {
				a = h.get(a.leads(), fromHere)
			}
			if h.aws.assumed > 0 {
				t.Errorf("the console is open: %d to %s", a.StatusCode, a.Header.Get("Location"))
			}
		})
	}
	t.Run("the person's own link still opens at once", func(t *testing.T) {
		h := newHouse(t, ownFactor(t))
		code := h.enrolled()
		a := h.get(in("/mfa", link+"&entry=direct"), fromHere).want(t, http.StatusOK)
		a = h.post("/mfa", url.Values{"code": {code()}, "return_to": {field(t, a.body, "return_to")}})
		h.get(a.leads(), fromHere).wantLocation(t, awsLink)
	})
}

// TestAttackSessionIsRestarted ensures that a link of another site does not
// replace the session that a person has, which may hold more proof.
func TestAttackSessionIsRestarted(t *testing.T) {
	for name, opt := range map[string]with{"another site": fromElsewhere, "a sibling host": header("Sec-Fetch-Site", "same-site")} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			before, begun := h.cookies["__Host-rolegate_session"].Value, h.saml.last.State
			a := h.get("/signin/okta", opt).want(t, http.StatusOK, "You are signed in already", `href="/"`)
			if a.Header.Get("Refresh") != "" || h.saml.last.State != begun || h.cookies["__Host-rolegate_session"].Value != before {
				t.Error("a sign-in was begun")
			}
			h.get("/", fromHere).want(t, http.StatusOK)
			h.get(hrefOf(t, a, "Sign in again"), fromHere).want(t, http.StatusSeeOther)
		})
	}
	h := newHouse(t)
	h.get("/signin/okta", fromElsewhere).want(t, http.StatusSeeOther) // nothing to lose
}

// TestAttackPicturesBeginSignIns ensures that what a page loads in the background
// neither begins a sign-in nor counts as one, nor ends one.
func TestAttackPicturesBeginSignIns(t *testing.T) {
	h := limited(t, map[limit.Kind]limit.Rate{
		limit.SignIn: {Address: 2, Per: time.Minute}, limit.SignInFinish: {Address: 2, Per: time.Minute},
	})
	events := len(h.store.AllEvents())
	for _, row := range []struct{ mode, dest string }{
		{"no-cors", "image"}, {"no-cors", "script"}, {"cors", "empty"}, {"navigate", "iframe"}, {"navigate", "frame"}, {"navigate", "embed"}, {"navigate", "object"}, {"", "image"}, {"no-cors", ""},
	} {
		for _, path := range []string{"/signin/okta", "/signin/entra", "/oidc/entra/callback?state=s&code=c"} {
			h.get(path, fromElsewhere, header("Sec-Fetch-Mode", row.mode), header("Sec-Fetch-Dest", row.dest)).
				want(t, http.StatusBadRequest, "in the background")
		}
	}
	if len(h.store.AllEvents()) != events {
		t.Errorf("%d events", len(h.store.AllEvents())-events)
	}
	for range 2 {
		h.get("/signin/okta", fromElsewhere, header("Sec-Fetch-Mode", "navigate"), header("Sec-Fetch-Dest", "document")).want(t, http.StatusSeeOther)
	}
}
