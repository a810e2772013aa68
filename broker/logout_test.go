package broker_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// leaver is an identity provider with a logout in both directions.
type leaver struct {
	*idp
	challenge *broker.Challenge
	beginErr  error
	finishErr error
	request   broker.LogoutRequest
	finished  broker.LogoutRequest
	notice    broker.LogoutNotice
	noticeErr error
	answer    *broker.Challenge
	failed    error // what the answer was made for
}

func (l *leaver) BeginLogout(_ context.Context, r broker.LogoutRequest) (*broker.Challenge, error) {
	l.request = r
	return l.challenge, l.beginErr
}

func (l *leaver) FinishLogout(_ context.Context, r broker.LogoutRequest, _ broker.LogoutMessage) error {
	l.finished = r
	return l.finishErr
}

func (l *leaver) ReceiveLogout(context.Context, broker.LogoutMessage) (broker.LogoutNotice, error) {
	return l.notice, l.noticeErr
}

func (l *leaver) AnswerLogout(_ context.Context, _ broker.LogoutNotice, failed error) (*broker.Challenge, error) {
	l.failed = failed
	return l.answer, nil
}

// as signs the person in under a NameID and SessionIndex at Okta.
func (r *rig) as(t *testing.T, id, name, index string) *broker.Session {
	t.Helper()
	r.idp.auth.Subject.ID, r.idp.auth.NameID, r.idp.auth.SessionIndex = id, name, index
	r.idp.auth.ReplayID = "_" + id + name + index + r.clock.String()
	r.idp.auth.LogoutHint = broker.NewSecret("planted-hint-" + id)
	r.clock = r.clock.Add(time.Second)
	return r.signIn(t)
}

func (r *rig) alive(s *broker.Session) bool { _, ok := r.mem.sessions[s.Key]; return ok }

func named(name, index string) broker.SessionFilter {
	return broker.SessionFilter{Provider: "okta", NameID: name, SessionIndex: index}
}

func (r *rig) hears(id string, f ...broker.SessionFilter) {
	r.bye.notice = broker.LogoutNotice{RequestID: id, ReplayID: "logout:" + id, ReplayExpires: r.clock.Add(5 * time.Minute), Sessions: f}
}

// TestEndHere ensures that the session is over with its event whatever the
// provider offers or does, and that what cannot be recorded is not done.
func TestEndHere(t *testing.T) {
	for _, tt := range []struct {
		name        string
		change      func(*rig)
		challenge   bool
		unreachable bool
	}{
		{"the provider has a logout", func(r *rig) { r.bye.challenge = &broker.Challenge{URL: "https://idp.example/slo"} }, true, false},
		{"the provider has none", func(*rig) {}, false, false},
		{"the provider is down", func(r *rig) { r.bye.beginErr = errDown }, false, true},
		{"the provider's adapter breaks", func(r *rig) { r.bye.beginErr = errors.New("planted") }, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			s := r.as(t, "00u1", "alice", "i1")
			tt.change(r)
			out, err := r.out.End(t.Context(), s, broker.Secret{})
			if err != nil || (out.Challenge != nil) != tt.challenge || out.Unreachable != tt.unreachable || r.alive(s) {
				t.Errorf("%+v %v, alive %t", out, err, r.alive(s))
			}
			if e := r.lastEvent(t); e.Action != broker.ActionSignOut || e.Actor.ID != "00u1" || e.Outcome != broker.OutcomeOK {
				t.Errorf("%+v", e)
			}
			if tt.unreachable == (out.TraceID == "") {
				t.Errorf("trace %q", out.TraceID)
			}
		})
	}
	r := newRig(t)
	s := r.as(t, "00u1", "alice", "i1")
	r.mem.noEvents = true
	if _, err := r.out.End(t.Context(), s, broker.Secret{}); broker.CodeOf(err) != broker.CodeUnavailable || !r.alive(s) {
		t.Errorf("without an event: %v, alive %t", err, r.alive(s))
	}
}

