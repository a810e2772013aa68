package oidc_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

const backChannel = "http://schemas.openid.net/event/backchannel-logout"

// leaving turns the provider's claims into those of a logout token.
func (p *op) leaving() { p.leavingAt(time.Now()) }

func (p *op) leavingAt(now time.Time) {
	p.typ = "logout+jwt"
	p.claims = map[string]any{
		"iss": p.URL, "aud": "rolegate", "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": "jti-1",
		"sub": "alice-1", "sid": "sid-1", "events": map[string]any{backChannel: map[string]any{}},
	}
}

func (p *op) logoutMessage() broker.LogoutMessage {
	claims := maps.Clone(p.claims)
	for k, v := range claims {
		if v == nil {
			delete(claims, k)
		}
	}
	mint := p.sign
	if p.mint != nil {
		mint = p.mint
	}
	return broker.LogoutMessage{Form: url.Values{"logout_token": {mint(claims)}}}
}

// TestReceivesLogoutToken holds the tokens that must pass and what they end.
func TestReceivesLogoutToken(t *testing.T) {
	both := broker.SessionFilter{Provider: "corp", NameID: "alice-1", SessionIndex: "sid-1"}
	for _, tt := range []struct {
		name   string
		change func(*op)
		want   broker.SessionFilter
	}{
		{"rp-backchannel-rpinitlogout", nil, both},
		{"sub alone", func(p *op) { p.claims["sid"] = nil }, broker.SessionFilter{Provider: "corp", NameID: "alice-1"}},
		{"sid alone", func(p *op) { p.claims["sub"] = nil }, broker.SessionFilter{Provider: "corp", SessionIndex: "sid-1"}},
		{"typ JWT", func(p *op) { p.typ = "JWT" }, both},
		{"typ in other case", func(p *op) { p.typ = "Logout+JWT" }, both},
		{"typ as a media type", func(p *op) { p.typ = "application/logout+jwt" }, both},
		{"an event that says something", func(p *op) { p.claims["events"] = map[string]any{backChannel: map[string]any{"a": 1}} }, both},
		{"a list of one audience", func(p *op) { p.claims["aud"] = []string{"rolegate"} }, both},
		{"a claim of the provider's own", func(p *op) { p.claims["trace"] = map[string]any{"id": "x"} }, both},
		{"a clock half a minute ahead", func(p *op) { p.claims["iat"] = time.Now().Add(30 * time.Second).Unix() }, both},
		{"no exp, as iat bounds it", func(p *op) { p.claims["exp"] = nil }, both},
		{"nested deep", func(p *op) {
			p.claims["x"] = json.RawMessage(`{"x":{"x":{"x":{"x":{"x":1}}}}}`)
		}, both},
		{"a key of which it says no id", func(p *op) { p.keyID = "" }, both},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.leaving()
			if tt.change != nil {
				tt.change(p)
			}
			rp := p.party(t, nil)
			got, err := rp.ReceiveLogout(t.Context(), p.logoutMessage())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]broker.SessionFilter{tt.want}, got.Sessions); d != "" || got.ReplayID != "logout:jti-1" {
				t.Errorf("%s %+v", d, got)
			}
			end, ok := p.claims["exp"].(int64)
			if !ok {
				end = p.claims["iat"].(int64) + 10*60 // as old as it may be
			}
			if past := got.ReplayExpires.Sub(time.Unix(end, 0)); past < 0 || past > 2*time.Minute {
				t.Errorf("guarded against replay for %s longer than it is good", past)
			}
			if ch, err := rp.AnswerLogout(t.Context(), got, nil); ch != nil || err != nil {
				t.Errorf("%v %v", ch, err)
			}
		})
	}
}

