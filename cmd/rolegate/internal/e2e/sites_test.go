package e2e_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

const siteConfig = `
public_url: https://sso.rolegate.test
identity_providers:
  - id: other
    email_domains: [example.com]
    email_authoritative: true
    saml: {metadata_file: idp.xml}
    identity: {username: 'claims.username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
accounts: [{id: "111111111111", name: production}]
roles: [{name: Admin, iam_role: RolegateAdmin}]
rules: [{name: developers, groups: [aws-developers], accounts: ['*'], roles: [Admin]}]
`

// TestBrowserTwoSites signs in over HTTPS where rolegate and the identity
// provider are different sites, so that the SAML answer is a cross-site POST.
// The binding cookie must come along, and the session cookie must not need to.
// With a Lax binding cookie the same sign-in must fail: that run shows that the
// test can.
func TestBrowserTwoSites(t *testing.T) {
	need(t, "ROLEGATE_TEST_CHROMIUM")
	for _, lax := range []bool{false, true} {
		t.Run(fmt.Sprintf("lax=%t", lax), func(t *testing.T) {
			people := idp.DemoPeople()
			provider, err := idp.NewSAML(idp.SAMLOptions{BaseURL: "https://idp.other.test", People: people})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "idp.xml"), provider.Metadata(), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse(filepath.Join(dir, "rolegate.yaml"), []byte(siteConfig), os.Getenv)
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
			handler := s.Handler
			if lax {
				handler = laxCookies(s.Handler)
			}
			site := sites(t)
			rules := site(handler, "sso.rolegate.test") + "," + site(provider.Handler(), "idp.other.test")
			ctx := newBrowser(t, chromedp.Flag("host-resolver-rules", rules), chromedp.Flag("ignore-certificate-errors", true))
			run(t, ctx, chromedp.Navigate("https://sso.rolegate.test/signin/other"), chromedp.WaitVisible(`input[name=password]`),
				chromedp.SendKeys(`input[name=username]`, "bob"), chromedp.SendKeys(`input[name=password]`, "bob-demo"+kb.Enter))
			if lax {
				run(t, ctx, waitFor("another browser"))
				return
			}
			run(t, ctx, waitFor("Accounts and roles"))
		})
	}
}

// sites returns a function that serves a handler over HTTPS under a name, and
// returns the rule by which a browser finds it.
func sites(t *testing.T) func(h http.Handler, name string) string {
	t.Helper()
	authority, err := idp.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return func(h http.Handler, name string) string {
		pair, err := authority.ServerCertificate(name)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(h)
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return "MAP " + name + " " + srv.Listener.Addr().String()
	}
}

// laxCookies spoils the binding cookie on its way to the browser.
func laxCookies(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		for k, vs := range rec.Header() {
			for _, v := range vs {
				w.Header().Add(k, strings.Replace(v, "SameSite=None", "SameSite=Lax", 1))
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}
