package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
)

// TestLoopback ensures the whole way with a browser on the same machine.
func TestLoopback(t *testing.T) {
	h := newHouse(t)
	h.get("/authorize?"+authorization()).wantLocation(t, "/signin?"+url.Values{"return_to": {"/authorize?" + authorization()}}.Encode())
	h.signIn()
	a := h.get("/authorize?"+authorization("host", "alices-laptop")).want(t, http.StatusOK, "rolegate command line", "alices-laptop", "127.0.0.1:49152", "Let it in")
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:49152") {
		t.Error(csp)
	}
	if h.lastEvent().Action != broker.ActionSignIn {
		t.Error("the question alone did something")
	}
	a = h.post("/authorize", authorizationForm("answer", "yes", "host", "alices-laptop"))
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to.String(), loopback+"?") {
		t.Fatal(a.StatusCode, a.Header)
	}
	if to.Query().Get("state") != "st/ate" || to.Query().Get("iss") != h.public {
		t.Error(to)
	}
	if e := h.event(broker.ActionClient, broker.OutcomeOK); e.Username != "alice" || e.Detail["host"] != "alices-laptop" {
		t.Errorf("%+v", e)
	}
	_, got := h.program("/oauth/token", redeem(to.Query().Get("code")))
	if got.Type != "Bearer" || got.ExpiresIn != 3600 || len(got.Access) != 43 || !got.Until.Equal(h.clock.Add(10*time.Hour)) {
		t.Errorf("%+v", got)
	}
	if !h.alive(got.Access) {
		t.Error("the token does not work")
	}
	h.event(broker.ActionToken, broker.OutcomeOK)
	// Nothing that works is kept in the clear.
	for key, v := range h.store.State() {
		for _, secret := range []string{got.Access, strings.SplitN(got.Refresh, ".", 2)[1], to.Query().Get("code")} {
			if strings.Contains(key+string(v), secret) {
				t.Errorf("%s holds a secret in the clear", key)
			}
		}
	}
	if strings.Contains(h.logs.String(), got.Access) || strings.Contains(h.logs.String(), to.Query().Get("code")) {
		t.Error("the log holds a secret")
	}
	// An hour later the access token has ended, the session has not.
	h.clock = h.clock.Add(time.Hour)
	if h.alive(got.Access) {
		t.Error("the access token lives for more than an hour")
	}
	// No refresh goes beyond the session's absolute end.
	next := got
	for range 20 {
		a, n := h.refresh(next.Refresh)
		if a.StatusCode != http.StatusOK {
			if want := got.Until; h.clock.Before(want) {
				t.Errorf("refresh ended at %s, the session at %s: %s", h.clock, want, a.body)
			}
			break
		}
		if n.Refresh == next.Refresh || n.Access == next.Access || h.clock.Add(time.Duration(n.ExpiresIn)*time.Second).After(got.Until) {
			t.Errorf("%+v", n)
		}
		next = n
		h.clock = h.clock.Add(45 * time.Minute)
	}
	if h.alive(next.Access) || h.clock.Before(got.Until) {
		t.Error("the session outlives its end")
	}
}

// TestAuthorizeRefusals ensures that nothing wrong is asked about, and who is
// told: the person as long as the redirect URI is not known to be the
// program's, the program afterwards.
func TestAuthorizeRefusals(t *testing.T) {
	for _, row := range []struct {
		name, error string // "": the person is told
		change      []string
	}{
		{"unknown client", "", []string{"client_id", "evil"}},
		{"no client", "", []string{"client_id", "-"}},
		{"foreign redirect", "", []string{"redirect_uri", "https://evil.example/cb"}},
		{"foreign http redirect", "", []string{"redirect_uri", "http://evil.example/cb"}},
		{"localhost by name", "", []string{"redirect_uri", "http://localhost:1234/cb"}},
		{"loopback as user part", "", []string{"redirect_uri", "http://127.0.0.1:80@evil.example/"}},
		{"loopback as prefix", "", []string{"redirect_uri", "http://127.0.0.1.evil.example/"}},
		{"other loopback", "", []string{"redirect_uri", "http://127.0.0.2:1234/cb"}},
		{"private address", "", []string{"redirect_uri", "http://10.0.0.1:1234/cb"}},
		{"mapped address", "", []string{"redirect_uri", "http://[::ffff:127.0.0.1]:1234/cb"}},
		{"https loopback", "", []string{"redirect_uri", "https://127.0.0.1:1234/cb"}},
		{"script redirect", "", []string{"redirect_uri", "javascript:alert(1)"}},
		{"redirect with query", "", []string{"redirect_uri", loopback + "?x=1"}},
		{"redirect with fragment", "", []string{"redirect_uri", loopback + "#x"}},
		{"no redirect", "", []string{"redirect_uri", "-"}},
		{"no state", "invalid_request", []string{"state", "-"}},
		{"plain challenge", "invalid_request", []string{"code_challenge_method", "plain"}},
		{"no method", "invalid_request", []string{"code_challenge_method", "-"}},
		{"no challenge", "invalid_request", []string{"code_challenge", "-"}},
		{"short challenge", "invalid_request", []string{"code_challenge", "x"}},
		{"token response", "invalid_request", []string{"response_type", "token"}},
		{"paste without challenge", "", []string{"redirect_uri", program.RedirectPaste, "code_challenge", "-"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			for name, a := range map[string]answer{
				"question": h.get("/authorize?" + authorization(row.change...)),
				"answer":   h.post("/authorize", authorizationForm(append(row.change, "answer", "yes")...)),
			} {
				to := a.Header.Get("Location")
				if row.error == "" {
					if to != "" || a.StatusCode < 400 || a.StatusCode > 401 {
						t.Errorf("%s: %d to %q", name, a.StatusCode, to)
					}
					continue
				}
				if u, err := url.Parse(to); err != nil || a.StatusCode != http.StatusSeeOther || u.Query().Get("error") != row.error || u.Query().Has("code") {
					t.Errorf("%s: %d to %q", name, a.StatusCode, to)
				}
			}
			for key := range h.store.State() {
				if strings.HasPrefix(key, "code/") {
					t.Error("a code was made")
				}
			}
		})
	}
	h := newHouse(t)
	h.signIn()
	if a := h.get("/authorize?" + authorization() + "&state=again"); a.StatusCode != http.StatusBadRequest {
		t.Error("a repeated parameter:", a.StatusCode)
	}
	if a := h.post("/authorize", authorizationForm("answer", "no")); !strings.Contains(a.Header.Get("Location"), "error=access_denied") {
		t.Error(a.StatusCode, a.Header)
	}
	h.event(broker.ActionClient, broker.OutcomeRefused)
	h.post("/authorize", authorizationForm()).want(t, http.StatusBadRequest)
	h.post("/authorize", authorizationForm("answer", "yes"), fromElsewhere).want(t, http.StatusForbidden)
	h.cookies = map[string]*http.Cookie{}
	h.post("/authorize", authorizationForm("answer", "yes")).want(t, http.StatusUnauthorized)
}

