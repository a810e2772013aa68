package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
)

func (m *memory) Factors(_ context.Context, s broker.Subject) ([]broker.FactorRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []broker.FactorRow
	for _, r := range m.factors {
		if r.Subject == s {
			out = append(out, r)
		}
	}
	return out, m.check()
}

func (m *memory) AddFactors(_ context.Context, rows ...broker.FactorRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.factors = append(m.factors, rows...)
	return m.check()
}

func (m *memory) SwapFactor(_ context.Context, r broker.FactorRow) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, x := range m.factors {
		if x.ID == r.ID && x.Version == r.Version && x.Subject == r.Subject {
			m.factors[i] = r
			m.factors[i].Version++
			return true, m.check()
		}
	}
	return false, m.check()
}

func (m *memory) DeleteFactor(_ context.Context, s broker.Subject, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.factors = slices.DeleteFunc(m.factors, func(r broker.FactorRow) bool { return r.Subject == s && r.ID == id })
	return m.check()
}

func (m *memory) DeleteFactors(_ context.Context, s broker.Subject) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.factors)
	m.factors = slices.DeleteFunc(m.factors, func(r broker.FactorRow) bool { return r.Subject == s })
	return n - len(m.factors), m.check()
}

// codes checks real codes with another implementation than ours.
type codes struct{}

const testKey = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

func (codes) NewKey(string) (broker.CodeKey, error) {
	return broker.CodeKey{Secret: broker.NewSecret(testKey)}, nil
}
func (codes) Picture(string, broker.Secret) (broker.QRCode, error) { return broker.QRCode{}, nil }
func (codes) Match(s broker.Secret, code string, at time.Time) (int64, bool) {
	for d := int64(-1); d <= 1; d++ {
		if c, err := totp.GenerateCode(s.Reveal(), at.Add(time.Duration(d)*30*time.Second)); err == nil && c == code {
			return at.Unix()/30 + d, true
		}
	}
	return 0, false
}

// keys is a passkey of which the answer "good" is right.
type keys struct{}

func (keys) BeginEnrol(broker.PasskeyUser, [][]byte) (broker.PasskeyChallenge, error) {
	return broker.PasskeyChallenge{Options: []byte("{}"), State: []byte("s")}, nil
}
func (keys) FinishEnrol(_ broker.PasskeyUser, _, answer []byte) (string, []byte, error) {
	if string(answer) != "good" {
		return "", nil, broker.Errorf(broker.CodeUnauthenticated, "wrong")
	}
	return "id", []byte(`{"n":1}`), nil
}
func (keys) BeginUse(broker.PasskeyUser, [][]byte) (broker.PasskeyChallenge, error) {
	return broker.PasskeyChallenge{Options: []byte("{}"), State: []byte("s")}, nil
}
func (keys) FinishUse(_ broker.PasskeyUser, _ [][]byte, _, answer []byte) (int, []byte, error) {
	if string(answer) != "good" {
		return 0, nil, broker.Errorf(broker.CodeUnauthenticated, "wrong")
	}
	return 0, []byte(`{"n":2}`), nil
}

// factorRig is a signed-in person whose provider proves nothing.
type factorRig struct {
	*rig
	f    *broker.Factors
	sess *broker.Session
}

func newFactorRig(t *testing.T, policy broker.MFAPolicy) *factorRig {
	t.Helper()
	r := newRig(t)
	r.idp.auth.AuthnContext, r.idp.auth.AuthnInstant = broker.AuthnContext{}, r.clock
	x := &factorRig{rig: r}
	x.f = broker.NewFactors(broker.FactorsConfig{
		Store: r.mem, State: r.mem, Sessions: r.mem, Finder: r.mem, Events: r.mem, Sealer: xorSealer{}, Passkeys: keys{}, Codes: codes{},
		Policies: map[broker.ProviderID]broker.MFAPolicy{"okta": policy}, Now: func() time.Time { return r.clock },
	})
	x.signIn(t)
	return x
}

