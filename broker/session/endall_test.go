package session_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
)

func revoked(s broker.Subject) journal.Entry {
	return journal.Entry{Action: broker.ActionRevoke, Username: "the operator", Target: s.String()}
}

// crowd puts sessions of many people into the store, two for each: half of the
// people are of okta, half of other.
func crowd(r *brokertest.Rig, people int) {
	for n := range 2 * people {
		sub := broker.Subject{Provider: []broker.ProviderID{"okta", "other"}[n%2], ID: fmt.Sprint("u", n%people)}
		at := r.Now().Add(-time.Duration(n) * time.Second)
		r.Store.SetSession(broker.SessionRow{
			Key: broker.NewSecret(fmt.Sprint(n)).Hash(), Subject: sub, CreatedAt: at, LastUsedAt: at, ExpiresAt: r.Now().Add(time.Hour),
		})
	}
}

// TestRevokeAll ensures that everybody's sessions end, or everybody's of one
// provider, over more than one page, with true numbers and an event for each
// person.
func TestRevokeAll(t *testing.T) {
	const people = 520 // more than a page of sessions for each provider
	for _, tt := range []struct {
		provider broker.ProviderID
		want     session.Revoked
		left     int
	}{
		{"okta", session.Revoked{People: people / 2, Sessions: people}, people},
		{"", session.Revoked{People: people, Sessions: 2 * people}, 0},
		{"nobody", session.Revoked{}, 2 * people},
	} {
		t.Run("provider "+string(tt.provider), func(t *testing.T) {
			r := brokertest.New(t)
			crowd(r, people)
			got, err := r.People.RevokeAll(t.Context(), tt.provider, revoked)
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v", got, err)
			}
			if n := len(r.Store.Sessions()); n != tt.left {
				t.Errorf("%d sessions are left", n)
			}
			told := map[string]bool{}
			for _, e := range r.Store.AllEvents() {
				if e.Action == broker.ActionRevoke && e.Detail["sessions"] == "2" && e.Username == "the operator" {
					told[e.Target] = true
				}
			}
			if len(told) != tt.want.People {
				t.Errorf("events for %d people", len(told))
			}
		})
	}
}

// TestRevokeAllWhatFails ensures that a failure is told with what happened, and
// that sessions end even where their event cannot be kept.
func TestRevokeAllWhatFails(t *testing.T) {
	r := brokertest.New(t)
	crowd(r, 4)
	r.Store.Down(true)
	got, err := r.People.RevokeAll(t.Context(), "", revoked)
	brokertest.WantCode(t, "while the store is down", broker.CodeUnavailable, err)
	r.Store.Down(false)
	if got != (session.Revoked{}) || len(r.Store.Sessions()) != 8 {
		t.Errorf("%+v", got)
	}
	r.Store.LoseEvents(true)
	got, err = r.People.RevokeAll(t.Context(), "", revoked)
	brokertest.WantCode(t, "without events", broker.CodeUnavailable, err)
	if got != (session.Revoked{People: 4, Sessions: 8}) || len(r.Store.Sessions()) != 0 {
		t.Errorf("%+v, %d sessions are left", got, len(r.Store.Sessions()))
	}
}

// TestAttackSignInsFasterThanRevocation ensures that an end of all sessions ends
// itself while somebody signs in without pause, and says that it did not get
// through.
func TestAttackSignInsFasterThanRevocation(t *testing.T) {
	r := brokertest.New(t)
	n := 0
	var again func()
	again = func() {
		n++
		at := r.Now()
		r.Store.SetSession(broker.SessionRow{
			Key: broker.NewSecret(fmt.Sprint("more", n)).Hash(), Subject: broker.Subject{Provider: "okta", ID: fmt.Sprint("m", n)},
			CreatedAt: at, LastUsedAt: at, ExpiresAt: at.Add(time.Hour),
		})
		r.Store.Before("revoke", again)
	}
	again()
	_, err := r.People.RevokeAll(t.Context(), "", revoked)
	brokertest.WantCode(t, "sign-ins without pause", broker.CodeConflict, err)
}
