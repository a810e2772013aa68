package program_test

import (
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// TestAttackExchangeWithAClockAhead ensures that a sign-in which begins in the
// future, as a revocation on a node that is ahead makes it, is passed on once too.
func TestAttackExchangeWithAClockAhead(t *testing.T) {
	r := brokertest.New(t)
	alice := r.SignIn(t)
	// revoked on a node whose clock is an hour ahead
	if err := r.Store.RevokeBefore(t.Context(), alice.Identity.Subject, r.Clock.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.IdP.Auth.ReplayID += "+"
	alice = r.SignIn(t)
	own, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, alice), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 6 {
		c, _, err := r.Dev.RegisterClient("tool", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Dev.Exchange(t.Context(), r.CLI(t), own.Access, c); err == nil {
			n++
		} else {
			t.Log(err)
		}
		r.Clock = r.Clock.Add(program.ExchangeWindow*2 + time.Second)
	}
	if n != 1 {
		t.Errorf("exchanged %d times, over 50 minutes", n)
	}
}

// TestEndedProgramsDoNotCount ensures that what was passed on from a sign-in that
// has ended neither counts nor is shown.
func TestEndedProgramsDoNotCount(t *testing.T) {
	r := brokertest.New(t)
	alice := r.SignIn(t)
	c, _, err := r.Dev.RegisterClient("tool", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 101 {
		own, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, alice), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
		if err != nil {
			t.Fatalf("sign-in %d, with no program acting: %v", i, err)
		}
		if _, err := r.Dev.Exchange(t.Context(), r.CLI(t), own.Access, c); err != nil {
			t.Fatal(i, err)
		}
		if err := r.Dev.SignOut(t.Context(), own.Access); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			infos, err := r.Broker().Book.Of(t.Context(), alice.Identity.Subject)
			if err != nil || len(infos) != 1 {
				t.Errorf("%d sessions are shown after the program signed out, %v", len(infos), err)
			}
		}
	}
}
