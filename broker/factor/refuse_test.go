package factor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/factor"
)

// TestEveryUseAsksWhetherOffered ensures that no use case works where the
// provider's people prove their factor there, nor that a stolen session does with
// a page that was opened before.
func TestEveryUseAsksWhetherOffered(t *testing.T) {
	id, ctx := broker.NewSecret("x"), t.Context()
	for _, tt := range []struct {
		name    string
		changes bool
		do      func(r *brokertest.FactorRig) error
	}{
		{"list", false, func(r *brokertest.FactorRig) error { _, err := r.F.List(ctx, r.Sess); return err }},
		{"use of a code", false, func(r *brokertest.FactorRig) error { _, err := r.F.UseCode(ctx, r.Sess, "000000"); return err }},
		{"begin of a passkey", false, func(r *brokertest.FactorRig) error { _, _, err := r.F.BeginPasskey(ctx, r.Sess); return err }},
		{"use of a passkey", false, func(r *brokertest.FactorRig) error { _, err := r.F.UsePasskey(ctx, r.Sess, id, nil); return err }},
		{"may change", true, func(r *brokertest.FactorRig) error { return r.F.MayChange(ctx, r.Sess) }},
		{"enrolment of an app", true, func(r *brokertest.FactorRig) error { _, err := r.F.EnrolCode(ctx, r.Sess); return err }},
		{"the same page again", true, func(r *brokertest.FactorRig) error { _, err := r.F.ResumeCode(ctx, r.Sess, id); return err }},
		{"end of it", true, func(r *brokertest.FactorRig) error {
			_, err := r.F.FinishCode(ctx, r.Sess, id, "", "000000")
			return err
		}},
		{"enrolment of a passkey", true, func(r *brokertest.FactorRig) error { _, _, err := r.F.EnrolPasskey(ctx, r.Sess); return err }},
		{"end of it", true, func(r *brokertest.FactorRig) error {
			_, err := r.F.FinishPasskey(ctx, r.Sess, id, "", []byte("good"))
			return err
		}},
		{"removal", true, func(r *brokertest.FactorRig) error { return r.F.Remove(ctx, r.Sess, "x") }},
	} {
		off := brokertest.NewFactorRig(t, broker.MFAPolicy{})
		brokertest.WantCode(t, tt.name+" where it is off", broker.CodeDenied, tt.do(off))
		if !tt.changes {
			continue
		}
		old := brokertest.NewFactorRig(t, brokertest.Allowed)
		old.Clock = old.Clock.Add(factor.FreshAuth + time.Microsecond)
		brokertest.WantCode(t, tt.name+" with an old sign-in", broker.CodeStepUp, tt.do(old))
	}
}

// TestChangesInTheLastMoment ensures where the times end within which factors may
// be changed.
func TestChangesInTheLastMoment(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	may := func(what string, signedIn, used time.Duration, want broker.Code) {
		t.Helper()
		s := *r.Sess
		s.Identity.AuthnInstant = r.Clock.Add(-signedIn)
		s.Own = &broker.OwnProof{Kind: broker.FactorCode, At: r.Clock.Add(-used)}
		brokertest.WantCode(t, what, want, r.F.MayChange(t.Context(), &s))
	}
	may("signed in just in time", factor.FreshAuth, 0, "")
	may("signed in too long ago", factor.FreshAuth+1, 0, broker.CodeStepUp)
	may("a clock that is ahead a little", -2*time.Minute, 0, "")
	may("a clock that is ahead too much", -2*time.Minute-1, 0, broker.CodeStepUp)
	may("no factor to use", 0, time.Hour, "")
	r.EnrolApp(t)
	may("used just in time", 0, factor.FreshAuth, "")
	may("used too long ago", 0, factor.FreshAuth+1, broker.CodeStepUp)
}