// TestRefusesLogoutToken holds the modules of the OpenID Foundation's plan
// oidcc-client-back-channel-logout-rp-basic by their names, and what else a
// logout token must not be.
func TestRefusesLogoutToken(t *testing.T) {
	raw := func(member string) func(*op) {
		return func(p *op) {
			p.mint = func(c map[string]any) string { return p.signRaw(appended(c, member)) }
		}
	}
	claim := func(name string, v any) func(*op) { return func(p *op) { p.claims[name] = v } }
	from := func(name string, d time.Duration) func(*op) {
		return func(p *op) { p.claims[name] = time.Now().Add(d).Unix() }
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, tt := range []struct {
		name, why string
		change    func(*op)
		code      broker.Code // default unauthenticated
	}{
		{name: "rp-backchannel-rpinitlogout-alg-none", why: "alg", change: func(p *op) {
			p.mint = func(c map[string]any) string {
				return b64(map[string]string{"alg": "none", "typ": "logout+jwt"}) + "." + b64(c) + "."
			}
		}},
		{name: "rp-backchannel-rpinitlogout-no-event", why: "events", change: claim("events", nil)},
		{name: "rp-backchannel-rpinitlogout-with-nonce", why: "nonce", change: claim("nonce", "nonce-1")},
		{name: "rp-backchannel-rpinitlogout-wrong-alg", why: "algorithm", change: func(p *op) {
			p.key = jose.SigningKey{Algorithm: jose.HS256, Key: []byte("planted secret of thirty-two byte")}
		}},
		{name: "rp-backchannel-rpinitlogout-wrong-aud", why: "audience", change: claim("aud", "other")},
		{name: "rp-backchannel-rpinitlogout-wrong-event", why: "events is not", change: claim("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}})},
		{name: "rp-backchannel-rpinitlogout-wrong-iss", why: "issuer", change: claim("iss", "https://other.example")},

		{name: "an ID token", why: "nonce", change: func(p *op) {
			p.typ = ""
			p.claims = map[string]any{"iss": p.URL, "sub": "alice-1", "aud": "rolegate", "iat": in(0), "exp": in(time.Hour), "nonce": "n", "jti": "j", "sid": "sid-1"}
		}},
		{name: "an ID token without nonce", why: "events", change: func(p *op) { p.typ = ""; delete(p.claims, "events") }},
		{name: "an access token by its type", why: "type", change: func(p *op) { p.typ = "at+jwt" }},
		{name: "another event token by its type", why: "type", change: func(p *op) { p.typ = "secevent+jwt" }},
		{name: "another key", why: "no key", change: func(p *op) { p.key.Key = rsaKey2() }},
		{name: "a nonce that is null", why: "nonce", change: raw(`"nonce":null`)},
		{name: "a nonce that is a list of objects", why: "nonce", change: raw(`"nonce":[{}]`)},
		{name: "events twice", why: "twice", change: raw(`"events":{"` + backChannel + `":{}}`)},
		{name: "sub twice", why: "twice", change: raw(`"sub":"mallory"`)},
		{name: "events in other case only", why: "events", change: func(p *op) { p.claims["Events"] = p.claims["events"]; delete(p.claims, "events") }},
		{name: "an event in other case", why: "events is not", change: claim("events", map[string]any{strings.ToUpper(backChannel): map[string]any{}})},
		{name: "an event that is a longer address", why: "events is not", change: claim("events", map[string]any{backChannel + "/": map[string]any{}})},
		{name: "a second event", why: "events is not", change: claim("events", map[string]any{backChannel: map[string]any{}, "urn:x": map[string]any{}})},
		{name: "events that are a list", why: "events", change: claim("events", []string{backChannel})},
		{name: "events that are a text", why: "events", change: claim("events", backChannel)},
		{name: "an event that is true", why: "the event", change: claim("events", map[string]any{backChannel: true})},
		{name: "an event that is null", why: "the event", change: claim("events", map[string]any{backChannel: nil})},
		{name: "neither sub nor sid", why: "neither", change: func(p *op) { delete(p.claims, "sub"); delete(p.claims, "sid") }},
		{name: "sub and sid empty", why: "neither", change: func(p *op) { p.claims["sub"], p.claims["sid"] = "", "" }},
		{name: "a long sub", why: "too long", change: claim("sub", strings.Repeat("s", 256))},
		{name: "a long sid", why: "too long", change: claim("sid", strings.Repeat("s", 1025))},
		{name: "two subs", why: "2 values", change: claim("sub", []string{"alice-1", "bob-1"})},
		{name: "no jti", why: "jti", change: claim("jti", nil)},
		{name: "an empty jti", why: "jti", change: claim("jti", "")},
		{name: "a long jti", why: "jti", change: claim("jti", strings.Repeat("j", 256))},
		{name: "no iat", why: "no iat", change: claim("iat", nil)},
		{name: "iat to come", why: "to come", change: func(p *op) { p.claims["iat"], p.claims["exp"] = in(2*time.Minute), in(4*time.Minute) }},
		{name: "iat long ago", why: "too long ago", change: from("iat", -12*time.Minute)},
		{name: "no exp, issued long ago", why: "too long ago", change: func(p *op) { p.claims["exp"], p.claims["iat"] = nil, in(-12*time.Minute) }},
		{name: "exp as an object", why: "exp is an object", change: claim("exp", map[string]any{"x": 1})},
		{name: "sid as a list", why: "sid is no text", change: claim("sid", []string{"sid-1", "sid-2"})},
		{name: "sid as an object", why: "sid is no text", change: claim("sid", map[string]any{"x": "sid-1"})},
		{name: "expired", why: "expired", change: func(p *op) { p.claims["iat"], p.claims["exp"] = in(-5*time.Minute), in(-2*time.Minute) }},
		{name: "nbf to come", why: "nbf", change: from("nbf", 5*time.Minute)},
		{name: "no aud", why: "audience", change: claim("aud", nil)},
		{name: "a second audience", why: "several audiences", change: claim("aud", []string{"rolegate", "other"})},
		{name: "for another party", why: "azp", change: claim("azp", "other")},
		{name: "no iss", why: "issuer", change: claim("iss", nil)},
		{name: "too long", why: "bytes", change: claim("x", strings.Repeat("x", 16<<10))},
		{name: "the keys cannot be fetched", code: broker.CodeUnavailable, why: "fetched", change: func(p *op) { p.discovery["jwks_uri"] = p.URL + "/none" }},
		{name: "the provider is down", code: broker.CodeUnavailable, why: "discovery", change: func(p *op) { p.discovery["issuer"] = "https://other.example" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.leaving()
			tt.change(p)
			trace := &broker.Trace{}
			got, err := p.party(t, nil).ReceiveLogout(broker.WithTrace(t.Context(), trace), p.logoutMessage())
			want := tt.code
			if want == "" {
				want = broker.CodeUnauthenticated
			}
			if broker.CodeOf(err) != want || !cmp.Equal(got, broker.LogoutNotice{}) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v, want %q; %+v", err, tt.why, got)
			}
			for _, s := range trace.Steps() {
				if s.OK {
					t.Errorf("trace %+v", s)
				}
			}
		})
	}
}

// TestRefusesLogoutForms ensures that one token is one field of the body.
func TestRefusesLogoutForms(t *testing.T) {
	p := newOP(t)
	p.leaving()
	m, rp := p.logoutMessage(), p.party(t, nil)
	token := m.Form.Get("logout_token")
	for name, m := range map[string]broker.LogoutMessage{
		"none":             {},
		"in the query":     {Query: "logout_token=" + token},
		"twice":            {Form: url.Values{"logout_token": {token, token}}},
		"empty":            {Form: url.Values{"logout_token": {""}}},
		"no token":         {Form: url.Values{"logout_token": {"x"}}},
		"JSON and no JWT":  {Form: url.Values{"logout_token": {"{}"}}},
		"a signature less": {Form: url.Values{"logout_token": {token[:strings.LastIndexByte(token, '.')+1]}}},
	} {
		if got, err := rp.ReceiveLogout(t.Context(), m); broker.CodeOf(err) != broker.CodeUnauthenticated || len(got.Sessions) != 0 {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestForgedLogoutTokensDoNotStorm ensures that forged tokens, which anybody may
// send, do not make us ask the provider again and again.
func TestForgedLogoutTokensDoNotStorm(t *testing.T) {
	p := newOP(t)
	p.leaving()
	rp := p.party(t, nil)
	if _, err := rp.ReceiveLogout(t.Context(), p.logoutMessage()); err != nil {
		t.Fatal(err)
	}
	before := p.fetches
	p.key.Key, p.keyID = rsaKey2(), "forged"
	for range 50 {
		if _, err := rp.ReceiveLogout(t.Context(), p.logoutMessage()); broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Fatal(err)
		}
	}
	if p.fetches > before+1 {
		t.Errorf("%d fetches", p.fetches-before)
	}
}

// TestIDTokenNamesThePerson ensures that sessions are found by what a logout
// token says, and that the ID token is kept for the hint unless it is long.
func TestIDTokenNamesThePerson(t *testing.T) {
	for name, long := range map[string]bool{"short": false, "long": true} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.nonce = "nonce-1"
			if long {
				p.claims["x"] = strings.Repeat("x", 4<<10)
			}
			got, err := p.party(t, nil).Finish(t.Context(), request(), callback())
			if err != nil || got.NameID != "alice-1" || got.SessionIndex != "sid-1" || got.LogoutHint.IsZero() != long {
				t.Errorf("%v: %q %q, hint %t", err, got.NameID, got.SessionIndex, !got.LogoutHint.IsZero())
			}
		})
	}
}

// TestBeginLogout ensures that the browser is sent with what the provider needs
// and nothing of ours besides, and only to an address that will do.
func TestBeginLogout(t *testing.T) {
	r := broker.LogoutRequest{ID: "id-1", State: "state-1", NameID: "alice-1", SessionIndex: "sid-1", Hint: broker.NewSecret("h.h.h")}
	for _, tt := range []struct {
		name   string
		op     func(*op)
		config func(*oidc.Config)
		hint   bool
		want   bool
	}{
		{name: "offered", op: func(p *op) { p.discovery["end_session_endpoint"] = p.URL + "/end?tenant=1" }, hint: true, want: true},
		{name: "without a hint", op: func(p *op) { p.discovery["end_session_endpoint"] = p.URL + "/end?tenant=1" }, want: true},
		{name: "not offered", op: func(*op) {}, hint: true},
		{name: "plain http", op: func(p *op) { p.discovery["end_session_endpoint"] = "http://op.example/end" }, hint: true},
		{name: "a script", op: func(p *op) { p.discovery["end_session_endpoint"] = "javascript:alert(1)//" }, hint: true},
		{name: "with a password", op: func(p *op) { p.discovery["end_session_endpoint"] = "https://a:b@op.example/end" }, hint: true},
		{name: "switched off", op: func(p *op) { p.discovery["end_session_endpoint"] = p.URL + "/end" }, config: func(c *oidc.Config) { c.NoLogout = true }, hint: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			tt.op(p)
			r := r
			if !tt.hint {
				r.Hint = broker.Secret{}
			}
			rp := p.party(t, tt.config)
			ch, err := rp.BeginLogout(t.Context(), r)
			if err != nil || (ch != nil) != tt.want {
				t.Fatalf("%v %v", ch, err)
			}
			if ch == nil {
				// Signing in does not suffer.
				if _, err := rp.Begin(t.Context(), request()); err != nil {
					t.Error(err)
				}
				return
			}
			u, err := url.Parse(ch.URL)
			if err != nil || ch.Form != nil {
				t.Fatal(err)
			}
			want := url.Values{
				"tenant": {"1"}, "client_id": {"rolegate"}, "state": {"state-1"}, "post_logout_redirect_uri": {"https://sso.example.com/oidc/corp/signed-out"},
			}
			if tt.hint {
				want.Set("id_token_hint", "h.h.h")
			}
			if d := cmp.Diff(want, u.Query()); d != "" || !strings.HasPrefix(ch.URL, p.URL+"/end?") {
				t.Errorf("%s %s", ch.URL, d)
			}
		})
	}
	p := newOP(t)
	p.discovery["issuer"] = "https://other.example"
	if ch, err := p.party(t, nil).BeginLogout(t.Context(), r); broker.CodeOf(err) != broker.CodeUnavailable || ch != nil {
		t.Errorf("the provider is down: %v %v", ch, err)
	}
}

