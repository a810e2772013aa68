package signin_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/signin"
)

// TestEndHere ensures that the session is over with its event whatever the
// provider offers or does, and also where the event cannot be kept, which is an
// error then.
func TestEndHere(t *testing.T) {
	for _, tt := range []struct {
		name        string
		change      func(*brokertest.Rig)
		challenge   bool
		unreachable bool
	}{
		{"the provider has a logout", func(r *brokertest.Rig) { r.Bye.Challenge = &broker.Challenge{URL: "https://idp.example/slo"} }, true, false},
		{"the provider has none", func(*brokertest.Rig) {}, false, false},
		{"the provider is down", func(r *brokertest.Rig) { r.Bye.BeginErr = brokertest.ErrDown }, false, true},
		{"the provider's adapter breaks", func(r *brokertest.Rig) { r.Bye.BeginErr = errors.New("planted") }, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			s := r.As(t, "00u1", "alice", "i1")
			tt.change(r)
			out, err := r.Out.End(t.Context(), s, broker.Secret{})
			if err != nil || (out.Challenge != nil) != tt.challenge || out.Unreachable != tt.unreachable || r.Alive(s) {
				t.Errorf("%+v %v, alive %t", out, err, r.Alive(s))
			}
			if e := r.LastEvent(t); e.Action != broker.ActionSignOut || e.Actor.ID != "00u1" || e.Outcome != broker.OutcomeOK {
				t.Errorf("%+v", e)
			}
			if tt.unreachable == (out.TraceID == "") {
				t.Errorf("trace %q", out.TraceID)
			}
		})
	}
	r := brokertest.New(t)
	s := r.As(t, "00u1", "alice", "i1")
	r.Store.LoseEvents(true)
	if _, err := r.Out.End(t.Context(), s, broker.Secret{}); broker.CodeOf(err) != broker.CodeUnavailable || r.Alive(s) {
		t.Errorf("without an event: %v, alive %t", err, r.Alive(s))
	}
}

// TestEndSurvivesTheStateStore ensures that a sign-out that is done does not
// look like a failure because the way to the provider or its trace cannot be
// kept.
func TestEndSurvivesTheStateStore(t *testing.T) {
	r := brokertest.New(t)
	r.Bye.Challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	s := r.As(t, "00u1", "alice", "i1")
	r.State = brokenState{r.Store}
	out := r.Node(t, nil).Logout
	ended, err := out.End(t.Context(), s, broker.Secret{})
	if err != nil || !ended.Unreachable || ended.Challenge != nil || r.Alive(s) {
		t.Errorf("%+v %v, alive %t", ended, err, r.Alive(s))
	}
}

// brokenState loses whatever is put into it, and says so.
type brokenState struct{ broker.StateStore }

func (brokenState) Put(context.Context, string, []byte, time.Duration) error {
	return brokertest.ErrDown
}

func (brokenState) PutIfAbsent(context.Context, string, []byte, time.Duration) (bool, error) {
	return false, brokertest.ErrDown
}

