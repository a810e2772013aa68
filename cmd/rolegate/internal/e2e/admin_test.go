package e2e_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browserAdmin goes as an administrator from somebody's refused access to
// its trace, explains the person, simulates the change that would help, finds
// it all in the audit log and ends a session; every page is looked at.
func browserAdmin(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob, alice := d.person(t, "oidc", "bob"), d.person(t, "saml", "alice")
	run(t, ctx, chromedp.Navigate(d.Portal+"/signin/oidc"), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, bob.Username), chromedp.SendKeys(`input[name=password]`, bob.Password+kb.Enter), waitFor("Accounts and roles"))
	if text := textOf(t, ctx); strings.Contains(text, "Admin\n") {
		t.Error("the navigation shows everybody the way to the administrators' part")
	}
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin"), waitFor("Administrators are named by the rule"))
	var trace string
	run(t, ctx, chromedp.Text(`#trace`, &trace))
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Accounts and roles"), chromedp.Click(`form[action="/signout"] button`), waitFor("signed out"))

	run(t, ctx, chromedp.Navigate(d.Portal+"/admin"), chromedp.WaitVisible(`a[href*="/signin/saml"]`), chromedp.Click(`a[href*="/signin/saml"]`),
		chromedp.WaitVisible(`input[name=password]`), chromedp.SendKeys(`input[name=username]`, alice.Username),
		chromedp.SendKeys(`input[name=password]`, alice.Password+kb.Enter), chromedp.WaitVisible(`input[name=code]`),
		chromedp.SendKeys(`input[name=code]`, alice.code(t)+kb.Enter), waitFor("Identity providers"))
	shootAll(t, ctx, "admin-health")
	look := func(path, want, name string) {
		t.Helper()
		run(t, ctx, chromedp.Navigate(d.Portal+path), waitFor(want))
		shootAll(t, ctx, name)
	}
	look("/sessions", "nowhere else", "sessions")
	look("/admin/traces", "What went wrong lately", "admin-traces")
	look("/admin/traces?id="+url.QueryEscape(strings.ReplaceAll(trace, "-", " ")), "you are not one of them", "admin-trace")
	look("/admin/explain?person=bob&group=aws-platform", "if also in aws-platform", "admin-explain")
	look("/admin/audit?outcome=ok", "the latest first", "admin-audit")
	look("/admin/setup", "ACS URL", "admin-setup")
	look("/admin/sessions", "in all", "admin-sessions")
	candidate, err := os.ReadFile("testdata/candidate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rolegate.yaml")
	if err := os.WriteFile(path, candidate, 0o600); err != nil {
		t.Fatal(err)
	}
	// By keyboard alone, as somebody would who has the text at hand.
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin/simulate"), chromedp.WaitVisible(`#candidate`))
	tabTo(t, ctx, "Paste the new rolegate.yaml")
	run(t, ctx, input.InsertText(strings.Replace(string(candidate), "accounts:", "acounts:", 1)))
	press(t, ctx, "Simulate ", "would not start")
	shootAll(t, ctx, "admin-simulate-wrong")
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin/simulate"), chromedp.WaitVisible(`#candidate`))
	tabTo(t, ctx, "Paste the new rolegate.yaml")
	run(t, ctx, input.InsertText(string(candidate)))
	press(t, ctx, "Simulate ", "people evaluated")
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin/traces"), waitFor("What went wrong lately"))
	keyIn(t, ctx, "Trace id", strings.ReplaceAll(trace, "-", " "), "Steps")
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin/explain"), waitFor("Explain a person"))
	keyIn(t, ctx, "Person", "bob", "aws-developers")
	run(t, ctx, chromedp.Navigate(d.Portal+"/admin/simulate"), chromedp.WaitVisible(`#candidate`),
		chromedp.SetUploadFiles(`#file`, []string{path}), chromedp.Click(`form[action="/admin/simulate"] button`), waitFor("people evaluated"))
	if text := textOf(t, ctx); !strings.Contains(text, "bob: Admin in production") {
		t.Errorf("the simulation says\n%s", text)
	}
	shootAll(t, ctx, "admin-simulate")
}