// TestFinishLogout holds the modules of the OpenID Foundation's plan
// oidcc-client-rp-initiated-logout-rp-basic by their names.
func TestFinishLogout(t *testing.T) {
	rp := newOP(t).party(t, nil)
	for _, tt := range []struct {
		name string
		m    broker.LogoutMessage
		ok   bool
	}{
		{"rp-init-logout", broker.LogoutMessage{Query: "state=state-1"}, true},
		{"rp-init-logout, with more", broker.LogoutMessage{Query: "ui_locales=de&state=state-1"}, true},
		{"rp-init-logout-other-state", broker.LogoutMessage{Query: "state=state-2"}, false},
		{"rp-init-logout-no-state", broker.LogoutMessage{}, false},
		{"an empty state", broker.LogoutMessage{Query: "state="}, false},
		{"the state twice", broker.LogoutMessage{Query: "state=state-1&state=state-1"}, false},
		{"the state in a form", broker.LogoutMessage{Query: "state=state-1", Form: url.Values{}}, false},
		{"not escaped", broker.LogoutMessage{Query: "state=state-1&x=%zz"}, false},
		{"a query of 5 KiB", broker.LogoutMessage{Query: "state=state-1&x=" + strings.Repeat("x", 5<<10)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := rp.FinishLogout(t.Context(), broker.LogoutRequest{ID: "id-1", State: "state-1"}, tt.m)
			if (err == nil) != tt.ok || err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated {
				t.Errorf("%v", err)
			}
		})
	}
	if err := rp.FinishLogout(t.Context(), broker.LogoutRequest{}, broker.LogoutMessage{Query: "state="}); err == nil {
		t.Error("no state answers no state")
	}
}

