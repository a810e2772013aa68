package factor_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/signin"
)

// TestFactorRaisesTheSession ensures that a used factor gives the session the
// proof under a new token, kills the old one, and that both are events.
func TestFactorRaisesTheSession(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	if r.Sess.Identity.MFA {
		t.Fatal("the provider proved a factor: the test shows nothing")
	}
	if n := len(r.EnrolApp(t)); n != 10 {
		t.Fatalf("%d recovery codes", n)
	}
	r.Clock = r.Clock.Add(time.Minute)
	r.SignIn(t)
	before := r.Sess.Key
	p, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Acc.Authenticate(t.Context(), p.Token)
	if err != nil || !s.Identity.MFA || s.Own == nil || s.Own.Kind != broker.FactorCode || !slices.Contains(s.Identity.AuthnContext.AMR, "rolegate:otp") {
		t.Fatalf("session %+v, %v", s, err)
	}
	if _, ok := r.Store.Sessions()[before]; ok {
		t.Error("the old token still works")
	}
	if e := r.LastEvent(t); e.Action != broker.ActionMFAUse || e.Outcome != broker.OutcomeOK || e.Actor.ID != "00u1" {
		t.Errorf("event %+v", e)
	}
	for _, row := range r.Store.AllFactors() {
		if len(row.Body) == 0 || slices.Contains([]string{brokertest.TestKey}, string(row.Body)) {
			t.Error("a factor is not sealed")
		}
	}
}

// TestAttackReplayedCode ensures that a code is good once, and no older one is
// good after it, in any session.
func TestAttackReplayedCode(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	_, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
	brokertest.WantCode(t, "the code that enrolled", broker.CodeUnauthenticated, err)
	r.Clock = r.Clock.Add(time.Minute)
	older := r.Clock.Add(-30 * time.Second)
	if _, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t)); err != nil {
		t.Fatal(err)
	}
	r.SignIn(t)
	_, err = r.F.UseCode(t.Context(), r.Sess, r.Code(t))
	brokertest.WantCode(t, "the same code", broker.CodeUnauthenticated, err)
	c, _ := totp.GenerateCode(brokertest.TestKey, older)
	_, err = r.F.UseCode(t.Context(), r.Sess, c)
	brokertest.WantCode(t, "an unused code of the step before", broker.CodeUnauthenticated, err)
}

// TestAttackLateCode ensures that a code of two steps ago is refused.
func TestAttackLateCode(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	r.Clock = r.Clock.Add(5 * time.Minute)
	late := r.Code(t)
	r.Clock = r.Clock.Add(time.Minute)
	_, err := r.F.UseCode(t.Context(), r.Sess, late)
	brokertest.WantCode(t, "late code", broker.CodeUnauthenticated, err)
}

// TestAttackBruteForce ensures that five wrong answers, in one session or in
// many, close the door even to a right one, and that it opens again by itself.
func TestAttackBruteForce(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	r.Clock = r.Clock.Add(time.Minute)
	for i := range 5 {
		r.SignIn(t)
		r.Clock = r.Clock.Add(time.Second)
		_, err := r.F.UseCode(t.Context(), r.Sess, "00000x")
		brokertest.WantCode(t, fmt.Sprint("wrong answer ", i), broker.CodeUnauthenticated, err)
	}
	before := len(r.Store.AllEvents())
	for range 3 {
		_, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
		brokertest.WantCode(t, "a right answer behind the lock", broker.CodeRateLimited, err)
	}
	// One event says so, in the name of who tried.
	events := r.Store.AllEvents()[before:]
	if len(events) != 1 || events[0].Action != broker.ActionLimit || events[0].Actor.ID != "00u1" || events[0].Target != "factor" {
		t.Errorf("events %+v", events)
	}
	r.Clock = r.Clock.Add(5 * time.Minute)
	if _, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t)); err != nil {
		t.Errorf("after the lock decayed: %v", err)
	}
}

