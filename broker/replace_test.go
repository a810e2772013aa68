package broker_test

import (
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// ends are the ways in which a session is ended while something else happens.
var ends = []struct {
	name string
	end  func(t *testing.T, r *factorRig, sess *broker.Session) error
}{
	{"signed out", func(t *testing.T, r *factorRig, sess *broker.Session) error {
		_, err := r.out.End(t.Context(), sess, broker.Secret{})
		return err
	}},
	{"ended from another browser", func(t *testing.T, r *factorRig, sess *broker.Session) error {
		return r.people.EndOwn(t.Context(), sess, sess.Key)
	}},
	{"ended everywhere", func(t *testing.T, r *factorRig, sess *broker.Session) error {
		return r.people.EndEverywhere(t.Context(), sess)
	}},
	{"ended by an administrator", func(t *testing.T, r *factorRig, sess *broker.Session) error {
		admin := *sess
		admin.Identity.MFA = true
		return r.admin.End(t.Context(), &admin, sess.Key)
	}},
	{"back-channel logout", func(t *testing.T, r *factorRig, _ *broker.Session) error {
		r.hears("l1", named("alice", "i1"))
		_, _, err := r.out.Receive(t.Context(), "okta", broker.LogoutMessage{})
		return err
	}},
	{"factors reset", func(t *testing.T, r *factorRig, sess *broker.Session) error {
		_, err := r.f.Reset(t.Context(), "admin", sess.Identity.Subject)
		return err
	}},
}

// endable is a person with an app, signed in without proof.
func endable(t *testing.T) *factorRig {
	t.Helper()
	r := newFactorRig(t, allowed)
	r.aws.admins = "g"
	r.enrolApp(t)
	r.clock = r.clock.Add(time.Minute)
	clear(r.mem.sessions)
	r.idp.auth.NameID, r.idp.auth.SessionIndex = "alice", "i1"
	r.signIn(t)
	return r
}

func (r *factorRig) wantOver(t *testing.T, token broker.Secret) {
	t.Helper()
	_, err := r.acc.Authenticate(t.Context(), token)
	wantCode(t, "the session that was ended", broker.CodeUnauthenticated, err)
	for _, row := range r.mem.sessions {
		if row.CreatedAt.After(r.mem.revoked[row.Subject]) {
			t.Errorf("the session of %s lives", row.Subject)
		}
	}
}

// TestAttackLogoutWhileAFactorIsUsed ensures that an end of a session is not
// lost to the new token that a used factor gives, whichever comes first.
func TestAttackLogoutWhileAFactorIsUsed(t *testing.T) {
	for _, tt := range ends {
		t.Run(tt.name+", before the new token is stored", func(t *testing.T) {
			r := endable(t)
			r.mem.before = map[string]func(){"replace": func() {
				if err := tt.end(t, r, r.sess); err != nil {
					t.Error(err)
				}
			}}
			p, err := r.f.UseCode(t.Context(), r.sess, r.code(t))
			if tt.name != "ended everywhere" { // that is kept beside the session and judged at its next use
				wantCode(t, "the use", broker.CodeUnauthenticated, err)
			}
			r.wantOver(t, p.Token)
		})
		t.Run(tt.name+", found by its old key and ended after", func(t *testing.T) {
			r := endable(t)
			sess := *r.sess
			var p broker.Proven
			use := func() {
				var err error
				if p, err = r.f.UseCode(t.Context(), &sess, r.code(t)); err != nil {
					t.Error(err)
				}
			}
			r.mem.before = map[string]func(){"delete": use}
			if tt.name == "ended everywhere" || tt.name == "factors reset" { // it deletes nothing, or the factor before
				use()
				r.mem.before = nil
			}
			if err := tt.end(t, r, &sess); err != nil {
				t.Fatal(err)
			}
			if p.Token.IsZero() {
				t.Fatal("the factor was not used in between: the test shows nothing")
			}
			r.wantOver(t, p.Token)
		})
	}
}

// TestAttackLogoutDuringStepUp ensures that an end of a session is not lost to
// the step-up that is to raise it.
func TestAttackLogoutDuringStepUp(t *testing.T) {
	begin := func(t *testing.T, r *factorRig, s *broker.StepUp) broker.Begun {
		t.Helper()
		b, err := r.in.Begin(t.Context(), broker.BeginSignIn{Provider: "okta", StepUp: s, Replaces: r.sess.Key})
		if err != nil {
			t.Fatal(err)
		}
		r.idp.auth.AuthnContext.ACR, r.idp.auth.ReplayID = "mfa", "_up"
		return b
	}
	up := &broker.StepUp{MFA: true}
	for _, tt := range ends {
		t.Run(tt.name+", at the provider", func(t *testing.T) {
			r := endable(t)
			b := begin(t, r, up)
			if err := tt.end(t, r, r.sess); err != nil {
				t.Fatal(err)
			}
			out, err := r.finish(t, b)
			wantCode(t, "the step-up", broker.CodeUnauthenticated, err)
			r.wantOver(t, out.Token)
		})
		t.Run(tt.name+", before the new one is stored", func(t *testing.T) {
			r := endable(t)
			b := begin(t, r, up)
			r.mem.before = map[string]func(){"replace": func() {
				if err := tt.end(t, r, r.sess); err != nil {
					t.Error(err)
				}
			}}
			out, err := r.finish(t, b)
			if tt.name != "ended everywhere" {
				wantCode(t, "the step-up", broker.CodeUnauthenticated, err)
			}
			r.wantOver(t, out.Token)
		})
		t.Run(tt.name+", found by its old key and ended after", func(t *testing.T) {
			r := endable(t)
			b := begin(t, r, up)
			sess := *r.sess
			var out broker.SignedIn
			finish := func() {
				var err error
				if out, err = r.finish(t, b); err != nil {
					t.Error(err)
				}
			}
			r.mem.before = map[string]func(){"delete": finish}
			if tt.name == "ended everywhere" {
				finish()
				r.mem.before = nil
			}
			if err := tt.end(t, r, &sess); err != nil {
				t.Fatal(err)
			}
			if out.Token.IsZero() {
				t.Fatal("the step-up did not end in between: the test shows nothing")
			}
			r.wantOver(t, out.Token)
		})
	}
	// A sign-in that is no step-up is one anew: nothing is raised by it.
	r := endable(t)
	b := begin(t, r, nil)
	if _, err := r.out.End(t.Context(), r.sess, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	out, err := r.finish(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.acc.Authenticate(t.Context(), out.Token); err != nil {
		t.Error(err)
	}
}
