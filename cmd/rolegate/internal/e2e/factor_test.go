package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
)

// virtualAuthenticator plugs in an authenticator that verifies its user.
func virtualAuthenticator(t *testing.T, ctx context.Context) {
	t.Helper()
	run(t, ctx, webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
			HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
}

// signInOIDC signs somebody without a second factor in, from wherever the
// portal leads them.
func signInOIDC(t *testing.T, ctx context.Context, p person, address string) {
	t.Helper()
	run(t, ctx, chromedp.Navigate(address), chromedp.WaitVisible(`a[href*="/signin/oidc"]`), chromedp.Click(`a[href*="/signin/oidc"]`))
	var there bool
	run(t, ctx, chromedp.WaitReady("body"), chromedp.Evaluate(`!!document.querySelector("input[name=password]")`, &there))
	if there {
		run(t, ctx, chromedp.SendKeys(`input[name=username]`, p.Username), chromedp.SendKeys(`input[name=password]`, p.Password+kb.Enter))
	}
}

const (
	operator   = "/go?account=sandbox&role=Operator"
	asOperator = "assumed-role/RolegateDeveloper/bob@example.com"
)

// browserOwnFactor goes the whole way of somebody whose identity provider
// proves no second factor: the role that needs one leads to enrolment of a
// passkey and from there to the console; the next sign-in to its use. Then an
// authenticator app is added, and wrong, replayed and late codes are refused.
func browserOwnFactor(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "oidc", "bob")
	virtualAuthenticator(t, ctx)

	signInOIDC(t, ctx, bob, d.Portal)
	run(t, ctx, waitFor("Accounts and roles"), chromedp.Navigate(d.Portal+operator), waitFor("needs a second factor"))
	shootAll(t, ctx, "mfa-needed")
	run(t, ctx, chromedp.Click(`a[href^="/mfa"]`), waitFor("Set up a second factor"))
	shootAll(t, ctx, "mfa-enrol")
	run(t, ctx, chromedp.SendKeys(`#passkey-name`, "Laptop"), chromedp.Click(`form[data-passkey] button`), waitFor("Keep your recovery codes"))
	shootAll(t, ctx, "mfa-recovery")
	run(t, ctx, chromedp.Click(`.row a.button`), waitFor("You are signed in to AWS"))
	if text := textOf(t, ctx); !strings.Contains(text, asOperator) {
		t.Errorf("the console says\n%s", text)
	}

	// A new sign-in has no proof again.
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Accounts and roles"), chromedp.Click(`form[action="/signout"] button`), waitFor("signed out"))
	signInOIDC(t, ctx, bob, d.Portal)
	run(t, ctx, waitFor("Accounts and roles"), chromedp.Navigate(d.Portal+operator), waitFor("needs a second factor"),
		chromedp.Click(`a[href^="/mfa"]`), waitFor("Use your passkey"))
	shootAll(t, ctx, "mfa-use")
	run(t, ctx, chromedp.Click(`form[data-passkey] button`), waitFor("You are signed in to AWS"))
	if text := textOf(t, ctx); !strings.Contains(text, asOperator) {
		t.Errorf("the console says\n%s", text)
	}

	// Both proofs are fresh: an app may be added.
	run(t, ctx, chromedp.Navigate(d.Portal+"/mfa/enrol"), waitFor("Set up a second factor"),
		chromedp.Click(`form[action="/mfa/enrol/code"] button`), waitFor("Scan the picture"))
	shootAll(t, ctx, "mfa-app")
	var key string
	run(t, ctx, chromedp.Text(`#key`, &key))
	key = strings.ReplaceAll(key, " ", "")
	code := func(d time.Duration) string {
		c, err := totp.GenerateCode(key, time.Now().Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := code(0)
	run(t, ctx, chromedp.SendKeys(`#code`, first+kb.Enter), waitFor("What you have set up"), waitFor("Authenticator app"))
	shootAll(t, ctx, "mfa-security")
	use := func(c, want string) {
		t.Helper()
		run(t, ctx, chromedp.Navigate(d.Portal+"/mfa?return_to=%2Fsecurity"), chromedp.WaitVisible(`#code`),
			chromedp.SendKeys(`#code`, c+kb.Enter), waitFor(want))
	}
	use("abcdef", "was not accepted")
	shootAll(t, ctx, "mfa-use-wrong")
	use(first, "was not accepted")
	use(code(-2*time.Minute), "was not accepted")
	use(code(30*time.Second), "What you have set up")
	shootAll(t, ctx, "mfa-security-after")
}

// browserStepUpAtProvider ensures that a role that needs a second factor
// leads to the identity provider, and that an answer with less than was asked
// ends there, with the session as it was.
func browserStepUpAtProvider(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "oidc", "bob")
	signInOIDC(t, ctx, bob, d.Portal)
	run(t, ctx, waitFor("Accounts and roles"), chromedp.Navigate(d.Portal+operator), waitFor("needs a second factor"),
		chromedp.Click(`form[action="/signin/oidc"] button`), chromedp.WaitVisible(`input[name=password]`))
	// Bob has no factor there: the answer is less than was asked, and says so
	// without asking again.
	run(t, ctx, chromedp.SendKeys(`input[name=username]`, bob.Username), chromedp.SendKeys(`input[name=password]`, bob.Password+kb.Enter))
	run(t, ctx, waitFor("answered without proof of one"))
	shootAll(t, ctx, "mfa-less-than-asked")
	run(t, ctx, chromedp.Navigate(d.Portal), waitFor("Accounts and roles"))
}

// TestBrowserProgramNeedsProof goes the way of a program on another device: let
// in without proof it is refused the role that needs one, and told how to get
// it; when it asks for proof, the page leads to the second factor and back.
func TestBrowserProgramNeedsProof(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	bob := d.person(t, "oidc", "bob")
	virtualAuthenticator(t, ctx)
	signInOIDC(t, ctx, bob, d.Portal)
	run(t, ctx, waitFor("Accounts and roles"))

	home := t.TempDir()
	cli, err := client.New(client.Config{Env: func(name string) string {
		if name == "ROLEGATE_HOME" {
			return home
		}
		return ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(mfa bool) (code string, done <-chan error) {
		t.Helper()
		shown, ended := make(chan string, 1), make(chan error, 1)
		go func() {
			_, _, err := cli.Login(ctx, client.Login{
				Server: d.Portal, Host: "laptop", MFA: mfa, Way: client.DeviceCode, Show: func(_, code string) { shown <- code },
			})
			ended <- err
		}()
		select {
		case code := <-shown:
			return code, ended
		case err := <-ended:
			t.Fatal(err)
			return "", nil
		}
	}
	operate := func() error {
		_, err := cli.Credentials(ctx, "sandbox", "Operator", 0, func(error) {})
		return err
	}

	code, done := begin(false)
	run(t, ctx, chromedp.Navigate(d.Portal+"/device"), chromedp.WaitVisible(`#user_code`), chromedp.SendKeys(`#user_code`, code+kb.Enter), waitFor("Is this you?"))
	shootAll(t, ctx, "device-some-roles")
	run(t, ctx, chromedp.Click(`button[value="approve"]`), waitFor("is let in"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := operate(); broker.CodeOf(err) != broker.CodeStepUp || !strings.Contains(broker.Remedy(err), "rolegate login --mfa") {
		t.Errorf("%v: %s", err, broker.Remedy(err))
	}

	code, done = begin(true)
	run(t, ctx, chromedp.Navigate(d.Portal+"/device"), chromedp.WaitVisible(`#user_code`), chromedp.SendKeys(`#user_code`, code+kb.Enter), waitFor("asks for a stronger sign-in"))
	shootAll(t, ctx, "device-needs-proof")
	run(t, ctx, chromedp.Click(`a[href^="/mfa"]`), waitFor("Set up a second factor"),
		chromedp.Poll(`document.readyState == "complete"`, nil), // the script has seen the form
		chromedp.Click(`form[data-passkey] button`), waitFor("Keep your recovery codes"),
		chromedp.Click(`.row a.button`), chromedp.WaitVisible(`#user_code`), chromedp.Click(`button.main.wide`), waitFor("Is this you?"))
	shootAll(t, ctx, "device-proven")
	run(t, ctx, chromedp.Click(`button[value="approve"]`), waitFor("is let in"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := operate(); err != nil {
		t.Errorf("%v: %s", err, broker.Remedy(err))
	}
}

// TestBrowserStepUpToConsole goes in one flow from a role that needs a second
// factor, by way of the identity provider that did not prove one, to the console
// as that role: by SAML and by OpenID Connect, from the portal's button and from
// a deep link, with and without a session.
func TestBrowserStepUpToConsole(t *testing.T) {
	people := idp.DemoPeople()
	for i, p := range people {
		people[i].OnRequest = true
		if p.Username == "bob" { // and has an app, which is not asked for unless it is wanted
			people[i].TOTPSecret = people[0].TOTPSecret
		}
	}
	for _, tt := range []struct {
		provider, who, account, role, as string
	}{
		{"saml", "alice", "production", "Admin", "assumed-role/RolegateAdmin/alice@example.com"},
		{"oidc", "bob", "sandbox", "Operator", asOperator},
	} {
		for _, from := range []string{"button", "deep link", "deep link of nobody yet"} {
			t.Run(tt.provider+", "+from, func(t *testing.T) {
				ctx := newBrowser(t)
				d, err := demo.Start(t.Context(), demo.Options{Listen: "localhost:0", Dir: t.TempDir(), People: people, Logger: testLogger(t)})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = d.Close() })
				var who idp.Person
				for _, p := range people {
					if p.Username == tt.who {
						who = p
					}
				}
				password := func() {
					t.Helper()
					run(t, ctx, chromedp.WaitVisible(`input[name=password]`),
						chromedp.SendKeys(`input[name=username]`, who.Username), chromedp.SendKeys(`input[name=password]`, who.Password+kb.Enter))
				}
				choose := func() {
					t.Helper()
					run(t, ctx, chromedp.WaitVisible(`a[href*="/signin/`+tt.provider+`"]`), chromedp.Click(`a[href*="/signin/`+tt.provider+`"]`))
				}
				link := d.Portal + "/go?account=" + tt.account + "&role=" + tt.role
				first := d.Portal
				if from == "deep link of nobody yet" {
					first = link
				}
				run(t, ctx, chromedp.Navigate(first))
				choose()
				password()
				switch from {
				case "button":
					run(t, ctx, waitFor("Accounts and roles"),
						chromedp.Click(`//form[@action="/console"]//button[contains(., "Console for `+tt.role+` in `+tt.account+`")]`, chromedp.BySearch))
				case "deep link":
					run(t, ctx, waitFor("Accounts and roles"), chromedp.Navigate(link))
				}
				run(t, ctx, waitFor("needs a second factor"), chromedp.Click(`form[action="/signin/`+tt.provider+`"] button`))
				password()
				run(t, ctx, chromedp.WaitVisible(`input[name=code]`), chromedp.SendKeys(`input[name=code]`, who.Code(time.Now())+kb.Enter))
				run(t, ctx, waitFor("You are signed in to AWS"))
				if text := textOf(t, ctx); !strings.Contains(text, tt.as) {
					t.Errorf("the console says\n%s", text)
				}
				shoot(t, ctx, "stepped-up-"+tt.provider)
			})
		}
	}
}