// TestAttackConcurrentBruteForce ensures that many tries at once are many.
func TestAttackConcurrentBruteForce(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	var judged atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := r.F.UseCode(t.Context(), r.Sess, "00000x")
			if broker.CodeOf(err) == broker.CodeUnauthenticated {
				judged.Add(1)
			}
		})
	}
	wg.Wait()
	if n := judged.Load(); n > 5 || n == 0 {
		t.Errorf("%d of 50 tries at once were judged", n)
	}
}

// TestAttackConcurrentUseOfOneCode ensures that of many uses of one code at
// once one wins.
func TestAttackConcurrentUseOfOneCode(t *testing.T) {
	for _, kind := range []string{"app", "recovery"} {
		t.Run(kind, func(t *testing.T) {
			r := brokertest.NewFactorRig(t, brokertest.Allowed)
			recovery := r.EnrolApp(t)
			r.Clock = r.Clock.Add(time.Minute)
			code := r.Code(t)
			if kind == "recovery" {
				code = recovery[0].Reveal()
			}
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if _, err := r.F.UseCode(t.Context(), r.Sess, code); err == nil {
						won.Add(1)
					}
				})
			}
			wg.Wait()
			if n := won.Load(); n != 1 {
				t.Errorf("%d uses won", n)
			}
		})
	}
}

