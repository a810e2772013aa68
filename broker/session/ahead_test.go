package session_test

import (
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
)

// TestAttackRevokedAfterAClockAhead ensures that a session which is being made when
// the person is revoked ends with the others, also after an earlier revocation on
// a node whose clock is ahead.
func TestAttackRevokedAfterAClockAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, time.Hour} {
		r := brokertest.New(t)
		alice := r.SignIn(t)
		sub := alice.Identity.Subject
		if ahead > 0 {
			if err := r.Store.RevokeBefore(t.Context(), sub, r.Clock.Add(ahead)); err != nil {
				t.Fatal(err)
			}
		}
		r.Clock = r.Clock.Add(time.Minute)
		r.Store.Before("save", func() {
			r.Advance(time.Second)
			if _, err := r.Broker().Book.Revoke(t.Context(), sub, journal.Entry{Action: broker.ActionRevoke}); err != nil {
				t.Error(err)
			}
		})
		r.IdP.Auth.ReplayID += "+"
		b := r.Begin(t)
		res, err := r.Finish(t, b)
		if err == nil {
			if _, err := r.Broker().Book.Live(t.Context(), res.Session.Key); err == nil {
				t.Errorf("ahead %s: a session that was being made when the person was revoked lives", ahead)
			}
		}
	}
}
