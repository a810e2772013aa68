package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
)

// TestBrowserDeepLink ensures that a bookmarked link to a role survives signing
// in and the second factor that the role needs, and ends in the console at the
// place that it names; by keyboard alone.
func TestBrowserDeepLink(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "oidc", "bob")
	run(t, ctx, chromedp.Navigate(d.Portal+"/mfa/enrol"), waitFor("Use your work account"))
	keyInOIDC(t, ctx, bob, "Set up a second factor")
	press(t, ctx, "Set up an app", "Scan the picture")
	var key string
	run(t, ctx, chromedp.Text(`#key`, &key))
	code := func(at time.Time) string {
		c, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	keyIn(t, ctx, "code Code", code(time.Now()), "Keep your recovery codes")
	press(t, ctx, "I have kept them", "What you have set up")
	press(t, ctx, "Sign out", "You are signed out")

	run(t, ctx, chromedp.Navigate(d.Portal+operator+"&destination=ec2/home&region=eu-west-1"), waitFor("Use your work account"))
	press(t, ctx, "OpenID Connect", "needs a second factor") // the provider knows him still
	press(t, ctx, "Use your second factor", "Code of your authenticator app")
	keyIn(t, ctx, "Code of your", code(time.Now().Add(30*time.Second)), "You are signed in to AWS") // the one before is used up
	if text := textOf(t, ctx); !strings.Contains(text, asOperator) || !strings.Contains(text, "ec2/home") {
		t.Errorf("the console says\n%s", text)
	}
}

// TestBrowserPortalByKeyboard searches, marks a favourite and comes to the
// credentials of a role without a mouse.
func TestBrowserPortalByKeyboard(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Use your work account"))
	keyInOIDC(t, ctx, d.person(t, "oidc", "bob"), "Accounts and roles")
	press(t, ctx, "Favourite: Developer in sandbox", "Favourites")
	keyIn(t, ctx, "Search", "staging read", "1 of 9 roles match.")
	press(t, ctx, "Credentials @ ReadOnly in staging", "AWS_ACCESS_KEY_ID")
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Favourites"))
	press(t, ctx, "Why? @ Developer in sandbox", "Why you have Developer in sandbox")
}
