package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// TestBrowserFormOrigins signs in at an identity provider whose POST endpoint
// redirects to a host of its own for signing in. The browser goes there if
// form_origins names the host, and else refuses by our own policy.
func TestBrowserFormOrigins(t *testing.T) {
	need(t, "ROLEGATE_TEST_CHROMIUM")
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named=%t", named), func(t *testing.T) {
			provider, err := idp.NewSAML(idp.SAMLOptions{BaseURL: "https://idp.other.test", People: idp.DemoPeople()})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "idp.xml"), provider.Metadata(), 0o600); err != nil {
				t.Fatal(err)
			}
			text, setting := siteConfig, "metadata_file: idp.xml, binding: post"
			if named {
				setting += `, form_origins: ["https://login.other.test"]`
			}
			text = strings.Replace(text, "metadata_file: idp.xml", setting, 1)
			c, err := config.Parse(filepath.Join(dir, "rolegate.yaml"), []byte(text), os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			s, err := server.New(t.Context(), c, server.Options{Logger: testLogger(t)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			for id, err := range s.Refresh(t.Context()) {
				if err != nil {
					t.Fatal(id, err)
				}
			}
			ours, err := s.SAML["other"].Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if err := provider.RegisterSP(ours); err != nil {
				t.Fatal(err)
			}
			front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://login.other.test"+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			})
			site := sites(t)
			rules := site(s.Handler, "sso.rolegate.test") + "," + site(front, "idp.other.test") + "," + site(provider.Handler(), "login.other.test")
			ctx := newBrowser(t, chromedp.Flag("host-resolver-rules", rules), chromedp.Flag("ignore-certificate-errors", true))
			refused := make(chan string, 100)
			chromedp.ListenTarget(ctx, func(ev any) {
				if e, ok := ev.(*log.EventEntryAdded); ok && strings.Contains(e.Entry.Text, "form-action") {
					refused <- e.Entry.Text
				}
			})
			run(t, ctx, chromedp.Navigate("https://sso.rolegate.test/signin/other"))
			if !named {
				select {
				case text := <-refused:
					t.Log(text)
				case <-time.After(2 * time.Minute):
					t.Fatal("the browser follows a form to where the policy does not let it")
				}
				run(t, ctx, waitFor("Continue to other"))
				return
			}
			run(t, ctx, chromedp.WaitVisible(`input[name=password]`),
				chromedp.SendKeys(`input[name=username]`, "bob"), chromedp.SendKeys(`input[name=password]`, "bob-demo"+kb.Enter), waitFor("Accounts and roles"))
		})
	}
}
