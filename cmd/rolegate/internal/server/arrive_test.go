package server_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// TestIdPInitiated ensures that the wired server takes an unsolicited answer
// only where idp_initiated is set, asks first, and takes it once.
func TestIdPInitiated(t *testing.T) {
	w := newLiveWorld(t)
	form := url.Values{"SAMLResponse": {respond(t, idpKey(), "", 20)}, "RelayState": {"https://evil.example/"}}
	if resp := w.do(http.MethodPost, "/saml/corp/acs", form); resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("off: status %d\n%s", resp.StatusCode, w.lastBody)
	}
	if err := w.reload("metadata_file: idp.xml", "metadata_file: idp.xml, idp_initiated: true"); err != nil {
		t.Fatal(err)
	}
	resp := w.do(http.MethodPost, "/saml/corp/acs", form)
	m := regexp.MustCompile(`name="arrival" value="([^"]+)"`).FindStringSubmatch(w.lastBody)
	if resp.StatusCode != http.StatusOK || m == nil || w.cookies[sessionCookie] != nil {
		t.Fatalf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
	if resp := w.do(http.MethodPost, "/saml/corp/acs", form); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("replayed: status %d", resp.StatusCode)
	}
	// Another node on the same store knows what this one took.
	node, err := server.New(t.Context(), w.live.Current().Config(), server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Close() }()
	if err := node.SAML["corp"].Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	here := w.live
	w.live, w.Handler = nil, node.Handler
	if resp := w.do(http.MethodPost, "/saml/corp/acs", form); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(w.lastBody, "used before") {
		t.Errorf("replayed on another node: status %d\n%s", resp.StatusCode, w.lastBody)
	}
	w.live = here
	if resp := w.do(http.MethodPost, "/saml/corp/agree", url.Values{"arrival": m[1:]}); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		t.Fatalf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
	if resp := w.console(w.assignment()); resp.StatusCode != http.StatusSeeOther || w.assumed != 1 {
		t.Errorf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
	if resp := w.do(http.MethodPost, "/saml/corp/agree", url.Values{"arrival": m[1:]}); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("agreed twice: status %d", resp.StatusCode)
	}
	if resp := w.do(http.MethodPost, "/saml/corp/acs", url.Values{"SAMLResponse": {respond(t, evilKey(), "", 20)}}); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("forged: status %d", resp.StatusCode)
	}
}