func (r *factorRig) signIn(t *testing.T) {
	t.Helper()
	r.idp.auth.AuthnInstant, r.idp.auth.ReplayID = r.clock, fmt.Sprint(r.clock.UnixNano())
	r.idp.auth.ReplayExpires = r.clock.Add(time.Hour)
	out, err := r.finish(t, r.begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.sess = out.Session
}

func (r *factorRig) code(t *testing.T) string {
	t.Helper()
	c, err := totp.GenerateCode(testKey, r.clock)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enrolApp enrols an authenticator app and returns the recovery codes.
func (r *factorRig) enrolApp(t *testing.T) []broker.Secret {
	t.Helper()
	n, err := r.f.EnrolCode(t.Context(), r.sess)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.f.FinishCode(t.Context(), r.sess, n.ID, "", r.code(t))
	if err != nil {
		t.Fatal(err)
	}
	r.sess = p.Session
	return p.RecoveryCodes
}

var allowed = broker.MFAPolicy{Own: broker.OwnFactorAllowed}

func wantCode(t *testing.T, what string, want broker.Code, err error) {
	t.Helper()
	if got := broker.CodeOf(err); got != want {
		t.Errorf("%s: code %q of %v, want %q", what, got, err, want)
	}
}

// TestFactorRaisesTheSession ensures that a used factor gives the session the
// proof under a new token, kills the old one, and that both are events.
func TestFactorRaisesTheSession(t *testing.T) {
	r := newFactorRig(t, allowed)
	if r.sess.Identity.MFA {
		t.Fatal("the provider proved a factor: the test shows nothing")
	}
	if n := len(r.enrolApp(t)); n != 10 {
		t.Fatalf("%d recovery codes", n)
	}
	r.clock = r.clock.Add(time.Minute)
	r.signIn(t)
	before := r.sess.Key
	p, err := r.f.UseCode(t.Context(), r.sess, r.code(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.acc.Authenticate(t.Context(), p.Token)
	if err != nil || !s.Identity.MFA || s.Own == nil || s.Own.Kind != broker.FactorCode || !slices.Contains(s.Identity.AuthnContext.AMR, "rolegate:otp") {
		t.Fatalf("session %+v, %v", s, err)
	}
	if _, ok := r.mem.sessions[before]; ok {
		t.Error("the old token still works")
	}
	if e := r.lastEvent(t); e.Action != broker.ActionMFAUse || e.Outcome != broker.OutcomeOK || e.Actor.ID != "00u1" {
		t.Errorf("event %+v", e)
	}
	for _, row := range r.mem.factors {
		if len(row.Body) == 0 || slices.Contains([]string{testKey}, string(row.Body)) {
			t.Error("a factor is not sealed")
		}
	}
}

// TestAttackReplayedCode ensures that a code is good once, and no older one is
// good after it, in any session.
func TestAttackReplayedCode(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	_, err := r.f.UseCode(t.Context(), r.sess, r.code(t))
	wantCode(t, "the code that enrolled", broker.CodeUnauthenticated, err)
	r.clock = r.clock.Add(time.Minute)
	older := r.clock.Add(-30 * time.Second)
	if _, err := r.f.UseCode(t.Context(), r.sess, r.code(t)); err != nil {
		t.Fatal(err)
	}
	r.signIn(t)
	_, err = r.f.UseCode(t.Context(), r.sess, r.code(t))
	wantCode(t, "the same code", broker.CodeUnauthenticated, err)
	c, _ := totp.GenerateCode(testKey, older)
	_, err = r.f.UseCode(t.Context(), r.sess, c)
	wantCode(t, "an unused code of the step before", broker.CodeUnauthenticated, err)
}

// TestAttackLateCode ensures that a code of two steps ago is refused.
func TestAttackLateCode(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	r.clock = r.clock.Add(5 * time.Minute)
	late := r.code(t)
	r.clock = r.clock.Add(time.Minute)
	_, err := r.f.UseCode(t.Context(), r.sess, late)
	wantCode(t, "late code", broker.CodeUnauthenticated, err)
}

// TestAttackBruteForce ensures that five wrong answers, in one session or in
// many, close the door even to a right one, and that it opens again by itself.
func TestAttackBruteForce(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	r.clock = r.clock.Add(time.Minute)
	for i := range 5 {
		r.signIn(t)
		r.clock = r.clock.Add(time.Second)
		_, err := r.f.UseCode(t.Context(), r.sess, "00000x")
		wantCode(t, fmt.Sprint("wrong answer ", i), broker.CodeUnauthenticated, err)
	}
	_, err := r.f.UseCode(t.Context(), r.sess, r.code(t))
	wantCode(t, "a right answer behind the lock", broker.CodeRateLimited, err)
	r.clock = r.clock.Add(5 * time.Minute)
	if _, err := r.f.UseCode(t.Context(), r.sess, r.code(t)); err != nil {
		t.Errorf("after the lock decayed: %v", err)
	}
}

// TestAttackConcurrentBruteForce ensures that many tries at once are many.
func TestAttackConcurrentBruteForce(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	var judged atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := r.f.UseCode(t.Context(), r.sess, "00000x")
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
			r := newFactorRig(t, allowed)
			recovery := r.enrolApp(t)
			r.clock = r.clock.Add(time.Minute)
			code := r.code(t)
			if kind == "recovery" {
				code = recovery[0].Reveal()
			}
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if _, err := r.f.UseCode(t.Context(), r.sess, code); err == nil {
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
	r := newFactorRig(t, allowed)
	recovery := r.enrolApp(t)
	p, err := r.f.UseCode(t.Context(), r.sess, recovery[3].Reveal())
	if err != nil {
		t.Fatal(err)
	}
	r.sess = p.Session
	_, err = r.f.UseCode(t.Context(), r.sess, recovery[3].Reveal())
	wantCode(t, "second use", broker.CodeUnauthenticated, err)
	all, err := r.f.List(t.Context(), r.sess)
	if err != nil || !slices.ContainsFunc(all, func(f broker.Factor) bool { return f.Kind == broker.FactorRecovery && f.Left == 9 }) {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestAttackEnrolmentWithAStolenSession ensures that a session is not enough to
// change factors: the sign-in must be fresh, and an existing factor used.
func TestAttackEnrolmentWithAStolenSession(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, r *factorRig)
	}{
		{"old sign-in", func(_ *testing.T, r *factorRig) { r.clock = r.clock.Add(broker.FreshAuth + time.Second) }},
		{"sign-in of an unknown time", func(_ *testing.T, r *factorRig) { r.sess.Identity.AuthnInstant = time.Time{} }},
		{"sign-in in the future", func(_ *testing.T, r *factorRig) { r.sess.Identity.AuthnInstant = r.clock.Add(time.Hour) }},
		{"a factor exists and was not used", func(t *testing.T, r *factorRig) {
			r.enrolApp(t)
			r.clock = r.clock.Add(time.Minute)
			r.signIn(t)
		}},
		{"a factor exists and was used too long ago", func(t *testing.T, r *factorRig) {
			r.enrolApp(t)
			r.clock = r.clock.Add(broker.FreshAuth + time.Second)
			r.sess.Identity.AuthnInstant = r.clock
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFactorRig(t, allowed)
			tt.change(t, r)
			before := len(r.mem.factors)
			_, err := r.f.EnrolCode(t.Context(), r.sess)
			wantCode(t, "app", broker.CodeStepUp, err)
			_, _, err = r.f.EnrolPasskey(t.Context(), r.sess)
			wantCode(t, "passkey", broker.CodeStepUp, err)
			wantCode(t, "removal", broker.CodeStepUp, r.f.Remove(t.Context(), r.sess, "x"))
			if len(r.mem.factors) != before {
				t.Error("the factors changed")
			}
			if e := r.lastEvent(t); e.Outcome != broker.OutcomeRefused || e.Action != broker.ActionMFARemove {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// TestAttackChallengeReuse ensures that a challenge is good once, in its own
// session and for its own purpose.
func TestAttackChallengeReuse(t *testing.T) {
	r := newFactorRig(t, allowed)
	enrol, _, err := r.f.EnrolPasskey(t.Context(), r.sess)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.f.UsePasskey(t.Context(), r.sess, enrol, []byte("good"))
	wantCode(t, "a challenge of enrolment at use", broker.CodeUnauthenticated, err)
	if enrol, _, err = r.f.EnrolPasskey(t.Context(), r.sess); err != nil {
		t.Fatal(err)
	}
	p, err := r.f.FinishPasskey(t.Context(), r.sess, enrol, "", []byte("good"))
	if err != nil {
		t.Fatal(err)
	}
	r.sess = p.Session
	id, _, err := r.f.BeginPasskey(t.Context(), r.sess)
	if err != nil {
		t.Fatal(err)
	}
	stolen := *r.sess
	stolen.Key = "another"
	_, err = r.f.UsePasskey(t.Context(), &stolen, id, []byte("good"))
	wantCode(t, "a challenge of another session", broker.CodeUnauthenticated, err)
	if id, _, err = r.f.BeginPasskey(t.Context(), r.sess); err != nil {
		t.Fatal(err)
	}
	_, err = r.f.UsePasskey(t.Context(), r.sess, id, []byte("bad"))
	wantCode(t, "a wrong answer", broker.CodeUnauthenticated, err)
	_, err = r.f.UsePasskey(t.Context(), r.sess, id, []byte("good"))
	wantCode(t, "a right answer to a used challenge", broker.CodeUnauthenticated, err)
	if id, _, err = r.f.BeginPasskey(t.Context(), r.sess); err != nil {
		t.Fatal(err)
	}
	r.clock = r.clock.Add(broker.ChallengeTTL)
	_, err = r.f.UsePasskey(t.Context(), r.sess, id, []byte("good"))
	wantCode(t, "too late", broker.CodeUnauthenticated, err)
}

// TestAttackFactorOfAnotherPerson ensures that a code of somebody else's app is
// no proof, and that a row copied to another person does not open.
func TestAttackFactorOfAnotherPerson(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	r.clock = r.clock.Add(time.Minute)
	mallory := *r.sess
	mallory.Identity.Subject.ID = "00u2"
	_, err := r.f.UseCode(t.Context(), &mallory, r.code(t))
	wantCode(t, "code of another person", broker.CodeUnauthenticated, err)
	for i := range r.mem.factors {
		r.mem.factors[i].Subject.ID = "00u2"
	}
	if _, err := r.f.UseCode(t.Context(), &mallory, r.code(t)); err == nil {
		t.Error("a copied row opened")
	}
}

// TestFactorsOffAreRefused ensures that nothing works where the provider's
// people prove their factor there.
func TestFactorsOffAreRefused(t *testing.T) {
	r := newFactorRig(t, broker.MFAPolicy{})
	_, err := r.f.EnrolCode(t.Context(), r.sess)
	wantCode(t, "enrol", broker.CodeDenied, err)
	_, err = r.f.UseCode(t.Context(), r.sess, "000000")
	wantCode(t, "use", broker.CodeDenied, err)
	_, err = r.f.List(t.Context(), r.sess)
	wantCode(t, "list", broker.CodeDenied, err)
}

// TestFactorNothingUnrecorded ensures that neither enrolment nor use gives
// anything when the event cannot be recorded.
func TestFactorNothingUnrecorded(t *testing.T) {
	r := newFactorRig(t, allowed)
	n, err := r.f.EnrolCode(t.Context(), r.sess)
	if err != nil {
		t.Fatal(err)
	}
	r.mem.noEvents = true
	_, err = r.f.FinishCode(t.Context(), r.sess, n.ID, "", r.code(t))
	wantCode(t, "enrol", broker.CodeUnavailable, err)
	if len(r.mem.factors) != 0 {
		t.Error("a factor was enrolled without an event")
	}
	r.mem.noEvents = false
	r.enrolApp(t)
	r.clock = r.clock.Add(time.Minute)
	r.mem.noEvents = true
	p, err := r.f.UseCode(t.Context(), r.sess, r.code(t))
	wantCode(t, "use", broker.CodeUnavailable, err)
	if p.Session != nil {
		t.Error("a session was raised without an event")
	}
}

// TestFactorReset ensures that a reset takes the factors and the sessions, and
// is an event that names who did it.
func TestFactorReset(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	n, err := r.f.Reset(t.Context(), "admin", r.sess.Identity.Subject)
	if err != nil || n != 2 || len(r.mem.factors) != 0 || len(r.mem.sessions) != 0 {
		t.Errorf("%d removed, %v; %d factors and %d sessions left", n, err, len(r.mem.factors), len(r.mem.sessions))
	}
	if e := r.lastEvent(t); e.Action != broker.ActionMFAReset || e.Username != "admin" || e.Target != "okta/00u1" {
		t.Errorf("event %+v", e)
	}
	if _, err := r.f.Reset(t.Context(), "admin", broker.Subject{}); err == nil {
		t.Error("a reset of nobody")
	}
}

// TestFactorRemoveLast ensures that the recovery codes go with the last factor.
func TestFactorRemoveLast(t *testing.T) {
	r := newFactorRig(t, allowed)
	r.enrolApp(t)
	all, err := r.f.List(t.Context(), r.sess)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(f broker.Factor) bool { return f.Kind == broker.FactorRecovery })
	wantCode(t, "recovery codes by themselves", broker.CodeNotFound, r.f.Remove(t.Context(), r.sess, all[i].ID))
	if err := r.f.Remove(t.Context(), r.sess, all[1-i].ID); err != nil || len(r.mem.factors) != 0 {
		t.Errorf("%v, %d left", err, len(r.mem.factors))
	}
}

// TestOwnFactorGraceDate ensures that a required factor is asked for from the
// grace date on, for every role, and announced before.
func TestOwnFactorGraceDate(t *testing.T) {
	r := newFactorRig(t, allowed)
	until := r.clock.Add(24 * time.Hour)
	p := broker.MFAPolicy{Own: broker.OwnFactorRequired, EnrolUntil: until}
	if p.Enforced(until.Add(-time.Second)) || !p.Enforced(until) || allowed.Enforced(until) {
		t.Error("enforced at the wrong time")
	}
	f := broker.NewFactors(broker.FactorsConfig{
		Store: r.mem, Sealer: xorSealer{}, Policies: map[broker.ProviderID]broker.MFAPolicy{"okta": p}, Now: func() time.Time { return r.clock },
	})
	got, due, err := f.Reminder(t.Context(), r.sess)
	if err != nil || !due || !got.Equal(until) {
		t.Errorf("before: %s %t %v", got, due, err)
	}
	r.clock = until
	if got, due, err = f.Reminder(t.Context(), r.sess); err != nil || !due || !got.IsZero() {
		t.Errorf("after: %s %t %v", got, due, err)
	}
}

// TestStepUpAnsweredWithLess ensures that a provider that was asked for a
// second factor and proves none ends there, and that the old session stays.
func TestStepUpAnsweredWithLess(t *testing.T) {
	r := newFactorRig(t, broker.MFAPolicy{})
	sessions := len(r.mem.sessions)
	b, err := r.in.Begin(t.Context(), broker.BeginSignIn{Provider: "okta", StepUp: &broker.StepUp{MFA: true}, Replaces: r.sess.Key})
	if err != nil {
		t.Fatal(err)
	}
	r.idp.auth.ReplayID = "again"
	_, err = r.finish(t, b)
	wantCode(t, "less than asked", broker.CodeDenied, err)
	if e, ok := errors.AsType[*broker.Error](err); !ok || e.StepUp != nil {
		t.Error("the page would ask for the same step-up again: a loop")
	}
	if len(r.mem.sessions) != sessions {
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
