package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
	for _, e := range slices.Backward(h.store.AllEvents()) {
		if e.Action == action && e.Outcome == outcome {
			return e
		}
	}
	h.t.Errorf("no event %s %s", action, outcome)
	return broker.Event{}
}
