package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browserSAML signs in with a second factor and lands in a console session
// under the person's name, looking at every page on the way.
func browserSAML(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	alice := d.person(t, "saml", "alice")
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.WaitVisible(`a[href*="/signin/saml"]`))
	shootAll(t, ctx, "signin")
	run(t, ctx, chromedp.Click(`a[href*="/signin/saml"]`), chromedp.WaitVisible(`input[name=password]`))
	shootAll(t, ctx, "idp-password")
	run(t, ctx, chromedp.SendKeys(`input[name=username]`, alice.Username), chromedp.SendKeys(`input[name=password]`, alice.Password+kb.Enter), chromedp.WaitVisible(`input[name=code]`))
	shootAll(t, ctx, "idp-code")
	run(t, ctx, chromedp.SendKeys(`input[name=code]`, alice.code(t)+kb.Enter), waitFor("Accounts and roles"))
	shootAll(t, ctx, "portal")
	openConsole(t, ctx, "production", "Admin", "assumed-role/RolegateAdmin/alice@example.com")
	shootAll(t, ctx, "console")
	morePages(t, ctx, d)
}

// TestBrowserOIDC does the same through OpenID Connect, by keyboard alone.
func TestBrowserOIDC(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "oidc", "bob")
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.WaitVisible(`a[href*="/signin/oidc"]`))
	tabTo(t, ctx, "OpenID Connect")
	run(t, ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`input[name=password]`))
	tabTo(t, ctx, "Username")
	run(t, ctx, chromedp.KeyEvent(bob.Username))
	tabTo(t, ctx, "Password")
	run(t, ctx, chromedp.KeyEvent(bob.Password), chromedp.KeyEvent(kb.Enter), waitFor("Accounts and roles"))
	tabTo(t, ctx, "Console for Developer in development")
	run(t, ctx, chromedp.KeyEvent(kb.Enter), waitFor("You are signed in to AWS"))
	if text := textOf(t, ctx); !strings.Contains(text, "assumed-role/RolegateDeveloper/bob@example.com") {
		t.Errorf("the console says\n%s", text)
	}
}

// openConsole clicks the console button of a role.
func openConsole(t *testing.T, ctx context.Context, account, role, want string) {
	t.Helper()
	xpath := fmt.Sprintf(`//section[.//h2[text()='%s']]//li[.//h3[text()='%s']]//button[starts-with(normalize-space(.),"Console")]`, account, role)
	var nodes []*cdp.Node
	run(t, ctx, chromedp.Nodes(xpath, &nodes, chromedp.BySearch, chromedp.AtLeast(1)), chromedp.Click(xpath, chromedp.BySearch), waitFor("You are signed in to AWS"))
	if text := textOf(t, ctx); !strings.Contains(text, want) {
		t.Errorf("the console says\n%s", text)
	}
}

// morePages looks at what the flows do not pass.
func morePages(t *testing.T, ctx context.Context, d ready) {
	t.Helper()
	visit := func(path, want, name string) {
		t.Helper()
		run(t, ctx, chromedp.Navigate(d.Portal+path), waitFor(want))
		shootAll(t, ctx, name)
	}
	visit("/?q=nothing-like-this", "Nothing matches", "portal-empty")
	visit("/access", "Rules turn that into roles", "access")
	visit("/go?account=production&role=Nobody", "You do not have", "denied")
	visit("/no/such/page", "page", "not-found")
	var id string
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Accounts and roles"), chromedp.Value(`input[name=assignment]`, &id))
	visit("/access?assignment="+id, "Why you have", "access-role")
	visit("/credentials?assignment="+id, "Show credentials", "credentials")
	press(t, ctx, "Show credentials", "AWS_ACCESS_KEY_ID")
	for id, start := range map[string]string{"bash": "export AWS_ACCESS_KEY_ID='ASIA", "fish": "set -gx AWS_ACCESS_KEY_ID 'ASIA", "powershell": "$Env:AWS_ACCESS_KEY_ID = 'ASIA", "file": "["} {
		var shown, name string
		run(t, ctx, chromedp.TextContent(`#s-`+id, &shown), chromedp.Text(`#h-`+id, &name))
		if got := copied(t, ctx, "Copy for "+name); got != shown || !strings.HasPrefix(got, start) {
			t.Errorf("the clipboard for %s holds %.60q", name, got)
		}
		run(t, ctx, chromedp.Evaluate(`document.getElementById("copied").textContent = ""`, nil))
	}
	shootAll(t, ctx, "credentials-shown")
	// What AWS refuses names the account to mend.
	run(t, ctx, chromedp.Navigate(d.Portal+"/go?account=security&role=Auditor"), waitFor("444444444444"))
	shootAll(t, ctx, "aws-refuses")
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Accounts and roles"), chromedp.Click(`form[action="/signout"] button`), waitFor("signed out"))
	shootAll(t, ctx, "signed-out")
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.WaitVisible(`a[href*="/signin/saml"]`))
	// Nobody is signed in to AWS by a link on another site.
	carol := d.person(t, "saml", "carol")
	run(t, ctx, chromedp.Navigate(d.Portal+"/signin/oidc"), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, carol.Username), chromedp.SendKeys(`input[name=password]`, carol.Password+kb.Enter), waitFor("gives you a role"))
	shootAll(t, ctx, "no-roles")
}

// TestBrowserWithoutScript ensures that sign-in and console work with script
// switched off.
func TestBrowserWithoutScript(t *testing.T) {
	ctx := newBrowser(t, chromedp.Flag("blink-settings", "scriptEnabled=false"))
	d := startDemo(t)
	bob := d.person(t, "saml", "bob")
	run(t, ctx, chromedp.Navigate(d.Portal+"/signin/saml"), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, bob.Username), chromedp.SendKeys(`input[name=password]`, bob.Password),
		chromedp.Click(`form[action="/login"] button`), chromedp.WaitVisible(`#continue button`),
		chromedp.Click(`#continue button`), chromedp.WaitVisible(`form[action="/console"] button`),
		chromedp.Click(`form[action="/console"] button`), chromedp.WaitVisible(`.arn`))
	var arn string
	run(t, ctx, chromedp.Text(`.arn`, &arn))
	if !strings.Contains(arn, "/bob@example.com") {
		t.Errorf("the console says %q", arn)
	}
}