// TestLogoutAsksWithTheName ensures that the provider is asked about the session
// in its own words, and that neither these nor the state are kept in the clear.
func TestLogoutAsksWithTheName(t *testing.T) {
	r := brokertest.New(t)
	r.Bye.Challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	s := r.As(t, "00u1", "alice@idp", "i1")
	if strings.Contains(string(r.Store.Sessions()[s.Key].Body), "planted") {
		t.Error("the hint is in the store in the clear")
	}
	if _, err := r.Out.End(t.Context(), s, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	q := r.Bye.Request
	if q.NameID != "alice@idp" || q.SessionIndex != "i1" || q.Hint.Reveal() != "planted-hint-00u1" || len(q.State) != 43 || !strings.HasPrefix(q.ID, "id-") {
		t.Errorf("%+v", q)
	}
	for k, v := range r.Store.State() {
		if strings.Contains(k, q.State) || strings.Contains(string(v), q.ID) {
			t.Errorf("%s holds the request in the clear", k)
		}
	}
}

// TestArrivalKeepsTheHint ensures that who came unasked can sign out at the
// provider too.
func TestArrivalKeepsTheHint(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Unasked, r.IdP.Auth.LogoutHint, r.IdP.Auth.NameID = true, broker.NewSecret("planted-hint"), "alice"
	in, _, err := r.In.Finish(t.Context(), signin.Answer{Provider: "okta", State: "https://elsewhere.example", Form: url.Values{"SAMLResponse": {"x"}}})
	if err != nil || in.Arrival == nil {
		t.Fatalf("%+v %v", in, err)
	}
	for _, v := range r.Store.State() {
		if strings.Contains(string(v), "planted") {
			t.Error("the hint is in the store in the clear")
		}
	}
	out, _, err := r.In.Agree(t.Context(), signin.Agreement{Provider: "okta", Token: in.Arrival.Token, Binding: in.Arrival.Binding})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	r.Bye.Challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	if _, err := r.Out.End(t.Context(), s, broker.Secret{}); err != nil || r.Bye.Request.Hint.Reveal() != "planted-hint" {
		t.Errorf("hint %q, %v", r.Bye.Request.Hint.Reveal(), err)
	}
}

// TestFinishLogout ensures that an answer is taken once, in the browser that
// left, for the provider that was asked, in time.
func TestFinishLogout(t *testing.T) {
	for _, tt := range []struct {
		name     string
		provider broker.ProviderID
		change   func(r *brokertest.Rig, state *string, binding *broker.Secret)
		code     broker.Code
		outcome  broker.Outcome // of the event; "" for none
	}{
		{"good", "okta", nil, "", broker.OutcomeOK},
		{"the provider does not confirm", "okta", func(r *brokertest.Rig, _ *string, _ *broker.Secret) {
			r.Bye.FinishErr = broker.Errorf(broker.CodeUnauthenticated, "no")
		}, broker.CodeUnauthenticated, broker.OutcomeRefused},
		{"another provider", "third", nil, broker.CodeUnauthenticated, ""},
		{"an unknown provider", "nobody", nil, broker.CodeNotFound, ""},
		{"another browser", "okta", func(_ *brokertest.Rig, _ *string, b *broker.Secret) { *b = broker.NewSecret(strings.Repeat("x", 43)) }, broker.CodeUnauthenticated, ""},
		{"no cookie", "okta", func(_ *brokertest.Rig, _ *string, b *broker.Secret) { *b = broker.Secret{} }, broker.CodeUnauthenticated, ""},
		{"another state", "okta", func(_ *brokertest.Rig, s *string, _ *broker.Secret) { *s = strings.Repeat("x", len(*s)) }, broker.CodeUnauthenticated, ""},
		{"no state", "okta", func(_ *brokertest.Rig, s *string, _ *broker.Secret) { *s = "" }, broker.CodeUnauthenticated, ""},
		{"a long state", "okta", func(_ *brokertest.Rig, s *string, _ *broker.Secret) { *s = strings.Repeat("s", 1<<20) }, broker.CodeUnauthenticated, ""},
		{"too late", "okta", func(r *brokertest.Rig, _ *string, _ *broker.Secret) { r.Clock = r.Clock.Add(signin.LogoutTTL) }, broker.CodeUnauthenticated, ""},
		{"the store is down", "okta", func(r *brokertest.Rig, _ *string, _ *broker.Secret) { r.Store.Down(true) }, broker.CodeUnavailable, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.Bye.Challenge = &broker.Challenge{URL: "https://idp.example/slo"}
			s := r.As(t, "00u1", "alice", "i1")
			ended, err := r.Out.End(t.Context(), s, broker.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			state, binding, before := r.Bye.Request.State, ended.Binding, len(r.Store.AllEvents())
			if tt.change != nil {
				tt.change(r, &state, &binding)
			}
			p, trace, err := r.Out.Finish(t.Context(), tt.provider, state, binding, broker.LogoutMessage{})
			if broker.CodeOf(err) != tt.code {
				t.Fatalf("%v", err)
			}
			if (tt.outcome == "") != (trace == "") || (tt.outcome == "") != (len(r.Store.AllEvents()) == before) {
				t.Errorf("trace %q, %d events", trace, len(r.Store.AllEvents())-before)
			}
			if tt.outcome == "" {
				return
			}
			if e := r.LastEvent(t); e.Outcome != tt.outcome || e.Actor.ID != "00u1" || e.TraceID != trace || r.Bye.Finished.ID != r.Bye.Request.ID || p.Name != "Okta" {
				t.Errorf("%+v, provider %s, request %q", e, p.Name, r.Bye.Finished.ID)
			}
			r.Bye.FinishErr = nil
			if _, _, err := r.Out.Finish(t.Context(), tt.provider, state, binding, broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeUnauthenticated {
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
		{"one session", []broker.SessionFilter{brokertest.Named("alice", "i1")}, "a1 a0"},
		{"a session by its index alone", []broker.SessionFilter{brokertest.Named("", "i2")}, "a2"},
		{"all of a person", []broker.SessionFilter{brokertest.Named("alice", "")}, "a1 a2 a0"},
		{"two sessions", []broker.SessionFilter{brokertest.Named("alice", "i1"), brokertest.Named("alice", "i2")}, "a1 a2 a0"},
		{"another person's index", []broker.SessionFilter{brokertest.Named("bob", "i1")}, ""},
		{"nobody here", []broker.SessionFilter{brokertest.Named("carol", "")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			all := map[string]*broker.Session{
				"a1": r.As(t, "00u1", "alice", "i1"), "a2": r.As(t, "00u1", "alice", "i2"),
				"a0": r.As(t, "00u1", "alice", ""), "b3": r.As(t, "00u2", "bob", "i3"),
			}
			before := len(r.Store.AllEvents())
			r.Bye.Answer = &broker.Challenge{URL: "https://idp.example/slo"}
			r.Hears("r1", tt.ends...)
			answer, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
			if err != nil || answer != r.Bye.Answer || r.Bye.Failed != nil {
				t.Fatalf("%v %v, told %v", answer, err, r.Bye.Failed)
			}
			ended := 0
			for name, s := range all {
				want := strings.Contains(tt.want, name)
				if r.Alive(s) == want {
					t.Errorf("%s: alive %t", name, r.Alive(s))
				}
				if want {
					ended++
				}
			}
			for _, e := range r.Store.AllEvents()[before:] {
				if e.Action != broker.ActionLogout || e.Outcome != broker.OutcomeOK || e.Actor.Provider != "okta" || e.TraceID == "" {
					t.Errorf("%+v", e)
				}
			}
			if len(r.Store.AllEvents())-before != ended {
				t.Errorf("%d events for %d sessions", len(r.Store.AllEvents())-before, ended)
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
		change func(*brokertest.Rig)
		code   broker.Code
	}{
		{"it does not verify", func(r *brokertest.Rig) { r.Bye.NoticeErr = bad }, broker.CodeUnauthenticated},
		{"the keys cannot be had", func(r *brokertest.Rig) { r.Bye.NoticeErr = brokertest.ErrDown }, broker.CodeUnavailable},
		{"no replay guard", func(r *brokertest.Rig) { r.Bye.Notice.ReplayID = "" }, broker.CodeInternal},
		{"a replay guard of the past", func(r *brokertest.Rig) { r.Bye.Notice.ReplayExpires = r.Clock }, broker.CodeInternal},
		{"a filter of the provider alone", func(r *brokertest.Rig) { r.Bye.Notice.Sessions = []broker.SessionFilter{{Provider: "okta"}} }, broker.CodeInternal},
		{"an empty filter", func(r *brokertest.Rig) { r.Bye.Notice.Sessions = []broker.SessionFilter{{}} }, broker.CodeInternal},
		{"no filter", func(r *brokertest.Rig) { r.Bye.Notice.Sessions = nil }, broker.CodeInternal},
		{"another provider's sessions", func(r *brokertest.Rig) { r.Bye.Notice.Sessions[0].Provider = "third" }, broker.CodeInternal},
		{"a good filter and a bad one", func(r *brokertest.Rig) {
			r.Bye.Notice.Sessions = append(r.Bye.Notice.Sessions, broker.SessionFilter{Provider: "okta"})
		}, broker.CodeInternal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			s := r.As(t, "00u1", "alice", "i1")
			r.Hears("r1", brokertest.Named("alice", ""))
			tt.change(r)
			answer, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
			if broker.CodeOf(err) != tt.code || answer != nil || !r.Alive(s) {
				t.Errorf("%v %v, alive %t", answer, err, r.Alive(s))
			}
		})
	}
	r := brokertest.New(t)
	if _, _, err := r.Out.Receive(t.Context(), "other", broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeNotFound {
		t.Errorf("a provider without logout: %v", err)
	}
	r.Bye.NoticeErr = bad
	_, trace, _ := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
	if e := r.LastEvent(t); e.Action != broker.ActionLogout || e.Outcome != broker.OutcomeRefused || e.TraceID != trace || trace == "" {
		t.Errorf("%+v, trace %q", e, trace)
	}
}

// TestReceiveReplay ensures that a request ends no session that began after it
// was carried out, on this or another provider's account.
func TestReceiveReplay(t *testing.T) {
	r := brokertest.New(t)
	first := r.As(t, "00u1", "alice", "i1")
	r.Hears("r1", brokertest.Named("alice", ""))
	if _, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || r.Alive(first) {
		t.Fatalf("%v, alive %t", err, r.Alive(first))
	}
	second := r.As(t, "00u1", "alice", "i2")
	if _, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{}); broker.CodeOf(err) != broker.CodeUnauthenticated || !r.Alive(second) {
		t.Errorf("replayed: %v, alive %t", err, r.Alive(second))
	}
	if e := r.LastEvent(t); e.Action != broker.ActionLogout || e.Outcome != broker.OutcomeRefused {
		t.Errorf("%+v", e)
	}
	// The same id of another provider is another request.
	r.Bye.Notice.Sessions[0].Provider = "third"
	if _, _, err := r.Out.Receive(t.Context(), "third", broker.LogoutMessage{}); err != nil || !r.Alive(second) {
		t.Errorf("another provider: %v, alive %t", err, r.Alive(second))
	}
}

// TestReceiveRetry ensures that a request which failed on a store can come again
// and then ends the sessions: the replay guard must not keep them alive.
func TestReceiveRetry(t *testing.T) {
	for name, broken := range map[string]func(*brokertest.Rig, bool){
		"the events": func(r *brokertest.Rig, on bool) { r.Store.LoseEvents(on) },
		"everything": func(r *brokertest.Rig, on bool) { r.Store.Down(on) },
	} {
		t.Run(name, func(t *testing.T) {
			r := brokertest.New(t)
			s := r.As(t, "00u1", "alice", "i1")
			r.Hears("r1", brokertest.Named("alice", "i1"))
			broken(r, true)
			_, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
			if broker.CodeOf(err) != broker.CodeUnavailable || r.Alive(s) != (name == "everything") { // a session ends without its event too
				t.Fatalf("%v, alive %t", err, r.Alive(s))
			}
			broken(r, false)
			if _, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || r.Alive(s) {
				t.Errorf("again: %v, alive %t", err, r.Alive(s))
			}
		})
	}
	// Where there is somebody to answer, they are told that the end was not noted.
	r := brokertest.New(t)
	s := r.As(t, "00u1", "alice", "i1")
	r.Hears("r1", brokertest.Named("alice", "i1"))
	r.Bye.Answer = &broker.Challenge{URL: "https://idp.example/slo"}
	r.Store.LoseEvents(true)
	if answer, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || answer == nil || r.Bye.Failed == nil || r.Alive(s) {
		t.Errorf("%v %v, told %v", answer, err, r.Bye.Failed)
	}
	// A mark that cannot be set is a failure too: the sessions are over, and the
	// provider is told to come again rather than left with an open replay.
	r.Store.LoseEvents(false)
	s = r.As(t, "00u1", "alice", "i1")
	r.State = brokenState{r.Store}
	out := r.Node(t, nil).Logout
	if _, _, err := out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || broker.CodeOf(r.Bye.Failed) != broker.CodeUnavailable || r.Alive(s) {
		t.Errorf("%v, told %v, alive %t", err, r.Bye.Failed, r.Alive(s))
	}
}

// TestAttackFillTheStoreWithLogouts ensures that a flood of forged requests stops
// at the limit and leaves one event of it, while what verifies still passes.
func TestAttackFillTheStoreWithLogouts(t *testing.T) {
	r := brokertest.New(t)
	s := r.As(t, "00u1", "alice", "i1")
	ctx := brokertest.From(t, "192.0.2.7")
	out := r.Node(t, map[limit.Kind]limit.Rate{limit.SignInFinish: {Address: 10, Per: time.Minute}}).Logout
	before := len(r.Store.AllEvents())
	r.Bye.NoticeErr = broker.Errorf(broker.CodeUnauthenticated, "no")
	refused := 0
	for range 100 {
		_, _, err := out.Receive(ctx, "okta", broker.LogoutMessage{})
		if broker.CodeOf(err) == broker.CodeUnauthenticated {
			refused++
		} else if broker.CodeOf(err) != broker.CodeRateLimited {
			t.Fatal(err)
		}
	}
	if got := len(r.Store.AllEvents()) - before; refused != 10 || got != 11 {
		t.Errorf("%d refused, %d events", refused, got)
	}
	r.Bye.NoticeErr = nil
	r.Hears("r1", brokertest.Named("alice", ""))
	if _, _, err := out.Receive(ctx, "okta", broker.LogoutMessage{}); err != nil || r.Alive(s) {
		t.Errorf("%v, alive %t", err, r.Alive(s))
	}
}

// TestProviderEndsPrograms ensures that the sessions of programs end with the
// sign-in at the provider that let them in.
func TestProviderEndsPrograms(t *testing.T) {
	r := brokertest.New(t)
	browser := r.As(t, "00u1", "alice", "i1")
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, browser), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Dev.Authenticate(t.Context(), set.Access); err != nil {
		t.Fatal(err)
	}
	r.Hears("r1", brokertest.Named("alice", "i1"))
	if _, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Dev.Authenticate(t.Context(), set.Access); broker.CodeOf(err) != broker.CodeUnauthenticated || r.Alive(browser) {
		t.Errorf("%v, browser alive %t", err, r.Alive(browser))
	}
}
