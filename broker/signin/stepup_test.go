package signin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/signin"
)

// deafOnce loses the first event.
type deafOnce struct {
	*brokertest.Store
	heard *bool
}

func (s deafOnce) Record(ctx context.Context, e broker.Event) error {
	if !*s.heard {
		*s.heard = true
		return brokertest.ErrDown
	}
	return s.Store.Record(ctx, e)
}

// onceDeaf is a journal that loses its first event and keeps the others.
func onceDeaf(t *testing.T, r *brokertest.Rig) *journal.Journal {
	t.Helper()
	j, err := journal.New(journal.Config{Events: deafOnce{r.Store, new(bool)}, State: r.Store, Now: r.Now})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestSecondFactor ensures that proof of a second factor is asked for exactly
// where it is needed, in every way to sign in, and that who has less is told what
// to do and keeps the session that they had.
func TestSecondFactor(t *testing.T) {
	const here, there = "rolegate's own second factor", "Set up a second factor at Okta"
	for _, tt := range []struct {
		name   string
		policy broker.MFAPolicy
		stepUp *broker.StepUp
		acr    string
		want   broker.Code
		fix    string
	}{
		{"not needed, not there", broker.MFAPolicy{}, nil, "pwd", "", ""},
		{"not needed, there", broker.MFAPolicy{}, nil, "mfa", "", ""},
		{"needed, not there", broker.MFAPolicy{Required: true}, nil, "pwd", broker.CodeStepUp, "Sign in again with your second factor"},
		{"needed, there", broker.MFAPolicy{Required: true}, nil, "mfa", "", ""},
		{"asked for, not there", broker.MFAPolicy{}, &broker.StepUp{MFA: true}, "pwd", broker.CodeDenied, there},
		{"asked for, not there, with one of our own", brokertest.Allowed, &broker.StepUp{MFA: true}, "pwd", broker.CodeDenied, here},
		{"asked for, there", broker.MFAPolicy{}, &broker.StepUp{MFA: true}, "mfa", "", ""},
		{"fresh, not stronger", broker.MFAPolicy{}, &broker.StepUp{MaxAuthAge: time.Minute}, "pwd", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			old := r.SignInAs(t, "_0")
			r.IdP.Auth.AuthnContext.ACR, r.Policy = tt.acr, tt.policy
			r.Limit(t, nil)
			b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", StepUp: tt.stepUp, Replaces: old.Key})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := r.IdP.Last.WantMFA, tt.stepUp != nil && tt.stepUp.MFA; got != want {
				t.Errorf("a second factor is asked for: %t", got)
			}
			out, err := r.Finish(t, b)
			brokertest.WantCode(t, "the sign-in", tt.want, err)
			if out.Token.IsZero() != (tt.want != "") || r.Alive(old) != (tt.want != "") {
				t.Errorf("token %t, the old session is there: %t", !out.Token.IsZero(), r.Alive(old))
			}
			if !strings.Contains(broker.Remedy(err), tt.fix) {
				t.Errorf("remedy %q", broker.Remedy(err))
			}
		})
	}
	t.Run("needed since the person was asked", func(t *testing.T) {
		r := brokertest.New(t)
		r.IdP.Unasked, r.IdP.Auth.AuthnContext.ACR = true, "pwd"
		a, err := r.Unasked(t, "", broker.Secret{})
		if err != nil {
			t.Fatal(err)
		}
		r.Policy.Required = true
		r.Limit(t, nil)
		_, _, err = r.In.Agree(t.Context(), agreement(a))
		brokertest.WantCode(t, "the agreement", broker.CodeStepUp, err)
		if len(r.Store.Sessions()) != 0 {
			t.Error("a session was made")
		}
	})
}

// TestAttackStepUpOfWhatEnded ensures that a step-up raises no session that was
// ended, before the answer came or while the new one is stored, while who signs
// in anew is not kept out by that.
func TestAttackStepUpOfWhatEnded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stepUp *broker.StepUp
		when   func(r *brokertest.Rig, end func())
		want   broker.Code
	}{
		{"step-up, ended at the provider", &broker.StepUp{}, func(_ *brokertest.Rig, end func()) { end() }, broker.CodeUnauthenticated},
		{"step-up, ended while the new one is stored", &broker.StepUp{}, func(r *brokertest.Rig, end func()) {
			r.Store.Before("replace", end)
		}, broker.CodeUnauthenticated},
		{"sign-in, ended at the provider", nil, func(_ *brokertest.Rig, end func()) { end() }, ""},
		{"sign-in, ended while the new one is stored", nil, func(r *brokertest.Rig, end func()) { r.Store.Before("replace", end) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			old := r.SignInAs(t, "_0")
			b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", StepUp: tt.stepUp, Replaces: old.Key})
			if err != nil {
				t.Fatal(err)
			}
			hit := false
			tt.when(r, func() { hit = true; r.Store.DropSessions(old.Key) })
			out, err := r.Finish(t, b)
			brokertest.WantCode(t, "the answer", tt.want, err)
			if !hit || len(r.Store.Sessions()) != map[bool]int{true: 1, false: 0}[tt.want == ""] || out.Token.IsZero() != (tt.want != "") {
				t.Errorf("in between: %t; %d sessions", hit, len(r.Store.Sessions()))
			}
		})
	}
}

// TestSuccession ensures that the session of the same person takes the place of
// the one before, so that an end of that one meets it, and that of another person
// does not: it is one of its own.
func TestSuccession(t *testing.T) {
	for _, tt := range []struct {
		name string
		next string // who signs in over alice's session
		heir bool
	}{{"the same person", "00u1", true}, {"another person", "00u2", false}} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			old := r.SignInAs(t, "_0")
			r.IdP.Auth.Subject.ID = tt.next
			b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", Replaces: old.Key})
			if err != nil {
				t.Fatal(err)
			}
			out, err := r.Finish(t, b)
			if err != nil || r.Alive(old) || !r.Alive(out.Session) {
				t.Fatalf("%v; the old one is there: %t", err, r.Alive(old))
			}
			if err := r.People.Remove(t.Context(), old.Key); err != nil {
				t.Fatal(err)
			}
			if r.Alive(out.Session) == tt.heir {
				t.Errorf("after the end of the old one the new one is there: %t", r.Alive(out.Session))
			}
		})
	}
	for _, call := range []string{"save", "delete"} {
		t.Run("another person, and the store fails to "+call, func(t *testing.T) {
			r := brokertest.New(t)
			old := r.SignInAs(t, "_0")
			r.IdP.Auth.Subject.ID = "00u2"
			b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", Replaces: old.Key})
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := failing(t, r, call, "").Finish(t.Context(), signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding})
			brokertest.WantCode(t, "the sign-in", broker.CodeUnavailable, err)
			if !out.Token.IsZero() || !r.Alive(old) {
				t.Errorf("token %t, the old one is there: %t", !out.Token.IsZero(), r.Alive(old))
			}
		})
	}
}

// TestLogoutBySubject ensures that a provider may name a person by nothing but
// their lasting id.
func TestLogoutBySubject(t *testing.T) {
	r := brokertest.New(t)
	alice, bob := r.As(t, "00u1", "alice", "i1"), r.As(t, "00u2", "bob", "i2")
	r.Hears("r1", broker.SessionFilter{Provider: "okta", SubjectID: "00u1"})
	if _, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{}); err != nil || r.Alive(alice) || !r.Alive(bob) {
		t.Errorf("%v; alice's is there: %t, bob's: %t", err, r.Alive(alice), r.Alive(bob))
	}
}