// TestAttackRecoveryCodeTwice ensures that a recovery code works once.
func TestAttackRecoveryCodeTwice(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	recovery := r.EnrolApp(t)
	p, err := r.F.UseCode(t.Context(), r.Sess, recovery[3].Reveal())
	if err != nil {
		t.Fatal(err)
	}
	r.Sess = p.Session
	_, err = r.F.UseCode(t.Context(), r.Sess, recovery[3].Reveal())
	brokertest.WantCode(t, "second use", broker.CodeUnauthenticated, err)
	all, err := r.F.List(t.Context(), r.Sess)
	if err != nil || !slices.ContainsFunc(all, func(f factor.Factor) bool { return f.Kind == broker.FactorRecovery && f.Left == 9 }) {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestAttackEnrolmentWithAStolenSession ensures that a session is not enough to
// change factors: the sign-in must be fresh, and an existing factor used.
func TestAttackEnrolmentWithAStolenSession(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, r *brokertest.FactorRig)
	}{
		{"old sign-in", func(_ *testing.T, r *brokertest.FactorRig) { r.Clock = r.Clock.Add(factor.FreshAuth + time.Second) }},
		{"sign-in of an unknown time", func(_ *testing.T, r *brokertest.FactorRig) { r.Sess.Identity.AuthnInstant = time.Time{} }},
		{"sign-in in the future", func(_ *testing.T, r *brokertest.FactorRig) { r.Sess.Identity.AuthnInstant = r.Clock.Add(time.Hour) }},
		{"a factor exists and was not used", func(t *testing.T, r *brokertest.FactorRig) {
			r.EnrolApp(t)
			r.Clock = r.Clock.Add(time.Minute)
			r.SignIn(t)
		}},
		{"a factor exists and was used too long ago", func(t *testing.T, r *brokertest.FactorRig) {
			r.EnrolApp(t)
			r.Clock = r.Clock.Add(factor.FreshAuth + time.Second)
			r.Sess.Identity.AuthnInstant = r.Clock
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.NewFactorRig(t, brokertest.Allowed)
			tt.change(t, r)
			before := len(r.Store.AllFactors())
			_, err := r.F.EnrolCode(t.Context(), r.Sess)
			brokertest.WantCode(t, "app", broker.CodeStepUp, err)
			_, _, err = r.F.EnrolPasskey(t.Context(), r.Sess)
			brokertest.WantCode(t, "passkey", broker.CodeStepUp, err)
			brokertest.WantCode(t, "removal", broker.CodeStepUp, r.F.Remove(t.Context(), r.Sess, "x"))
			if len(r.Store.AllFactors()) != before {
				t.Error("the factors changed")
			}
			if e := r.LastEvent(t); e.Outcome != broker.OutcomeRefused || e.Action != broker.ActionMFARemove {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// TestAttackChallengeReuse ensures that a challenge is good once, in its own
// session and for its own purpose.
func TestAttackChallengeReuse(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	enrol, _, err := r.F.EnrolPasskey(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.F.UsePasskey(t.Context(), r.Sess, enrol, []byte("good"))
	brokertest.WantCode(t, "a challenge of enrolment at use", broker.CodeUnauthenticated, err)
	if enrol, _, err = r.F.EnrolPasskey(t.Context(), r.Sess); err != nil {
		t.Fatal(err)
	}
	p, err := r.F.FinishPasskey(t.Context(), r.Sess, enrol, "", []byte("good"))
	if err != nil {
		t.Fatal(err)
	}
	r.Sess = p.Session
	id, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	stolen := *r.Sess
	stolen.Key = "another"
	_, err = r.F.UsePasskey(t.Context(), &stolen, id, []byte("good"))
	brokertest.WantCode(t, "a challenge of another session", broker.CodeUnauthenticated, err)
	if id, _, err = r.F.BeginPasskey(t.Context(), r.Sess); err != nil {
		t.Fatal(err)
	}
	_, err = r.F.UsePasskey(t.Context(), r.Sess, id, []byte("bad"))
	brokertest.WantCode(t, "a wrong answer", broker.CodeUnauthenticated, err)
	_, err = r.F.UsePasskey(t.Context(), r.Sess, id, []byte("good"))
	brokertest.WantCode(t, "a right answer to a used challenge", broker.CodeUnauthenticated, err)
	if id, _, err = r.F.BeginPasskey(t.Context(), r.Sess); err != nil {
		t.Fatal(err)
	}
	r.Clock = r.Clock.Add(factor.ChallengeTTL)
	_, err = r.F.UsePasskey(t.Context(), r.Sess, id, []byte("good"))
	brokertest.WantCode(t, "too late", broker.CodeUnauthenticated, err)
}

// TestAttackFactorOfAnotherPerson ensures that a code of somebody else's app is
// no proof, and that a row copied to another person does not open.
func TestAttackFactorOfAnotherPerson(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	r.Clock = r.Clock.Add(time.Minute)
	mallory := *r.Sess
	mallory.Identity.Subject.ID = "00u2"
	_, err := r.F.UseCode(t.Context(), &mallory, r.Code(t))
	brokertest.WantCode(t, "code of another person", broker.CodeUnauthenticated, err)
	r.Store.Exec(`update factors set subject_id = '00u2'`)
	if _, err := r.F.UseCode(t.Context(), &mallory, r.Code(t)); err == nil {
		t.Error("a copied row opened")
	}
}

// TestFactorsOffAreRefused ensures that nothing works where the provider's
// people prove their factor there.
func TestFactorsOffAreRefused(t *testing.T) {
	r := brokertest.NewFactorRig(t, broker.MFAPolicy{})
	_, err := r.F.EnrolCode(t.Context(), r.Sess)
	brokertest.WantCode(t, "enrol", broker.CodeDenied, err)
	_, err = r.F.UseCode(t.Context(), r.Sess, "000000")
	brokertest.WantCode(t, "use", broker.CodeDenied, err)
	_, err = r.F.List(t.Context(), r.Sess)
	brokertest.WantCode(t, "list", broker.CodeDenied, err)
}

// TestFactorNothingUnrecorded ensures that neither enrolment nor use gives
// anything when the event cannot be recorded.
func TestFactorNothingUnrecorded(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	n, err := r.F.EnrolCode(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	r.Store.LoseEvents(true)
	_, err = r.F.FinishCode(t.Context(), r.Sess, n.ID, "", r.Code(t))
	brokertest.WantCode(t, "enrol", broker.CodeUnavailable, err)
	if len(r.Store.AllFactors()) != 0 {
		t.Error("a factor was enrolled without an event")
	}
	r.Store.LoseEvents(false)
	r.EnrolApp(t)
	r.Clock = r.Clock.Add(time.Minute)
	r.Store.LoseEvents(true)
	p, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
	brokertest.WantCode(t, "use", broker.CodeUnavailable, err)
	if p.Session != nil {
		t.Error("a session was raised without an event")
	}
}

// TestFactorReset ensures that a reset takes the factors and the sessions, and
// is an event that names who did it.
func TestFactorReset(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	n, err := r.Broker().Resetter.Reset(t.Context(), "admin", r.Sess.Identity.Subject)
	if err != nil || n != 2 || len(r.Store.AllFactors()) != 0 || len(r.Store.Sessions()) != 0 {
		t.Errorf("%d removed, %v; %d factors and %d sessions left", n, err, len(r.Store.AllFactors()), len(r.Store.Sessions()))
	}
	all := r.Store.AllEvents()
	for i, want := range []broker.Action{broker.ActionMFAReset, broker.ActionRevoke} {
		if e := all[len(all)-2+i]; e.Action != want || e.Username != "admin" || e.Target != "okta/00u1" {
			t.Errorf("event %+v, want %s", e, want)
		}
	}
	if _, err := r.Broker().Resetter.Reset(t.Context(), "admin", broker.Subject{}); err == nil {
		t.Error("a reset of nobody")
	}
}

// TestFactorRemoveLast ensures that the recovery codes go with the last factor.
func TestFactorRemoveLast(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	all, err := r.F.List(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(f factor.Factor) bool { return f.Kind == broker.FactorRecovery })
	brokertest.WantCode(t, "recovery codes by themselves", broker.CodeNotFound, r.F.Remove(t.Context(), r.Sess, all[i].ID))
	if err := r.F.Remove(t.Context(), r.Sess, all[1-i].ID); err != nil || len(r.Store.AllFactors()) != 0 {
		t.Errorf("%v, %d left", err, len(r.Store.AllFactors()))
	}
}

// TestOwnFactorGraceDate ensures that a required factor is asked for from the
// grace date on, for every role, and announced before.
func TestOwnFactorGraceDate(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	until := r.Clock.Add(24 * time.Hour)
	p := broker.MFAPolicy{Own: broker.OwnFactorRequired, EnrolUntil: until}
	if p.Enforced(until.Add(-time.Second)) || !p.Enforced(until) || brokertest.Allowed.Enforced(until) {
		t.Error("enforced at the wrong time")
	}
	r.Policy = p
	f := r.Node(t, nil).Factor
	got, due, err := f.Reminder(t.Context(), r.Sess)
	if err != nil || !due || !got.Equal(until) {
		t.Errorf("before: %s %t %v", got, due, err)
	}
	r.Clock = until
	if got, due, err = f.Reminder(t.Context(), r.Sess); err != nil || !due || !got.IsZero() {
		t.Errorf("after: %s %t %v", got, due, err)
	}
}

// TestStepUpAnsweredWithLess ensures that a provider that was asked for a
// second factor and proves none ends there, and that the old session stays.
func TestStepUpAnsweredWithLess(t *testing.T) {
	r := brokertest.NewFactorRig(t, broker.MFAPolicy{})
	sessions := len(r.Store.Sessions())
	b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", StepUp: &broker.StepUp{MFA: true}, Replaces: r.Sess.Key})
	if err != nil {
		t.Fatal(err)
	}
	r.IdP.Auth.ReplayID = "again"
	_, err = r.Finish(t, b)
	brokertest.WantCode(t, "less than asked", broker.CodeDenied, err)
	if e, ok := errors.AsType[*broker.Error](err); !ok || e.StepUp != nil {
		t.Error("the page would ask for the same step-up again: a loop")
	}
	if len(r.Store.Sessions()) != sessions {
		t.Error("the old session is gone")
	}
}

// TestAttackProviderSendsOurMethod ensures that a provider cannot claim that
// rolegate's own factor was used.
func TestAttackProviderSendsOurMethod(t *testing.T) {
	p := broker.MFAPolicy{AMR: [][]string{{"rolegate:otp"}, {"mfa"}}}
	if p.Satisfied(broker.AuthnContext{AMR: []string{"rolegate:otp"}}, nil) {
		t.Error("it counted")
	}
	c := broker.MFAPolicy{Claims: map[string][][]string{"methods": {{"a", "b"}}}}
	if !c.Satisfied(broker.AuthnContext{}, broker.Claims{"methods": {"b", "x", "a"}}) || c.Satisfied(broker.AuthnContext{}, broker.Claims{"methods": {"a"}, "other": {"b"}}) {
		t.Error("claim proofs")
	}
}
