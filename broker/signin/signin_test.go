package signin_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/signin"
)

// TestSignIn ensures that a good answer makes a session that the token opens,
// with an event and a trace, and that the store holds no token.
func TestSignIn(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	out, err := r.Finish(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if out.ReturnTo != "/go?account=prod&role=Admin" {
		t.Errorf("return to %q", out.ReturnTo)
	}
	s, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	if s.SessionName != "alice@example.com" || s.SourceIdentity != "alice" || !s.Identity.MFA {
		t.Errorf("session %+v", s)
	}
	e := r.LastEvent(t)
	if e.Action != broker.ActionSignIn || e.Outcome != broker.OutcomeOK || e.Actor.ID != "00u1" || e.TraceID != b.TraceID {
		t.Errorf("event %+v", e)
	}
	trace, err := r.Broker().Journal.Trace(t.Context(), b.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, st := range trace.Steps() {
		names = append(names, st.Name)
	}
	if got := strings.Join(names, " "); got != "signin.begin signin.pending idp.verified claims replay identity names session" {
		t.Errorf("trace steps %q", got)
	}
	for key := range r.Store.Sessions() {
		if key == out.Token.Reveal() {
			t.Error("the store is keyed by the token itself")
		}
	}
}

// TestSignInRefusals ensures that each bad answer makes no session, and leaves
// an event and a trace that say why.
func TestSignInRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *brokertest.Rig, f *signin.Answer)
		code   broker.Code
	}{
		{"unknown state", func(_ *brokertest.Rig, f *signin.Answer) { f.State = "x" }, broker.CodeUnauthenticated},
		{"no state", func(_ *brokertest.Rig, f *signin.Answer) { f.State = "" }, broker.CodeUnauthenticated},
		{"huge state", func(_ *brokertest.Rig, f *signin.Answer) { f.State = strings.Repeat("a", 1<<20) }, broker.CodeUnauthenticated},
		{"answer at another provider's route", func(_ *brokertest.Rig, f *signin.Answer) { f.Provider = "other" }, broker.CodeUnauthenticated},
		{"unknown provider", func(_ *brokertest.Rig, f *signin.Answer) { f.Provider = "nobody" }, broker.CodeNotFound},
		{"no binding cookie", func(_ *brokertest.Rig, f *signin.Answer) { f.Binding = broker.Secret{} }, broker.CodeUnauthenticated},
		{"binding cookie of another browser", func(_ *brokertest.Rig, f *signin.Answer) { f.Binding = broker.NewSecret("x") }, broker.CodeUnauthenticated},
		{"too late", func(r *brokertest.Rig, _ *signin.Answer) { r.Clock = r.Clock.Add(broker.SignInTTL) }, broker.CodeUnauthenticated},
		{"adapter refuses", func(r *brokertest.Rig, _ *signin.Answer) {
			r.IdP.Err = broker.Errorf(broker.CodeUnauthenticated, "The signature does not verify.")
		}, broker.CodeUnauthenticated},
		{"adapter vouches for another provider", func(r *brokertest.Rig, _ *signin.Answer) { r.IdP.Auth.Subject.Provider = "other" }, broker.CodeInternal},
		{"no lasting subject", func(r *brokertest.Rig, _ *signin.Answer) { r.IdP.Auth.Subject.ID = "" }, broker.CodeDenied},
		{"no replay id", func(r *brokertest.Rig, _ *signin.Answer) { r.IdP.Auth.ReplayID = "" }, broker.CodeInternal},
		{"provider session already over", func(r *brokertest.Rig, _ *signin.Answer) { r.IdP.Auth.NotOnOrAfter = r.Clock }, broker.CodeUnauthenticated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			b := r.Begin(t)
			f := signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding}
			tt.change(r, &f)
			out, traceID, err := r.In.Finish(t.Context(), f)
			if broker.CodeOf(err) != tt.code {
				t.Fatalf("error %v, code %q, want %q", err, broker.CodeOf(err), tt.code)
			}
			if !out.Token.IsZero() || len(r.Store.Sessions()) != 0 {
				t.Error("a session was made")
			}
			if e := r.LastEvent(t); e.Action != broker.ActionSignIn || e.Outcome == broker.OutcomeOK || e.TraceID != traceID {
				t.Errorf("event %+v", e)
			}
			trace, err := r.Broker().Journal.Trace(t.Context(), traceID)
			if err != nil {
				t.Fatal(err)
			}
			steps := trace.Steps()
			if last := steps[len(steps)-1]; last.OK || last.Name != "signin.refused" {
				t.Errorf("last step %+v", last)
			}
		})
	}
}