// TestEndSurvivesTheStateStore ensures that a sign-out that is done does not
// look like a failure because the way to the provider or its trace cannot be
// kept.
func TestEndSurvivesTheStateStore(t *testing.T) {
	r := newRig(t)
	r.bye.challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	s := r.as(t, "00u1", "alice", "i1")
	out := broker.NewLogout(broker.LogoutConfig{
		Providers: r.in.Providers(), State: brokenState{r.mem}, Sessions: r.mem, Finder: r.mem, Events: r.mem, Sealer: xorSealer{},
	})
	ended, err := out.End(t.Context(), s, broker.Secret{})
	if err != nil || !ended.Unreachable || ended.Challenge != nil || r.alive(s) {
		t.Errorf("%+v %v, alive %t", ended, err, r.alive(s))
	}
}

// brokenState loses whatever is put into it, and says so.
type brokenState struct{ *memory }

func (brokenState) Put(context.Context, string, []byte, time.Duration) error { return errDown }

func (brokenState) PutIfAbsent(context.Context, string, []byte, time.Duration) (bool, error) {
	return false, errDown
}

// TestLogoutAsksWithTheName ensures that the provider is asked about the session
// in its own words, and that neither these nor the state are kept in the clear.
func TestLogoutAsksWithTheName(t *testing.T) {
	r := newRig(t)
	r.bye.challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	s := r.as(t, "00u1", "alice@idp", "i1")
	if strings.Contains(string(r.mem.sessions[s.Key].Body), "planted") {
		t.Error("the hint is in the store in the clear")
	}
	if _, err := r.out.End(t.Context(), s, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	q := r.bye.request
	if q.NameID != "alice@idp" || q.SessionIndex != "i1" || q.Hint.Reveal() != "planted-hint-00u1" || len(q.State) != 43 || !strings.HasPrefix(q.ID, "id-") {
		t.Errorf("%+v", q)
	}
	for k, v := range r.mem.state {
		if strings.Contains(k, q.State) || strings.Contains(string(v), q.ID) {
			t.Errorf("%s holds the request in the clear", k)
		}
	}
}

// TestArrivalKeepsTheHint ensures that who came unasked can sign out at the
// provider too.
func TestArrivalKeepsTheHint(t *testing.T) {
	r := newRig(t)
	r.idp.unasked, r.idp.auth.LogoutHint, r.idp.auth.NameID = true, broker.NewSecret("planted-hint"), "alice"
	in, _, err := r.in.Finish(t.Context(), broker.FinishSignIn{Provider: "okta", State: "https://elsewhere.example", Form: url.Values{"SAMLResponse": {"x"}}})
	if err != nil || in.Arrival == nil {
		t.Fatalf("%+v %v", in, err)
	}
	for _, v := range r.mem.state {
		if strings.Contains(string(v), "planted") {
			t.Error("the hint is in the store in the clear")
		}
	}
	out, _, err := r.in.Agree(t.Context(), broker.AgreeToSignIn{Provider: "okta", Token: in.Arrival.Token, Binding: in.Arrival.Binding})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	r.bye.challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	if _, err := r.out.End(t.Context(), s, broker.Secret{}); err != nil || r.bye.request.Hint.Reveal() != "planted-hint" {
		t.Errorf("hint %q, %v", r.bye.request.Hint.Reveal(), err)
	}
}

// TestFinishLogout ensures that an answer is taken once, in the browser that
// left, for the provider that was asked, in time.
func TestFinishLogout(t *testing.T) {
	for _, tt := range []struct {
		name     string
		provider broker.ProviderID
		change   func(r *rig, state *string, binding *broker.Secret)
		code     broker.Code
		outcome  broker.Outcome // of the event; "" for none
	}{
		{"good", "okta", nil, "", broker.OutcomeOK},
		{"the provider does not confirm", "okta", func(r *rig, _ *string, _ *broker.Secret) {
			r.bye.finishErr = broker.Errorf(broker.CodeUnauthenticated, "no")
		}, broker.CodeUnauthenticated, broker.OutcomeRefused},
		{"another provider", "third", nil, broker.CodeUnauthenticated, ""},
		{"an unknown provider", "nobody", nil, broker.CodeNotFound, ""},
		{"another browser", "okta", func(_ *rig, _ *string, b *broker.Secret) { *b = broker.NewSecret(strings.Repeat("x", 43)) }, broker.CodeUnauthenticated, ""},
		{"no cookie", "okta", func(_ *rig, _ *string, b *broker.Secret) { *b = broker.Secret{} }, broker.CodeUnauthenticated, ""},
		{"another state", "okta", func(_ *rig, s *string, _ *broker.Secret) { *s = strings.Repeat("x", len(*s)) }, broker.CodeUnauthenticated, ""},
		{"no state", "okta", func(_ *rig, s *string, _ *broker.Secret) { *s = "" }, broker.CodeUnauthenticated, ""},
		{"a long state", "okta", func(_ *rig, s *string, _ *broker.Secret) { *s = strings.Repeat("s", 1<<20) }, broker.CodeUnauthenticated, ""},
		{"too late", "okta", func(r *rig, _ *string, _ *broker.Secret) { r.clock = r.clock.Add(broker.LogoutTTL) }, broker.CodeUnauthenticated, ""},
		{"the store is down", "okta", func(r *rig, _ *string, _ *broker.Secret) { r.mem.down = true }, broker.CodeUnavailable, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.bye.challenge = &broker.Challenge{URL: "https://idp.example/slo"}
			s := r.as(t, "00u1", "alice", "i1")
			ended, err := r.out.End(t.Context(), s, broker.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			state, binding, before := r.bye.request.State, ended.Binding, len(r.mem.events)
			if tt.change != nil {
				tt.change(r, &state, &binding)
			}
			p, trace, err := r.out.Finish(t.Context(), tt.provider, state, binding, broker.LogoutMessage{})
			if broker.CodeOf(err) != tt.code {
				t.Fatalf("%v", err)
			}
			if (tt.outcome == "") != (trace == "") || (tt.outcome == "") != (len(r.mem.events) == before) {
				t.Errorf("trace %q, %d events", trace, len(r.mem.events)-before)
			}
			if tt.outcome == "" {
				return
			}
			if e := r.lastEvent(t); e.Outcome != tt.outcome || e.Actor.ID != "00u1" || e.TraceID != trace || r.bye.finished.ID != r.bye.request.ID || p.Name != "Okta" {
				t.Errorf("%+v, provider %s, request %q", e, p.Name, r.bye.finished.ID)
			}
			r.bye.finishErr = nil
			if _, _, err := r.out.Finish(t.Context(), tt.provider, state, binding, broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeUnauthenticated {
				t.Errorf("taken twice: %v", err)
			}
		})
	}
}

// TestReceiveLogout ensures that exactly the sessions that are meant end.
func TestReceiveLogout(t *testing.T) {
	for _, tt := range []struct {
		name string
		ends []broker.SessionFilter
		want string // which of the sessions below end
	}{
		{"one session", []broker.SessionFilter{named("alice", "i1")}, "a1 a0"},
		{"a session by its index alone", []broker.SessionFilter{named("", "i2")}, "a2"},
		{"all of a person", []broker.SessionFilter{named("alice", "")}, "a1 a2 a0"},
		{"two sessions", []broker.SessionFilter{named("alice", "i1"), named("alice", "i2")}, "a1 a2 a0"},
		{"another person's index", []broker.SessionFilter{named("bob", "i1")}, ""},
		{"nobody here", []broker.SessionFilter{named("carol", "")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			all := map[string]*broker.Session{
				"a1": r.as(t, "00u1", "alice", "i1"), "a2": r.as(t, "00u1", "alice", "i2"),
				"a0": r.as(t, "00u1", "alice", ""), "b3": r.as(t, "00u2", "bob", "i3"),
			}
			before := len(r.mem.events)
			r.bye.answer = &broker.Challenge{URL: "https://idp.example/slo"}
			r.hears("r1", tt.ends...)
			answer, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{})
			if err != nil || answer != r.bye.answer || r.bye.failed != nil {
				t.Fatalf("%v %v, told %v", answer, err, r.bye.failed)
			}
			ended := 0
			for name, s := range all {
				want := strings.Contains(tt.want, name)
				if r.alive(s) == want {
					t.Errorf("%s: alive %t", name, r.alive(s))
				}
				if want {
					ended++
				}
			}
			for _, e := range r.mem.events[before:] {
				if e.Action != broker.ActionLogout || e.Outcome != broker.OutcomeOK || e.Actor.Provider != "okta" || e.TraceID == "" {
					t.Errorf("%+v", e)
				}
			}
			if len(r.mem.events)-before != ended {
				t.Errorf("%d events for %d sessions", len(r.mem.events)-before, ended)
			}
		})
	}
}

// TestReceiveRefuses ensures that what may not end a session ends none and is
// recorded.
func TestReceiveRefuses(t *testing.T) {
	bad := broker.Errorf(broker.CodeUnauthenticated, "no")
	for _, tt := range []struct {
		name   string
		change func(*rig)
		code   broker.Code
	}{
		{"it does not verify", func(r *rig) { r.bye.noticeErr = bad }, broker.CodeUnauthenticated},
		{"the keys cannot be had", func(r *rig) { r.bye.noticeErr = errDown }, broker.CodeUnavailable},
		{"no replay guard", func(r *rig) { r.bye.notice.ReplayID = "" }, broker.CodeInternal},
		{"a replay guard of the past", func(r *rig) { r.bye.notice.ReplayExpires = r.clock }, broker.CodeInternal},
		{"a filter of the provider alone", func(r *rig) { r.bye.notice.Sessions = []broker.SessionFilter{{Provider: "okta"}} }, broker.CodeInternal},
		{"an empty filter", func(r *rig) { r.bye.notice.Sessions = []broker.SessionFilter{{}} }, broker.CodeInternal},
		{"no filter", func(r *rig) { r.bye.notice.Sessions = nil }, broker.CodeInternal},
		{"another provider's sessions", func(r *rig) { r.bye.notice.Sessions[0].Provider = "third" }, broker.CodeInternal},
		{"a good filter and a bad one", func(r *rig) {
			r.bye.notice.Sessions = append(r.bye.notice.Sessions, broker.SessionFilter{Provider: "okta"})
		}, broker.CodeInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			s := r.as(t, "00u1", "alice", "i1")
			r.hears("r1", named("alice", ""))
			tt.change(r)
			answer, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{})
			if broker.CodeOf(err) != tt.code || answer != nil || !r.alive(s) {
				t.Errorf("%v %v, alive %t", answer, err, r.alive(s))
			}
		})
	}
	r := newRig(t)
	if _, _, err := r.out.Receive(t.Context(), "other", broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeNotFound {
		t.Errorf("a provider without logout: %v", err)
	}
	r.bye.noticeErr = bad
	_, trace, _ := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{})
	if e := r.lastEvent(t); e.Action != broker.ActionLogout || e.Outcome != broker.OutcomeRefused || e.TraceID != trace || trace == "" {
		t.Errorf("%+v, trace %q", e, trace)
	}
}

