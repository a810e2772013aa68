package session_test

import (
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/signin"
)

// TestAttackLogoutWhileAFactorIsUsed ensures that an end of a session is not
// lost to the new token that a used factor gives, whichever comes first.
func TestAttackLogoutWhileAFactorIsUsed(t *testing.T) {
	for _, tt := range brokertest.Ends {
		t.Run(tt.Name+", before the new token is stored", func(t *testing.T) {
			r := brokertest.Endable(t)
			r.Store.Before("replace", func() {
				if err := tt.End(t, r, r.Sess); err != nil {
					t.Error(err)
				}
			})
			p, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
			brokertest.WantCode(t, "the use", broker.CodeUnauthenticated, err)
			r.WantOver(t, p.Token)
		})
		t.Run(tt.Name+", found by its old key and ended after", func(t *testing.T) {
			r := brokertest.Endable(t)
			sess := *r.Sess
			var p factor.Proven
			use := func() {
				var err error
				if p, err = r.F.UseCode(t.Context(), &sess, r.Code(t)); err != nil {
					t.Error(err)
				}
			}
			switch tt.Name {
			case "ended everywhere": // what comes after the revocation is refused by that
				r.Store.Before("revoke", use)
			case "factors reset": // it takes the factor first
				use()
			default:
				r.Store.Before("delete", use)
			}
			if err := tt.End(t, r, &sess); err != nil {
				t.Fatal(err)
			}
			if p.Token.IsZero() {
				t.Fatal("the factor was not used in between: the test shows nothing")
			}
			r.WantOver(t, p.Token)
		})
	}
}

// TestAttackLogoutDuringStepUp ensures that an end of a session is not lost to
// the step-up that is to raise it.
func TestAttackLogoutDuringStepUp(t *testing.T) {
	begin := func(t *testing.T, r *brokertest.FactorRig, s *broker.StepUp) signin.Begun {
		t.Helper()
		b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", StepUp: s, Replaces: r.Sess.Key})
		if err != nil {
			t.Fatal(err)
		}
		r.IdP.Auth.AuthnContext.ACR, r.IdP.Auth.ReplayID = "mfa", "_up"
		return b
	}
	up := &broker.StepUp{MFA: true}
	for _, tt := range brokertest.Ends {
		t.Run(tt.Name+", at the provider", func(t *testing.T) {
			r := brokertest.Endable(t)
			b := begin(t, r, up)
			if err := tt.End(t, r, r.Sess); err != nil {
				t.Fatal(err)
			}
			out, err := r.Finish(t, b)
			brokertest.WantCode(t, "the step-up", broker.CodeUnauthenticated, err)
			r.WantOver(t, out.Token)
		})
		t.Run(tt.Name+", before the new one is stored", func(t *testing.T) {
			r := brokertest.Endable(t)
			b := begin(t, r, up)
			r.Store.Before("replace", func() {
				if err := tt.End(t, r, r.Sess); err != nil {
					t.Error(err)
				}
			})
			out, err := r.Finish(t, b)
			brokertest.WantCode(t, "the step-up", broker.CodeUnauthenticated, err)
			r.WantOver(t, out.Token)
		})
		t.Run(tt.Name+", found by its old key and ended after", func(t *testing.T) {
			r := brokertest.Endable(t)
			b := begin(t, r, up)
			sess := *r.Sess
			var out signin.Result
			finish := func() {
				var err error
				if out, err = r.Finish(t, b); err != nil {
					t.Error(err)
				}
			}
			call := "delete"
			if tt.Name == "ended everywhere" || tt.Name == "factors reset" { // what comes after the revocation is refused by that
				call = "revoke"
			}
			r.Store.Before(call, finish)
			if err := tt.End(t, r, &sess); err != nil {
				t.Fatal(err)
			}
			if out.Token.IsZero() {
				t.Fatal("the step-up did not end in between: the test shows nothing")
			}
			r.WantOver(t, out.Token)
		})
	}
	// A sign-in that is no step-up is one anew: nothing is raised by it.
	r := brokertest.Endable(t)
	b := begin(t, r, nil)
	if _, err := r.Out.End(t.Context(), r.Sess, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	out, err := r.Finish(t, b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Acc.Authenticate(t.Context(), out.Token); err != nil {
		t.Error(err)
	}
}
