package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
	"github.com/rolegate/rolegate/static"
	"github.com/rolegate/rolegate/templates"
)

// serve puts pages on another site than localhost.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// browserRefusals looks at what a person gets who may not, or not yet.
func browserRefusals(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "oidc", "bob")
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.WaitVisible(`#email`), chromedp.SendKeys(`#email`, "bob@nowhere.example"+kb.Enter), waitFor("nowhere.example"))
	shootAll(t, ctx, "signin-wrong")

	// A deep link to what he lacks says which group would give it.
	run(t, ctx, chromedp.Navigate(d.Portal+"/go?account=production&role=ReadOnly"), waitFor("Sign in"))
	keyInOIDC(t, ctx, bob, "Go to the portal")
	if text := textOf(t, ctx); !strings.Contains(text, "aws-platform") {
		t.Errorf("the page does not name the group:\n%s", text)
	}
	shootAll(t, ctx, "denied-groups")
	press(t, ctx, "Go to the portal", "Accounts and roles")
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin"), waitFor("Administrators are named by the rule"))
	shootAll(t, ctx, "admin-only")
	run(t, ctx, chromedp.Navigate(d.Portal+"/security"), waitFor("Nothing yet."))
	shootAll(t, ctx, "mfa-nothing")
	run(t, ctx, chromedp.Navigate(d.Portal+"/sessions"), waitFor("nowhere else"))
	shootAll(t, ctx, "sessions-alone")

	// What was on the screen when the session ended cannot be used.
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Accounts and roles"), network.ClearBrowserCookies())
	press(t, ctx, "Console for Developer in development", "You are not signed in")
	shootAll(t, ctx, "not-signed-in")
	press(t, ctx, "Sign in again", "Use your work account")
}

// browserOtherProviders looks at what the demo's providers do not do: come
// unasked, be silent or down; and at a link on another site and a device
// code whose time is over.
func browserOtherProviders(t *testing.T) {
	ctx := newBrowser(t)
	h := newHouse(t, "identity_providers:\n"+corporate+`  - id: down
    name: Umbrella
    oidc: {issuer: "https://login.umbrella.test", client_id: rolegate, client_secret_file: client.secret}
    identity: {username: 'claims.preferred_username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
accounts:
  - {id: "111111111111", name: production, color: red, warning: "Production: changes are live"}
  - {id: "222222222222", name: `+strings.Repeat("a-long-account-name-", 3)+`wide, labels: {`+strings.Repeat("x", 40)+": "+strings.Repeat("y", 60)+`}}
roles:
  - {name: Admin, iam_role: RolegateAdmin}
  - {name: `+strings.Repeat("W", 64)+", iam_role: "+strings.Repeat("W", 64)+", description: "+strings.Repeat("a long description ", 12)+`}
rules: [{name: everybody, when: 'true', accounts: ['*'], roles: [Admin, `+strings.Repeat("W", 64)+`]}]
`)
	run(t, ctx, chromedp.Navigate(h.portal+"/signin/down"), waitFor("Try again"))
	shootAll(t, ctx, "unavailable")
	h.silent.Store(true)
	run(t, ctx, chromedp.Navigate(h.portal+"/signin"), waitFor("Sign in"))
	keyIn(t, ctx, "Work e-mail", "bob@example.com", "Continue to Acme")
	shootAll(t, ctx, "continue")
	h.silent.Store(false)

	// An answer that nobody asked for, from the provider's own page.
	h.provider.SetTamper(func(response *etree.Element, sign func(*etree.Element)) {
		assertion := response.FindElement("./Assertion")
		response.RemoveAttr("InResponseTo")
		assertion.FindElement(".//SubjectConfirmationData").RemoveAttr("InResponseTo")
		sign(assertion)
	})
	answer := h.answer(t, "bob")
	h.provider.SetTamper(nil)
	site := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><form method="post" action="%s/saml/corp/acs"><input type="hidden" name="SAMLResponse" value="%s"><button>AWS</button></form>
<a href="%s/go?account=production&amp;role=Admin">the console</a>`, h.portal, answer, h.portal)
	}))
	run(t, ctx, chromedp.Navigate(site), chromedp.Click(`button`, chromedp.ByQuery), waitFor("Continue as Bob Builder?"))
	shootAll(t, ctx, "arrive")
	press(t, ctx, "Continue", "Accounts and roles")
	shootAll(t, ctx, "portal-long")

	run(t, ctx, chromedp.Navigate(site), chromedp.Click(`a`, chromedp.ByQuery), waitFor("Open the AWS console?"))
	shootAll(t, ctx, "go")

	// A device code lasts ten minutes, for the person and for the program.
	s := newShell(t, ready{Portal: h.portal}).signIn("--device")
	run(t, ctx, chromedp.Navigate(s.address), waitFor("Type the code"))
	h.ahead.Store(int64(11 * time.Minute))
	keyIn(t, ctx, "Code", s.code, "No sign-in is waiting")
	shootAll(t, ctx, "device-expired")
	s.ends(t, 3, "expired")
}

// answer is a response of the house's provider about a person, as the browser
// would bring it.
func (h *house) answer(t *testing.T, username string) string {
	t.Helper()
	b := newFormBrowser(t)
	must(t, b, b.Get(t.Context(), h.portal+"/signin/corp"))
	must(t, b, b.Submit(t.Context(), formbrowser.Has("username"), map[string]string{"username": username, "password": username + "-demo"}))
	f, ok := b.Find(formbrowser.Has("SAMLResponse"))
	if !ok {
		t.Fatalf("no answer at %v\n%s", b.URL, b.Body)
	}
	return f.Fields.Get("SAMLResponse")
}

// browserSignedOut looks at each way that signing out can end. The provider's
// part is done by the peers' tests; here are the pages.
func browserSignedOut(t *testing.T) {
	ctx := newBrowser(t)
	h := newHouse(t, "identity_providers:\n"+strings.Replace(corporate, "idp.xml", "post.xml", 1)+`accounts: [{id: "111111111111", name: production}]
roles: [{name: Admin, iam_role: RolegateAdmin}]
rules: [{name: everybody, when: 'true', accounts: ['*'], roles: [Admin]}]
`)
	run(t, ctx, chromedp.Navigate(h.portal+"/signin/corp"), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, "bob"), chromedp.SendKeys(`input[name=password]`, "bob-demo"+kb.Enter), waitFor("Accounts and roles"))
	h.silent.Store(true)
	press(t, ctx, "Sign out", "to sign out there too")
	shootAll(t, ctx, "post-signout")
	assets, err := static.New()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := page.New(templates.FS, assets)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, assets)
	for name, change := range map[string]func(*page.SignedOut){
		"confirmed":   func(p *page.SignedOut) { p.Confirmed = true },
		"unreachable": func(p *page.SignedOut) { p.Unreachable, p.TraceID = true, "amber-river-stone-42" },
		"asked":       func(p *page.SignedOut) { p.Asked = true },
	} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			p := page.NewSignedOut("Acme")
			change(&p)
			if err := pages.Render(w, http.StatusOK, p); err != nil {
				t.Error(err)
			}
		})
	}
	address := serve(t, mux)
	for name, want := range map[string]string{"confirmed": "your session there has ended too", "unreachable": "sign out there yourself", "asked": "has ended your session here"} {
		run(t, ctx, chromedp.Navigate(address+"/"+name), waitFor(want))
		shootAll(t, ctx, "signed-out-"+name)
	}
}
