package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/broker/program"
)

const (
	verifier = "verifier-verifier-verifier-verifier-verifier-12345"
	loopback = "http://127.0.0.1:49152/callback"
)

func challengeOf(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authorizationForm is a good authorization request of the rolegate program
// with some parameters changed; "-" takes one away.
func authorizationForm(change ...string) url.Values {
	v := url.Values{
		"client_id": {program.CLIClientID}, "redirect_uri": {loopback}, "response_type": {"code"}, "state": {"st/ate"},
		"code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(change); i += 2 {
		if v.Set(change[i], change[i+1]); change[i+1] == "-" {
			v.Del(change[i])
		}
	}
	return v
}

func authorization(change ...string) string { return authorizationForm(change...).Encode() }

type tokens struct {
	Access    string    `json:"access_token"`
	Type      string    `json:"token_type"`
	ExpiresIn int       `json:"expires_in"`
	Refresh   string    `json:"refresh_token"`
	Until     time.Time `json:"session_expires_at"`
	Error     string    `json:"error"`
	Text      string    `json:"error_description"`
}

// program posts a form as a program does: no cookies, no browser headers.
func (h *house) program(path string, form url.Values) (answer, tokens) {
	h.t.Helper()
	a := h.do(http.MethodPost, path, strings.NewReader(form.Encode()),
		header(withoutCookies, "1"), header("Accept", "application/json"), header("Content-Type", "application/x-www-form-urlencoded"))
	if got := a.Header.Get("Content-Type"); got != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
		h.t.Errorf("%s: %d %q %q", path, a.StatusCode, got, a.Header.Get("Cache-Control"))
	}
	var out tokens
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		h.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return a, out
}