// TestReceiveReplay ensures that a request ends no session that began after it
// was carried out, on this or another provider's account.
func TestReceiveReplay(t *testing.T) {
	r := newRig(t)
	first := r.as(t, "00u1", "alice", "i1")
	r.hears("r1", named("alice", ""))
	if _, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || r.alive(first) {
		t.Fatalf("%v, alive %t", err, r.alive(first))
	}
	second := r.as(t, "00u1", "alice", "i2")
	if _, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeUnauthenticated || !r.alive(second) {
		t.Errorf("replayed: %v, alive %t", err, r.alive(second))
	}
	if e := r.lastEvent(t); e.Action != broker.ActionLogout || e.Outcome != broker.OutcomeRefused {
		t.Errorf("%+v", e)
	}
	// The same id of another provider is another request.
	r.bye.notice.Sessions[0].Provider = "third"
	if _, _, err := r.out.Receive(t.Context(), "third", broker.LogoutMessage{}); err != nil || !r.alive(second) {
		t.Errorf("another provider: %v, alive %t", err, r.alive(second))
	}
}

// TestReceiveRetry ensures that a request which failed on a store can come again
// and then ends the sessions: the replay guard must not keep them alive.
func TestReceiveRetry(t *testing.T) {
	for name, broken := range map[string]func(*rig, bool){
		"the events": func(r *rig, on bool) { r.mem.noEvents = on },
		"everything": func(r *rig, on bool) { r.mem.down = on },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := r.as(t, "00u1", "alice", "i1")
			r.hears("r1", named("alice", "i1"))
			broken(r, true)
			if _, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeUnavailable || !r.alive(s) {
				t.Fatalf("%v, alive %t", err, r.alive(s))
			}
			broken(r, false)
			if _, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || r.alive(s) {
				t.Errorf("again: %v, alive %t", err, r.alive(s))
			}
		})
	}
	// Where there is somebody to answer, they are told that sessions may live.
	r := newRig(t)
	s := r.as(t, "00u1", "alice", "i1")
	r.hears("r1", named("alice", "i1"))
	r.bye.answer, r.mem.noEvents = &broker.Challenge{URL: "https://idp.example/slo"}, true
	if answer, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || answer == nil || r.bye.failed == nil || !r.alive(s) {
		t.Errorf("%v %v, told %v", answer, err, r.bye.failed)
	}
	// A mark that cannot be set is a failure too: the sessions are over, and the
	// provider is told to come again rather than left with an open replay.
	r.mem.noEvents = false
	out := broker.NewLogout(broker.LogoutConfig{
		Providers: r.in.Providers(), State: brokenState{r.mem}, Sessions: r.mem, Finder: r.mem, Events: r.mem, Sealer: xorSealer{},
		Now: func() time.Time { return r.clock },
	})
	if _, _, err := out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || broker.CodeOf(r.bye.failed) != broker.CodeUnavailable || r.alive(s) {
		t.Errorf("%v, told %v, alive %t", err, r.bye.failed, r.alive(s))
	}
}

