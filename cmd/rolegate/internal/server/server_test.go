package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker/session"
)

const sessionCookie = "__Host-rolegate_session"

// TestSignInToConsole goes the whole way through the wired server: sign-in,
// portal, console link.
func TestSignInToConsole(t *testing.T) {
	w := newWorld(t)
	w.signIn()
	assignment := w.assignment()
	for _, want := range []string{"prod", "111122223333", "Role00", "Role19", "alice"} {
		if !strings.Contains(w.lastBody, want) {
			t.Errorf("the portal does not show %q", want)
		}
	}
	resp := w.console(assignment)
	if u, err := resp.Location(); resp.StatusCode != http.StatusSeeOther || err != nil ||
		!strings.HasPrefix(u.String(), w.aws+"/federation?") || u.Query().Get("Action") != "login" || u.Query().Get("SigninToken") != "planted-signin-token" {
		t.Errorf("status %d to %v\n%s", resp.StatusCode, u, w.lastBody)
	}
	if w.assumed != 1 {
		t.Errorf("STS was called %d times", w.assumed)
	}
	if strings.Contains(w.lastBody, "planted-secret") {
		t.Error("the answer holds credentials")
	}
}

// TestForgedAnswer ensures that the wired server verifies: an answer that is
// good but for its key makes no session.
func TestForgedAnswer(t *testing.T) {
	w := newWorld(t)
	id, relay := w.begin()
	if resp := w.finish(evilKey(), id, relay); resp.StatusCode != http.StatusUnauthorized || w.cookies[sessionCookie] != nil {
		t.Errorf("status %d, cookies %v", resp.StatusCode, w.cookies)
	}
}

// TestProviderDown ensures that a provider whose metadata cannot be fetched is
// named where somebody wants it, and stops nobody else.
func TestProviderDown(t *testing.T) {
	w := newWorld(t)
	failed := w.Refresh(t.Context())
	if failed["corp"] != nil || failed["other"] == nil {
		t.Errorf("refresh: %v", failed)
	}
	resp := w.do(http.MethodGet, "/signin/other", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(w.lastBody, "Elsewhere") {
		t.Errorf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
	w.signIn()
	if resp := w.console(w.assignment()); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
}

// TestStoreGone ensures that without a store nothing is released: no page, no
// session, no call to AWS.
func TestStoreGone(t *testing.T) {
	w := newWorld(t)
	w.signIn()
	assignment := w.assignment()
	session := *w.cookies[sessionCookie]
	id, relay := w.begin()
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	wantGone := func(name string, do func() *http.Response) {
		t.Helper()
		resp := do()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Location") != "" {
			t.Errorf("%s: status %d to %q\n%.500s", name, resp.StatusCode, resp.Header.Get("Location"), w.lastBody)
		}
	}
	for name, do := range map[string]func() *http.Response{
		"portal":  func() *http.Response { return w.do(http.MethodGet, "/", nil) },
		"console": func() *http.Response { return w.console(assignment) },
		"sign-in": func() *http.Response { return w.do(http.MethodGet, "/signin/corp", nil) },
		"answer":  func() *http.Response { return w.finish(idpKey(), id, relay) },
		"api":     func() *http.Response { return w.do(http.MethodGet, "/api/v1/me", nil) },
		"ready":   func() *http.Response { return w.do(http.MethodGet, "/readyz", nil) },
	} {
		wantGone(name, do)
	}
	if w.assumed != 0 || w.cookies[sessionCookie].Value != session.Value {
		t.Errorf("%d calls of STS, session cookie %v", w.assumed, w.cookies[sessionCookie])
	}
	wantGone("sign-out", func() *http.Response { return w.do(http.MethodPost, "/signout", nil) })
	if c := w.cookies[sessionCookie]; c != nil && c.Value != "" {
		t.Error("whoever signs out keeps the cookie")
	}
}

// TestRestart ensures that a second start on the same folder keeps sessions,
// keys and names.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.signIn()
	assignment := w.assignment()
	keys := published(t, w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.start()
	if diff := cmp.Diff(keys, published(t, w)); diff != "" {
		t.Errorf("the published keys are others: %s", diff)
	}
	if got := w.assignment(); got != assignment {
		t.Errorf("assignment %s, was %s", got, assignment)
	}
	if resp := w.console(assignment); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
	people, err := session.Identities{Store: w.Store, Sealer: w.Sealer}.Find(t.Context(), "alice")
	if err != nil || len(people) != 1 {
		t.Errorf("recorded: %v %v", people, err)
	}
}

func published(t *testing.T, w *world) string {
	t.Helper()
	jwks, err := w.Issuer.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return string(jwks)
}
