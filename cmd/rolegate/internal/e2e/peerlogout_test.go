package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// signOut clicks sign-out in the portal and goes on to the provider as the page
// says, which is by its Refresh.
func (p *peerRig) signOut(t *testing.T, b *formbrowser.Browser) {
	t.Helper()
	must(t, b, b.Get(t.Context(), p.url+"/"))
	must(t, b, b.Submit(t.Context(), func(f formbrowser.Form) bool { return f.Action == "/signout" }, nil))
	next, ok := strings.CutPrefix(b.Header.Get("Refresh"), "0; url=")
	if b.Status != http.StatusOK || !ok {
		t.Fatalf("the sign-out leads nowhere (%d)\n%.2000s", b.Status, b.Body)
	}
	p.wantSession(t, b, false)
	must(t, b, b.Get(t.Context(), next))
}

// wantSession asks with the browser's cookies whether there is a session.
func (p *peerRig) wantSession(t *testing.T, b *formbrowser.Browser, want bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Cookies(p.url) {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := resp.StatusCode == http.StatusOK; got != want {
		t.Fatalf("a session: %t (status %d), wanted %t", got, resp.StatusCode, want)
	}
}

// TestPeerOIDCProviderLogout signs out at panva's certified provider from here,
// and here from there by its back channel: of two sessions of one person only
// the one that ended there ends.
func TestPeerOIDCProviderLogout(t *testing.T) {
	need(t, "ROLEGATE_TEST_OIDC_PROVIDER")
	p := newPeerRig(t, "metadata_url: http://localhost:1/")
	signIn := func() *formbrowser.Browser {
		t.Helper()
		b := newFormBrowser(t)
		must(t, b, b.Get(t.Context(), p.url+"/signin/panva"))
		must(t, b, b.Submit(t.Context(), formbrowser.Has("login"), map[string]string{"login": "alice", "password": "alicepw"}))
		p.wantSession(t, b, true)
		return b
	}
	agree := func(b *formbrowser.Browser) {
		t.Helper()
		must(t, b, b.Submit(t.Context(), formbrowser.Has("xsrf"), map[string]string{"logout": "yes"}))
	}

	b := signIn()
	p.signOut(t, b)
	agree(b)
	if b.URL.Path != "/oidc/panva/signed-out" || b.Status != http.StatusOK || !strings.Contains(b.Body, "oidc-provider has sent you back") {
		t.Errorf("ended at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
	}
	must(t, b, b.Get(t.Context(), p.url+"/signin/panva"))
	if _, asked := b.Find(formbrowser.Has("login")); !asked {
		t.Errorf("still signed in there: at %v (%d)", b.URL, b.Status)
	}

	first, second := signIn(), signIn()
	must(t, first, first.Get(t.Context(), "http://localhost:18102/session/end"))
	agree(first)
	p.wantSession(t, first, false)
	p.wantSession(t, second, true)
}

// TestPeerSimpleSAMLphpLogout signs out at SimpleSAMLphp from here and here from
// there. It verifies our signatures, as we do its own.
func TestPeerSimpleSAMLphpLogout(t *testing.T) {
	p := newSimpleSAMLphpRig(t)
	signIn := func() *formbrowser.Browser {
		t.Helper()
		b := newFormBrowser(t)
		must(t, b, b.Get(t.Context(), p.url+"/signin/ssp"))
		must(t, b, b.Submit(t.Context(), formbrowser.Has("password"), map[string]string{"username": "alice", "password": "alicepw"}))
		must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLResponse"), nil))
		p.wantSession(t, b, true)
		return b
	}
	wantAsked := func(b *formbrowser.Browser) {
		t.Helper()
		must(t, b, b.Get(t.Context(), p.url+"/signin/ssp"))
		if _, asked := b.Find(formbrowser.Has("password")); !asked {
			t.Errorf("still signed in there: at %v (%d)", b.URL, b.Status)
		}
	}

	b := signIn()
	p.signOut(t, b)
	if b.URL.Path != "/saml/ssp/slo" || b.Status != http.StatusOK || !strings.Contains(b.Body, "SimpleSAMLphp says that your session there has ended too") {
		t.Errorf("ended at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
	}
	wantAsked(b)

	first, second := signIn(), signIn()
	done := "http://localhost:18101/simplesamlphp/"
	must(t, first, first.Get(t.Context(), done+"saml2/idp/SingleLogoutService.php?ReturnTo="+done))
	through := false
	for _, hop := range first.Hops {
		through = through || strings.HasPrefix(hop, p.url+"/saml/ssp/slo?SAMLRequest=")
	}
	if !through || !strings.HasPrefix(first.URL.String(), done) || strings.Contains(first.URL.Path, "Logout") || first.Status != http.StatusOK {
		t.Errorf("ended at %v (%d) by %.400q\n%.2000s", first.URL, first.Status, first.Hops, first.Body)
	}
	p.wantSession(t, first, false)
	p.wantSession(t, second, true)
	wantAsked(first)
}