// TestAttackFillTheStoreWithLogouts ensures that a flood of forged requests stops
// at the limit and leaves one event of it, while what verifies still passes.
func TestAttackFillTheStoreWithLogouts(t *testing.T) {
	r := newRig(t)
	s := r.as(t, "00u1", "alice", "i1")
	ctx := from(t, "192.0.2.7")
	out := broker.NewLogout(broker.LogoutConfig{
		Providers: r.in.Providers(), State: r.mem, Sessions: r.mem, Finder: r.mem, Events: r.mem, Sealer: xorSealer{}, Now: r.mem.now,
		Limiter: r.limiter(map[broker.LimitKind]broker.Limit{broker.LimitSignInFinish: {Address: 10, Per: time.Minute}}),
	})
	before := len(r.mem.events)
	r.bye.noticeErr = broker.Errorf(broker.CodeUnauthenticated, "no")
	refused := 0
	for range 100 {
		_, _, err := out.Receive(ctx, "okta", broker.LogoutMessage{})
		if broker.CodeOf(err) == broker.CodeUnauthenticated {
			refused++
		} else if broker.CodeOf(err) != broker.CodeRateLimited {
			t.Fatal(err)
		}
	}
	if got := len(r.mem.events) - before; refused != 10 || got != 11 {
		t.Errorf("%d refused, %d events", refused, got)
	}
	r.bye.noticeErr = nil
	r.hears("r1", named("alice", ""))
	if _, _, err := out.Receive(ctx, "okta", broker.LogoutMessage{}); err != nil || r.alive(s) {
		t.Errorf("%v, alive %t", err, r.alive(s))
	}
}

// TestProviderEndsPrograms ensures that the sessions of programs end with the
// sign-in at the provider that let them in.
func TestProviderEndsPrograms(t *testing.T) {
	r := newRig(t)
	browser := r.as(t, "00u1", "alice", "i1")
	set, err := r.dev.RedeemCode(t.Context(), r.cli(t), r.code(t, browser), "http://127.0.0.1:1/", broker.NewSecret(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.dev.Authenticate(t.Context(), set.Access); err != nil {
		t.Fatal(err)
	}
	r.hears("r1", named("alice", "i1"))
	if _, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.dev.Authenticate(t.Context(), set.Access); broker.CodeOf(err) != broker.CodeUnauthenticated || r.alive(browser) {
		t.Errorf("%v, browser alive %t", err, r.alive(browser))
	}
}