// TestAnswerIsTakenOnce ensures that an answer sent twice, or by many at once,
// makes one session.
func TestAnswerIsTakenOnce(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok := 0
	for range 50 {
		wg.Go(func() {
			if _, err := r.Finish(t, b); err == nil {
				mu.Lock()
				ok++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ok != 1 || len(r.Store.Sessions()) != 1 {
		t.Errorf("%d answers accepted, %d sessions", ok, len(r.Store.Sessions()))
	}
}

// TestReplayedAssertion ensures that one assertion opens one session even when
// it comes under a fresh request.
func TestReplayedAssertion(t *testing.T) {
	r := brokertest.New(t)
	r.SignIn(t)
	_, err := r.Finish(t, r.Begin(t))
	if broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(broker.Message(err), "used before") {
		t.Errorf("error %v", err)
	}
}

// TestNothingWithoutEvent ensures that a sign-in whose event cannot be recorded
// gives no session.
func TestNothingWithoutEvent(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	r.Store.LoseEvents(true)
	out, err := r.Finish(t, b)
	if broker.CodeOf(err) != broker.CodeUnavailable || !out.Token.IsZero() || len(r.Store.Sessions()) != 0 {
		t.Errorf("error %v, %d sessions", err, len(r.Store.Sessions()))
	}
}

// TestStoreDown ensures that Begin and Finish say unavailable and give nothing.
func TestStoreDown(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	r.Store.Down(true)
	if _, err := r.Finish(t, b); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("finish: %v", err)
	}
	if _, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta"}); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("begin: %v", err)
	}
}

// TestMFARequired ensures that a provider that must prove a second factor is
// held to it.
func TestMFARequired(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Auth.AuthnContext.ACR = "pwd"
	r.Policy.Required = true
	in := r.Node(t, nil).SignIn
	b, err := in.Begin(t.Context(), signin.Request{Provider: "okta"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = in.Finish(t.Context(), signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding})
	if broker.CodeOf(err) != broker.CodeStepUp || len(r.Store.Sessions()) != 0 {
		t.Errorf("error %v", err)
	}
}

// TestNewSessionReplacesOld ensures that signing in again ends the session the
// browser had (OWASP ASVS 7.2.4).
func TestNewSessionReplacesOld(t *testing.T) {
	r := brokertest.New(t)
	old := r.SignIn(t)
	r.IdP.Auth.ReplayID = "_2"
	b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", Replaces: old.Key})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t, b); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Store.Sessions()[old.Key]; ok || len(r.Store.Sessions()) != 1 {
		t.Errorf("%d sessions, old one there: %t", len(r.Store.Sessions()), ok)
	}
}

// TestStepUpAsksTheProvider ensures that a step-up travels in the request.
func TestStepUpAsksTheProvider(t *testing.T) {
	r := brokertest.New(t)
	_, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", StepUp: &broker.StepUp{MFA: true, MaxAuthAge: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	if l := r.IdP.Last; !l.ForceAuthn || l.MaxAuthAge != time.Minute || len(l.RequestedContext) != 1 || l.RequestedContext[0] != "mfa" {
		t.Errorf("request %+v", l)
	}
}

// TestPendingIsSealed ensures that the store never sees state or PKCE verifier.
func TestPendingIsSealed(t *testing.T) {
	r := brokertest.New(t)
	r.Begin(t)
	for k, v := range r.Store.State() {
		for _, secret := range []string{r.IdP.Last.State, r.IdP.Last.CodeVerifier.Reveal()} {
			if strings.Contains(k, secret) || strings.Contains(string(v), secret) {
				t.Errorf("%s holds a secret of the pending sign-in", k)
			}
		}
	}
}

// TestTwoPeopleNeverShareNames ensures that distinct people whose names clean
// to the same text get distinct ones, and keep them.
func TestTwoPeopleNeverShareNames(t *testing.T) {
	r := brokertest.New(t)
	first := r.SignIn(t)
	r.IdP.Auth.Subject.ID, r.IdP.Auth.ReplayID = "00u2", "_2"
	r.IdP.Auth.Claims = broker.Claims{"username": {"ALICE"}, "email": {"Alice@Example.com"}}
	second := r.SignIn(t)
	if strings.EqualFold(first.SessionName, second.SessionName) || strings.EqualFold(first.SourceIdentity, second.SourceIdentity) {
		t.Errorf("shared names: %q %q", first.SessionName, second.SessionName)
	}
}

// TestRequestReachesEvent ensures that an event names the request it came by.
func TestRequestReachesEvent(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	ctx := broker.WithRequest(context.WithoutCancel(t.Context()), broker.Request{ID: "req1", Remote: "192.0.2.1"})
	if _, _, err := r.In.Finish(ctx, signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding}); err != nil {
		t.Fatal(err)
	}
	if e := r.LastEvent(t); e.RequestID != "req1" || e.Remote != "192.0.2.1" {
		t.Errorf("event %+v", e)
	}
}

// TestProviderEndsSession ensures that a session ends with the provider's, if
// that is said to end first, and never later than ours.
func TestProviderEndsSession(t *testing.T) {
	for _, left := range []time.Duration{30 * time.Minute, 48 * time.Hour} {
		r := brokertest.New(t)
		end := r.Clock.Add(left)
		r.IdP.Auth.NotOnOrAfter = end
		ours := r.Clock.Add(broker.DefaultSessionLimits.Absolute)
		if end.After(ours) {
			end = ours
		}
		if sess := r.SignIn(t); !sess.ExpiresAt.Equal(end) {
			t.Errorf("%s left: until %s, want %s", left, sess.ExpiresAt, end)
		}
	}
}

func TestProviderForEmail(t *testing.T) {
	r := brokertest.New(t)
	if p, ok := r.In.ProviderFor(" Alice@EXAMPLE.com "); !ok || p.ID != "okta" {
		t.Errorf("got %v %t", p.ID, ok)
	}
	empty := service(t, r, func(c *signin.Config) { c.Providers[0].EmailDomains = []string{""} })
	for _, s := range []string{"alice", "alice@", "alice@other.example", "", "@"} {
		if _, ok := r.In.ProviderFor(s); ok {
			t.Errorf("%q found a provider", s)
		}
		if _, ok := empty.ProviderFor(s); ok {
			t.Errorf("%q found a provider that has an empty domain", s)
		}
	}
}
