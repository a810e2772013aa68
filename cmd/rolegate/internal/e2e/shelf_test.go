package e2e_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browserShelf ensures that search, stars, what was used lately and grouping
// work in a real browser with script, and that the pages look right.
func browserShelf(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "saml", "bob")
	run(t, ctx, chromedp.Navigate(d.Portal+"/signin/saml"), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, bob.Username), chromedp.SendKeys(`input[name=password]`, bob.Password+kb.Enter), waitFor("Accounts and roles"))
	shown := func(want int, what string) {
		t.Helper()
		var n int
		run(t, ctx, chromedp.Evaluate(`[...document.querySelectorAll("#results .roles > li")].filter(e => e.checkVisibility()).length`, &n))
		if n != want {
			t.Errorf("%s: %d roles are shown, want %d", what, n, want)
		}
	}
	// A star comes at once, without a page, and stays.
	star := `//section[.//*[@class='an'][text()='sandbox']]//li[.//*[@class='rn'][text()='Developer']]//button[contains(@class,'star')]`
	run(t, ctx, chromedp.Click(star, chromedp.BySearch), chromedp.WaitVisible(`#favourites`, chromedp.ByQuery))
	var pressed string
	run(t, ctx, chromedp.AttributeValue(star, "aria-pressed", &pressed, nil, chromedp.BySearch))
	if pressed != "true" {
		t.Errorf("the star is %q", pressed)
	}
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.WaitVisible(`#favourites`, chromedp.ByQuery))
	// A console session makes the role one that was used lately.
	openConsole(t, ctx, "development", "Developer", "assumed-role/RolegateDeveloper/bob@example.com")
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.WaitVisible(`#recent`, chromedp.ByQuery))
	shootAll(t, ctx, "portal-shelf")
	// Search as one types, and the shelf gives way.
	run(t, ctx, chromedp.SendKeys(`#q`, "sandb read", chromedp.ByQuery), chromedp.WaitNotVisible(`#shelf`, chromedp.ByQuery))
	shown(1, "search")
	shootAll(t, ctx, "portal-search")
	run(t, ctx, chromedp.Navigate(d.Portal+"/?group=env"), waitFor("env: development"))
	shootAll(t, ctx, "portal-grouped")
	// And off again, from the shelf itself.
	run(t, ctx, chromedp.Navigate(d.Portal), chromedp.Click(`#shelf [aria-labelledby=favourites] .star`, chromedp.ByQuery), chromedp.WaitNotPresent(`#favourites`, chromedp.ByQuery))
}