// code lets the program in and returns the code of the redirect.
func (h *house) code(change ...string) string {
	h.t.Helper()
	a := h.post("/authorize", authorizationForm(append(change, "answer", "yes")...))
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.StatusCode != http.StatusSeeOther || to.Query().Get("code") == "" {
		h.t.Fatalf("%d to %s\n%s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	return to.Query().Get("code")
}

func redeem(code string, change ...string) url.Values {
	v := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {program.CLIClientID}, "code": {code}, "redirect_uri": {loopback}, "code_verifier": {verifier},
	}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return v
}

// programTokens lets the rolegate program in, for the person who is signed in.
func (h *house) programTokens() tokens {
	h.t.Helper()
	a, out := h.program("/oauth/token", redeem(h.code()))
	if a.StatusCode != http.StatusOK {
		h.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return out
}

func (h *house) refresh(token string, change ...string) (answer, tokens) {
	h.t.Helper()
	v := url.Values{"grant_type": {"refresh_token"}, "client_id": {program.CLIClientID}, "refresh_token": {token}}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return h.program("/oauth/token", v)
}

func (h *house) alive(token string) bool {
	h.t.Helper()
	switch a := h.get(api.PathMe, asProgram(token)); a.StatusCode {
	case http.StatusOK:
		return true
	case http.StatusUnauthorized:
		return false
	default:
		h.t.Fatalf("%d %s", a.StatusCode, a.body)
		return false
	}
}

type deviceStart struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

func (h *house) startDevice(host string) deviceStart {
	h.t.Helper()
	a, _ := h.program("/oauth/device_authorization", url.Values{"client_id": {program.CLIClientID}, "host": {host}})
	a.want(h.t, http.StatusOK)
	var d deviceStart
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *house) poll(d deviceStart, change ...string) (answer, tokens) {
	h.t.Helper()
	v := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {program.CLIClientID}, "device_code": {d.DeviceCode}}
	for i := 0; i < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return h.program("/oauth/token", v)
}

func (h *house) pollWant(d deviceStart, want string) tokens {
	h.t.Helper()
	h.clock = h.clock.Add(time.Duration(d.Interval) * time.Second)
	a, out := h.poll(d)
	if out.Error != want {
		h.t.Fatalf("poll says %d %s, want %q", a.StatusCode, a.body, want)
	}
	return out
}

func (h *house) event(action broker.Action, outcome broker.Outcome) broker.Event {
	h.t.Helper()
	for i := len(h.mem.events) - 1; i >= 0; i-- {
		if e := h.mem.events[i]; e.Action == action && e.Outcome == outcome {
			return e
		}
	}
	h.t.Errorf("no event %s %s", action, outcome)
	return broker.Event{}
}

// TestLoopback ensures the whole way with a browser on the same machine.
func TestLoopback(t *testing.T) {
	h := newHouse(t)
	h.get("/authorize?"+authorization()).wantLocation(t, "/signin?"+url.Values{"return_to": {"/authorize?" + authorization()}}.Encode())
	h.signIn()
	a := h.get("/authorize?"+authorization("host", "alices-laptop")).want(t, http.StatusOK, "rolegate command line", "alices-laptop", "127.0.0.1:49152", "Let it in")
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:49152") {
		t.Error(csp)
	}
	if n := len(h.mem.events); h.mem.events[n-1].Action != broker.ActionSignIn {
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
	for key, v := range h.mem.state {
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
			for key := range h.mem.state {
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
	h.aws.mfa = true
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

// TestCodeRefusals has one attack on an authorization code in each row.
func TestCodeRefusals(t *testing.T) {
	for _, row := range []struct {
		name, error string
		status      int
		do          func(h *house, code string) url.Values
	}{
		{"other verifier", "invalid_grant", 400, func(_ *house, c string) url.Values {
			return redeem(c, "code_verifier", strings.Repeat("x", 43))
		}},
		{"no verifier", "invalid_grant", 400, func(_ *house, c string) url.Values { return redeem(c, "code_verifier", "") }},
		{"challenge as verifier", "invalid_grant", 400, func(_ *house, c string) url.Values {
			return redeem(c, "code_verifier", challengeOf(verifier))
		}},
		{"other redirect", "invalid_grant", 400, func(_ *house, c string) url.Values {
			return redeem(c, "redirect_uri", "http://127.0.0.1:49153/callback")
		}},
		{"other client", "invalid_grant", 400, func(h *house, c string) url.Values {
			id, secret := h.register("botocore-client", "http://127.0.0.1/callback")
			return redeem(c, "client_id", id, "client_secret", secret)
		}},
		{"unknown client", "invalid_client", 401, func(_ *house, c string) url.Values { return redeem(c, "client_id", "evil") }},
		{"secret for a public client", "invalid_client", 401, func(_ *house, c string) url.Values { return redeem(c, "client_secret", "x") }},
		{"no client", "invalid_request", 400, func(_ *house, c string) url.Values { return redeem(c, "client_id", "") }},
		{"a minute late", "invalid_grant", 400, func(h *house, c string) url.Values {
			h.clock = h.clock.Add(time.Minute)
			return redeem(c)
		}},
		{"made up", "invalid_grant", 400, func(*house, string) url.Values { return redeem("code") }},
		{"person signed out", "invalid_grant", 400, func(h *house, c string) url.Values {
			h.post("/signout", nil)
			return redeem(c)
		}},
		{"unknown grant", "unsupported_grant_type", 400, func(_ *house, c string) url.Values { return redeem(c, "grant_type", "password") }},
		{"no grant", "invalid_request", 400, func(_ *house, c string) url.Values { return redeem(c, "grant_type", "") }},
		{"repeated", "invalid_request", 400, func(_ *house, c string) url.Values {
			v := redeem(c)
			v.Add("code", c)
			return v
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			code := h.code()
			a, got := h.program("/oauth/token", row.do(h, code))
			if a.StatusCode != row.status || got.Error != row.error || got.Text == "" || got.Access != "" {
				t.Errorf("%d %s, want %d %s", a.StatusCode, a.body, row.status, row.error)
			}
		})
	}
}

// TestCodeUsedTwice ensures that a second use of a code fails and ends what the
// first one gave.
func TestCodeUsedTwice(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	code := h.code()
	_, first := h.program("/oauth/token", redeem(code))
	if !h.alive(first.Access) {
		t.Fatal("the first use failed")
	}
	a, _ := h.program("/oauth/token", redeem(code))
	a.want(t, http.StatusBadRequest, "invalid_grant")
	if h.alive(first.Access) {
		t.Error("the tokens of a code that was used twice still work")
	}
	h.event(broker.ActionTokenRevoke, broker.OutcomeOK)
}

// TestVerifierIsTriedOnce ensures that a wrong verifier uses the code up.
func TestVerifierIsTriedOnce(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	code := h.code()
	h.program("/oauth/token", redeem(code, "code_verifier", strings.Repeat("y", 50)))
	a, _ := h.program("/oauth/token", redeem(code))
	a.want(t, http.StatusBadRequest, "invalid_grant")
}

// TestParallelRefresh ensures that processes which share a file and refresh at
// the same moment all get the same next token, for a minute.
func TestParallelRefresh(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	first := h.programTokens()
	_, a := h.refresh(first.Refresh)
	h.clock = h.clock.Add(30 * time.Second)
	_, b := h.refresh(first.Refresh)
	if a.Refresh == "" || a.Refresh != b.Refresh || a.Access == b.Access {
		t.Errorf("%+v\n%+v", a, b)
	}
	if !h.alive(a.Access) || !h.alive(b.Access) {
		t.Error("one of the two does not work")
	}
	if _, c := h.refresh(b.Refresh); c.Access == "" {
		t.Error("the next token does not work")
	}
}

// TestStolenRefreshToken ensures that a refresh token used a second time, after
// the grace or one rotation later, ends the family, and that both ends are told.
func TestStolenRefreshToken(t *testing.T) {
	for name, again := range map[string]func(h *house, first, next tokens){
		"after the grace": func(h *house, _, _ tokens) { h.clock = h.clock.Add(program.RefreshGrace + time.Second) },
		"two rotations later": func(h *house, _, next tokens) {
			if _, t := h.refresh(next.Refresh); t.Access == "" {
				h.t.Fatal("rotation failed")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			first := h.programTokens()
			_, next := h.refresh(first.Refresh)
			again(h, first, next)
			a, thief := h.refresh(first.Refresh)
			a.want(t, http.StatusBadRequest)
			if thief.Error != "invalid_grant" || !strings.Contains(thief.Text, "used twice") {
				t.Errorf("the second end is told %+v", thief)
			}
			if h.alive(next.Access) {
				t.Error("the access token still works")
			}
			h.get(api.PathMe, asProgram(next.Access)).want(t, http.StatusUnauthorized, "used twice")
			_, owner := h.refresh(next.Refresh)
			if owner.Error != "invalid_grant" || !strings.Contains(owner.Text, "used twice") {
				t.Errorf("the first end is told %+v", owner)
			}
			if e := h.event(broker.ActionTokenRevoke, broker.OutcomeOK); e.Detail["reason"] != "a refresh token was used twice" || e.Username != "alice" {
				t.Errorf("%+v", e)
			}
			if h.get("/").StatusCode != http.StatusOK {
				t.Error("the browser's session ended too")
			}
		})
	}
}

// TestRefreshRefusals has one attack on a refresh token in each row.
func TestRefreshRefusals(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, secret := h.register("botocore-client", "http://127.0.0.1/callback")
	for _, row := range []struct {
		name, error string
		token       func(t tokens) string
		change      []string
	}{
		{"empty", "invalid_grant", func(tokens) string { return "" }, nil},
		{"made up", "invalid_grant", func(tokens) string { return strings.Repeat("a", 43) + "." + strings.Repeat("b", 43) }, nil},
		{"access token", "invalid_grant", func(t tokens) string { return t.Access }, nil},
		{"other client", "invalid_grant", func(t tokens) string { return t.Refresh }, []string{"client_id", id, "client_secret", secret}},
		{"wrong secret", "invalid_client", func(t tokens) string { return t.Refresh }, []string{"client_id", id, "client_secret", "x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.t = t
			good := h.programTokens()
			if _, got := h.refresh(row.token(good), row.change...); got.Error != row.error {
				t.Errorf("%+v", got)
			}
			if !h.alive(good.Access) {
				t.Error("the attack ended the session")
			}
		})
	}
}

// TestRevoke ensures that either token ends the session, and only its own
// client's.
func TestRevoke(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, secret := h.register("botocore-client", "http://127.0.0.1/callback")
	for _, of := range []func(tokens) string{func(t tokens) string { return t.Access }, func(t tokens) string { return t.Refresh }} {
		got := h.programTokens()
		a, _ := h.program("/oauth/revoke", url.Values{"client_id": {id}, "client_secret": {secret}, "token": {of(got)}})
		if a.StatusCode != http.StatusOK || !h.alive(got.Access) {
			t.Error("another client ended the session")
		}
		a, _ = h.program("/oauth/revoke", url.Values{"client_id": {program.CLIClientID}, "token": {of(got)}})
		if a.StatusCode != http.StatusOK || h.alive(got.Access) {
			t.Error("the session did not end")
		}
		if _, r := h.refresh(got.Refresh); r.Error != "invalid_grant" {
			t.Errorf("%+v", r)
		}
	}
	a, _ := h.program("/oauth/revoke", url.Values{"client_id": {program.CLIClientID}, "token": {"unknown"}})
	a.want(t, http.StatusOK)
	a, _ = h.program("/oauth/revoke", url.Values{"client_id": {program.CLIClientID}})
	a.want(t, http.StatusBadRequest)
}

// TestExchange ensures that a second program gets tokens of its own, which end
// with the first one's.
func TestExchange(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	got := h.programTokens()
	id, secret := h.register("sso cache", "http://127.0.0.1/callback")
	form := func(subject, audience string) url.Values {
		return url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {program.CLIClientID}, "subject_token": {subject},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {audience},
		}
	}
	a, second := h.program("/oauth/token", form(got.Access, id))
	a.want(t, http.StatusOK, "issued_token_type")
	if !h.alive(second.Access) || !second.Until.Equal(got.Until) {
		t.Errorf("%+v", second)
	}
	if _, r := h.refresh(second.Refresh, "client_id", id, "client_secret", secret); r.Access == "" {
		t.Errorf("%+v", r)
	}
	for name, form := range map[string]url.Values{
		"its own": form(got.Access, program.CLIClientID), "derived": form(second.Access, id), "unknown audience": form(got.Access, "x"),
		"refresh token": form(got.Refresh, id), "cookie": form(h.cookies["__Host-rolegate_session"].Value, id),
	} {
		if a, _ := h.program("/oauth/token", form); a.StatusCode != http.StatusBadRequest {
			t.Error(name, a.StatusCode)
		}
	}
	h.program("/oauth/revoke", url.Values{"client_id": {program.CLIClientID}, "token": {got.Access}})
	if h.alive(second.Access) {
		t.Error("the second program's session outlives the first's")
	}
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

// TestOAuthUnavailable ensures that a store that is down is said to be down,
// and that an event that cannot be kept stops everything.
func TestOAuthUnavailable(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	code, got := h.code(), h.programTokens()
	h.mem.noEvents = true
	if a, out := h.program("/oauth/token", redeem(code)); a.StatusCode != http.StatusServiceUnavailable || out.Error != "temporarily_unavailable" || out.Access != "" {
		t.Error(a.StatusCode, a.body)
	}
	if a, out := h.refresh(got.Refresh); a.StatusCode != http.StatusServiceUnavailable || out.Access != "" {
		t.Error(a.StatusCode, a.body)
	}
	h.post("/authorize", authorizationForm("answer", "yes")).want(t, http.StatusServiceUnavailable)
	h.mem.noEvents, h.mem.down = false, true
	if a, _ := h.refresh(got.Refresh); a.StatusCode != http.StatusServiceUnavailable || strings.Contains(a.body, "planted") {
		t.Error(a.StatusCode, a.body)
	}
}