// FuzzLogoutToken: no claims panic, and what is taken names a person or a
// session and is no ID token. The payload is signed: what is behind the
// signature is looked at.
func FuzzLogoutToken(f *testing.F) {
	p := newFuzzOP(f)
	p.leavingAt(fuzzTime)
	good, err := json.Marshal(p.claims)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(appended(p.claims, `"nonce":null`))
	f.Add(appended(p.claims, `"events":{"a":{}}`))
	f.Add([]byte(`{"events":{"` + backChannel + `":{}}}`))
	f.Add([]byte(`[`))
	rp := p.fuzzParty(f, "/none", nil, nil)
	if err := rp.Refresh(f.Context()); err != nil {
		f.Fatal(err)
	}
	receive := func(ctx context.Context, payload []byte) (broker.LogoutNotice, error) {
		return rp.ReceiveLogout(ctx, broker.LogoutMessage{Form: url.Values{"logout_token": {p.signRaw(payload)}}})
	}
	if _, err := receive(f.Context(), good); err != nil {
		f.Fatal("the genuine token is refused, so nothing is tried:", err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := receive(t.Context(), payload)
		if err != nil {
			return
		}
		var claims map[string]json.RawMessage
		if json.Unmarshal(payload, &claims) != nil || claims["nonce"] != nil || claims["events"] == nil || len(got.Sessions) != 1 ||
			got.Sessions[0].Provider != "corp" || got.Sessions[0].NameID == "" && got.Sessions[0].SessionIndex == "" {
			t.Errorf("%s taken: %+v", payload, got)
		}
	})
}