// TestAuthorizeIPv6 ensures that the other loopback address works.
func TestAuthorizeIPv6(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	const six = "http://[::1]:5000/cb"
	a := h.get("/authorize?"+authorization("redirect_uri", six)).want(t, http.StatusOK, "[::1]:5000")
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, " http://*:5000") {
		t.Error(csp)
	}
	a, _ = h.program("/oauth/token", redeem(h.code("redirect_uri", six), "redirect_uri", six))
	a.want(t, http.StatusOK)
}

// TestAuthorizeStepUp ensures that a program can ask for a stronger or fresher
// sign-in, and that the person comes back to its request.
func TestAuthorizeStepUp(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	ask := "/authorize?" + authorization("acr_values", "mfa", "max_age", "300")
	a := h.get(ask).want(t, http.StatusUnauthorized, "Sign in with your second factor")
	if !strings.Contains(a.body, "acr_values=mfa") {
		t.Error("the way back is lost")
	}
	h.post("/authorize", authorizationForm("acr_values", "mfa", "answer", "yes")).want(t, http.StatusUnauthorized, "Sign in with your second factor")
	h.mfa = true
	h.signIn()
	h.get(ask).want(t, http.StatusOK)
	h.clock = h.clock.Add(6 * time.Minute)
	h.get(ask).want(t, http.StatusUnauthorized)
}

// TestPaste ensures the way for machines without a browser.
func TestPaste(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.get("/authorize?"+authorization("redirect_uri", program.RedirectPaste)).want(t, http.StatusOK, "Never give the code to anybody")
	a := h.post("/authorize", authorizationForm("redirect_uri", program.RedirectPaste, "answer", "yes")).want(t, http.StatusOK, "Your code")
	_, rest, _ := strings.Cut(a.body, `<pre id="code"`)
	_, rest, _ = strings.Cut(rest, ">")
	code, _, _ := strings.Cut(rest, "<")
	if a, _ := h.program("/oauth/token", redeem(code)); a.StatusCode != http.StatusBadRequest {
		t.Error("a pasted code was taken with a loopback redirect URI")
	}
	a = h.post("/authorize", authorizationForm("redirect_uri", program.RedirectPaste, "answer", "yes"))
	_, rest, _ = strings.Cut(a.body, `<pre id="code"`)
	_, rest, _ = strings.Cut(rest, ">")
	code, _, _ = strings.Cut(rest, "<")
	a, _ = h.program("/oauth/token", redeem(code, "redirect_uri", program.RedirectPaste))
	a.want(t, http.StatusOK)
	h.post("/authorize", authorizationForm("redirect_uri", program.RedirectPaste, "answer", "no")).want(t, http.StatusOK, "not let in")
}

// TestDiscovery ensures that the addresses in the document answer.
func TestDiscovery(t *testing.T) {
	h := newHouse(t)
	var doc map[string]any
	if err := json.Unmarshal([]byte(h.get("/.well-known/oauth-authorization-server").want(t, http.StatusOK).body), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["issuer"] != h.public {
		t.Error(doc)
	}
	for _, name := range []string{"token_endpoint", "device_authorization_endpoint", "revocation_endpoint"} {
		a, got := h.program(strings.TrimPrefix(doc[name].(string), h.public), nil)
		if a.StatusCode != http.StatusBadRequest || got.Error != "invalid_request" {
			t.Error(name, a.StatusCode, a.body)
		}
	}
	for path, status := range map[string]int{"/oauth/none": 404, "/oauth/token": 405} {
		if a := h.get(path, header("Accept", "")); a.StatusCode != status || !strings.Contains(a.body, `"error":"invalid_request"`) {
			t.Error(path, a.StatusCode, a.body)
		}
	}
}