// TestAttackBruteForcePasskey ensures that wrong answers of passkeys and first
// codes of apps are counted as those of codes are, in the same words.
func TestAttackBruteForcePasskey(t *testing.T) {
	t.Run("passkey", func(t *testing.T) {
		r := brokertest.NewFactorRig(t, brokertest.Allowed)
		passkey(t, r)
		for n := range 6 {
			id, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
			if err != nil {
				t.Fatal(err)
			}
			answer, want := []byte("bad"), broker.CodeUnauthenticated
			if n == 5 {
				answer, want = []byte("good"), broker.CodeRateLimited
			}
			_, err = r.F.UsePasskey(t.Context(), r.Sess, id, answer)
			brokertest.WantCode(t, string(answer), want, err)
			if n == 5 && broker.Message(err) != "There were too many wrong answers to the second factor." {
				t.Error(broker.Message(err))
			}
		}
	})
	t.Run("first code", func(t *testing.T) {
		r := brokertest.NewFactorRig(t, brokertest.Allowed)
		begun, err := r.F.EnrolCode(t.Context(), r.Sess)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, err := r.F.FinishCode(t.Context(), r.Sess, begun.ID, "", "00000x")
			brokertest.WantCode(t, "a wrong code", broker.CodeUnauthenticated, err)
		}
		_, err = r.F.FinishCode(t.Context(), r.Sess, begun.ID, "", r.Code(t))
		brokertest.WantCode(t, "a right code behind the lock", broker.CodeRateLimited, err)
		if len(r.Store.AllFactors()) != 0 {
			t.Error("a factor was enrolled")
		}
	})
}

