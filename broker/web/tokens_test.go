package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/broker/program"
)

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
			h.in(t)
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

// TestOAuthUnavailable ensures that a store that is down is said to be down,
// and that an event that cannot be kept stops everything.
func TestOAuthUnavailable(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	code, got := h.code(), h.programTokens()
	h.store.LoseEvents(true)
	if a, out := h.program("/oauth/token", redeem(code)); a.StatusCode != http.StatusServiceUnavailable || out.Error != "temporarily_unavailable" || out.Access != "" {
		t.Error(a.StatusCode, a.body)
	}
	if a, out := h.refresh(got.Refresh); a.StatusCode != http.StatusServiceUnavailable || out.Access != "" {
		t.Error(a.StatusCode, a.body)
	}
	h.post("/authorize", authorizationForm("answer", "yes")).want(t, http.StatusServiceUnavailable)
	h.store.LoseEvents(false)
	h.store.Down(true)
	if a, _ := h.refresh(got.Refresh); a.StatusCode != http.StatusServiceUnavailable || strings.Contains(a.body, "planted") {
		t.Error(a.StatusCode, a.body)
	}
}