// TestAttackForeignCeremony ensures that a begun ceremony is of its session, its
// person and its purpose, at each of its ends.
func TestAttackForeignCeremony(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	begun, err := r.F.EnrolCode(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	other, mallory := *r.Sess, *r.Sess
	other.Key = "another"
	mallory.Identity.Subject.ID = "00u2"
	for _, tt := range []struct {
		name string
		sess *broker.Session
	}{{"another session", &other}, {"another person", &mallory}} {
		_, err := r.F.ResumeCode(t.Context(), tt.sess, begun.ID)
		brokertest.WantCode(t, "the page, "+tt.name, broker.CodeUnauthenticated, err)
		_, err = r.F.FinishCode(t.Context(), tt.sess, begun.ID, "", r.Code(t))
		brokertest.WantCode(t, "the end, "+tt.name, broker.CodeUnauthenticated, err)
	}
	for _, id := range []broker.Secret{{}, broker.NewSecret("made-up"), broker.NewSecret(strings.Repeat("x", 129))} {
		_, err := r.F.ResumeCode(t.Context(), r.Sess, id)
		brokertest.WantCode(t, "a page that nobody opened", broker.CodeUnauthenticated, err)
		_, err = r.F.FinishCode(t.Context(), r.Sess, id, "", r.Code(t))
		brokertest.WantCode(t, "the end of it", broker.CodeUnauthenticated, err)
		if got := broker.Message(err); got != "This page has waited too long, or was used before." {
			t.Error(got)
		}
	}
	if n, err := r.F.ResumeCode(t.Context(), r.Sess, begun.ID); err != nil || n.Key.Secret.Reveal() != brokertest.TestKey {
		t.Error("its own:", err)
	}
	p, err := r.F.FinishPasskey(t.Context(), r.Sess, begun.ID, "", []byte("good"))
	brokertest.WantCode(t, "a passkey in the ceremony of an app", broker.CodeUnauthenticated, err)
	if p.Session != nil || len(r.Store.AllFactors()) != 0 {
		t.Error("a factor was enrolled")
	}
	_, _, err = r.F.BeginPasskey(t.Context(), r.Sess)
	brokertest.WantCode(t, "use of a passkey without one", broker.CodeNotFound, err)
	r.EnrolApp(t)
	_, _, err = r.F.BeginPasskey(t.Context(), r.Sess)
	brokertest.WantCode(t, "use of a passkey with an app", broker.CodeNotFound, err)
}

// TestAttackEnrolTwiceAtOnce ensures that of two right first codes at once one
// enrols.
func TestAttackEnrolTwiceAtOnce(t *testing.T) {
	r, trap := trapped(t)
	begun, err := r.F.EnrolCode(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	sess := *r.Sess
	trap.Once("take", "mfa/", func() {
		if _, err := r.F.FinishCode(t.Context(), &sess, begun.ID, "", r.Code(t)); err != nil {
			t.Error(err)
		}
	})
	_, err = r.F.FinishCode(t.Context(), r.Sess, begun.ID, "", r.Code(t))
	brokertest.WantCode(t, "the slower one", broker.CodeUnauthenticated, err)
	if n := len(r.Store.AllFactors()); n != 2 {
		t.Errorf("%d factors, want the app and the recovery codes", n)
	}
}

// easy is a passkey of which every answer is right.
type easy struct{ brokertest.Passkeys }

func (easy) FinishEnrol(broker.PasskeyUser, []byte, []byte) (string, []byte, error) {
	return "id", []byte(`{"n":1}`), nil
}

func (easy) FinishUse(broker.PasskeyUser, [][]byte, []byte, []byte) (int, []byte, error) {
	return 0, []byte(`{"n":2}`), nil
}

// TestAttackHugeAnswer ensures that no answer of a browser is read that is longer
// than one can be.
func TestAttackHugeAnswer(t *testing.T) {
	const most = 16 << 10
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	change(t, r, func(c *factor.Config) { c.Passkeys = easy{} })
	enrol := func(size int) error {
		id, _, err := r.F.EnrolPasskey(t.Context(), r.Sess)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.F.FinishPasskey(t.Context(), r.Sess, id, "", make([]byte, size))
		if err == nil {
			r.Sess = p.Session
		}
		return err
	}
	use := func(size int) error {
		id, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.F.UsePasskey(t.Context(), r.Sess, id, make([]byte, size))
		if err == nil {
			r.Sess = p.Session
		}
		return err
	}
	brokertest.WantCode(t, "enrolment, too long", broker.CodeUnauthenticated, enrol(most+1))
	brokertest.WantCode(t, "enrolment, as long as may be", "", enrol(most))
	brokertest.WantCode(t, "use, too long", broker.CodeUnauthenticated, use(most+1))
	brokertest.WantCode(t, "use, as long as may be", "", use(most))
}

// TestAttackSpoiledFactor ensures that a factor that was written past rolegate is
// an error of the store, and no wrong answer and no proof.
func TestAttackSpoiledFactor(t *testing.T) {
	use := func(t *testing.T, r *brokertest.FactorRig) error {
		_, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
		return err
	}
	for _, tt := range []struct {
		name string
		kind broker.FactorKind
		do   func(t *testing.T, r *brokertest.FactorRig) error
	}{
		{"list", broker.FactorRecovery, func(t *testing.T, r *brokertest.FactorRig) error {
			_, err := r.F.List(t.Context(), r.Sess)
			return err
		}},
		{"use of a recovery code", broker.FactorRecovery, func(t *testing.T, r *brokertest.FactorRig) error {
			_, err := r.F.UseCode(t.Context(), r.Sess, "aaaa-aaaa-aaaa-aaaa")
			return err
		}},
		{"use of an app", broker.FactorCode, use},
		{"use of a passkey", broker.FactorPasskey, func(t *testing.T, r *brokertest.FactorRig) error {
			_, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
			return err
		}},
		{"enrolment of a second passkey", broker.FactorPasskey, func(t *testing.T, r *brokertest.FactorRig) error {
			_, _, err := r.F.EnrolPasskey(t.Context(), r.Sess)
			return err
		}},
	} {
		for what, body := range map[string]func(r broker.FactorRow) []byte{
			"not sealed": func(broker.FactorRow) []byte { return []byte("{}") },
			"sealed, but no JSON": func(x broker.FactorRow) []byte {
				b, err := brokertest.Sealer{}.Seal([]byte("x"), "factor/"+string(x.Kind)+"/"+x.ID+"/"+x.Subject.String())
				if err != nil {
					t.Fatal(err)
				}
				return b
			},
		} {
			t.Run(tt.name+", "+what, func(t *testing.T) {
				r := brokertest.NewFactorRig(t, brokertest.Allowed)
				passkey(t, r)
				r.EnrolApp(t)
				for _, x := range r.Store.AllFactors() {
					if x.Kind == tt.kind {
						r.Store.Exec(`update factors set body = ? where id = ?`, body(x), x.ID)
					}
				}
				if err := tt.do(t, r); err == nil || broker.CodeOf(err) == broker.CodeUnauthenticated || broker.CodeOf(err) == broker.CodeNotFound {
					t.Errorf("code %q of %v", broker.CodeOf(err), err)
				}
			})
		}
	}
	t.Run("spoiled between the two halves of a use", func(t *testing.T) {
		r := brokertest.NewFactorRig(t, brokertest.Allowed)
		passkey(t, r)
		id, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
		if err != nil {
			t.Fatal(err)
		}
		r.Store.Exec(`update factors set body = ?`, []byte("{}"))
		p, err := r.F.UsePasskey(t.Context(), r.Sess, id, []byte("good"))
		if err == nil || broker.CodeOf(err) == broker.CodeUnauthenticated || p.Session != nil {
			t.Errorf("session %v, %v", p.Session, err)
		}
	})
}

// TestAttackFactorUsedElsewhere ensures that who loses the race for a factor is
// refused, and that no proof comes to a session that has ended.
func TestAttackFactorUsedElsewhere(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	passkey(t, r)
	id, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	change(t, r, func(c *factor.Config) { c.Store = broken{FactorStore: r.Store, lose: true} })
	p, err := r.F.UsePasskey(t.Context(), r.Sess, id, []byte("good"))
	brokertest.WantCode(t, "a passkey that was used at the same time", broker.CodeUnauthenticated, err)
	if p.Session != nil {
		t.Error("the session was raised")
	}
	for name, gone := range map[string]func(r *brokertest.FactorRig){
		"before":    func(r *brokertest.FactorRig) { r.Store.DropSessions() },
		"meanwhile": func(r *brokertest.FactorRig) { r.Store.Before("replace", func() { r.Store.DropSessions() }) },
	} {
		r := brokertest.NewFactorRig(t, brokertest.Allowed)
		r.EnrolApp(t)
		r.Clock = r.Clock.Add(time.Minute)
		gone(r)
		p, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
		brokertest.WantCode(t, "the session ended "+name, broker.CodeUnauthenticated, err)
		if p.Session != nil || broker.Message(err) != "Your session has ended." {
			t.Errorf("session %v, %v", p.Session, err)
		}
	}
}

// TestResetOfNobody ensures that the reset of nobody leaves no event that says
// there was one.
func TestResetOfNobody(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	before := len(r.Store.AllEvents())
	if _, err := r.Broker().Resetter.Reset(t.Context(), "admin", broker.Subject{Provider: "okta"}); err == nil {
		t.Error("it was done")
	}
	if events := r.Store.AllEvents()[before:]; len(events) != 0 {
		t.Errorf("events %+v", events)
	}
}

// TestFactorsAreCounted ensures that ten factors are enrolled at most, that each
// has a name, and that recovery codes come with the first and go with the last.
func TestFactorsAreCounted(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	for n := range 10 {
		if codes := r.EnrolApp(t); (len(codes) > 0) != (n == 0) {
			t.Errorf("factor %d brought %d recovery codes", n+1, len(codes))
		}
	}
	begun, err := r.F.EnrolCode(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.F.FinishCode(t.Context(), r.Sess, begun.ID, "", r.Code(t))
	brokertest.WantCode(t, "an eleventh factor", broker.CodeConflict, err)
	r.Store.Exec(`update factors set created_at = created_at + 1 where kind = ?`, string(broker.FactorRecovery)) // so that an app is the first
	all, err := r.F.List(t.Context(), r.Sess)
	if err != nil || len(all) != 11 || all[0].Kind != broker.FactorCode {
		t.Fatalf("%d factors, %v", len(all), err)
	}
	names := map[string]bool{}
	for _, f := range all {
		names[f.Name] = true
		if f.Kind != broker.FactorRecovery && f.Left != 0 {
			t.Errorf("%+v", f)
		}
	}
	if len(names) != 11 || !names["Authenticator app 1"] || !names["Authenticator app 2"] || !names["Authenticator app 10"] || !names["Recovery codes"] {
		t.Errorf("names %v", names)
	}
	brokertest.WantCode(t, "removal of what is not there", broker.CodeNotFound, r.F.Remove(t.Context(), r.Sess, "x"))
	left := 11
	for _, f := range all {
		if f.Kind == broker.FactorRecovery {
			continue
		}
		if err := r.F.Remove(t.Context(), r.Sess, f.ID); err != nil {
			t.Fatal(err)
		}
		if left--; left == 1 {
			left = 0 // the recovery codes went too
		}
		rest := r.Store.AllFactors()
		if len(rest) != left {
			t.Fatalf("%d factors are left, want %d", len(rest), left)
		}
		for _, x := range rest {
			if x.ID == f.ID {
				t.Error("another factor was removed")
			}
		}
	}
}
