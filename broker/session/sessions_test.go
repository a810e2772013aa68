package session_test

import (
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no zone files

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestSignOutEverywhere ensures that every session of the person that has begun
// is dead at its next use, a sign-in in flight at that time too if it had got
// its session, while later ones and other people's live.
func TestSignOutEverywhere(t *testing.T) {
	r := brokertest.New(t)
	first, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.IdP.Auth.ReplayID = "_assertion2"
	second, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.IdP.Auth.ReplayID, r.IdP.Auth.Subject.ID = "_assertion3", "00u2"
	other, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.People.EndEverywhere(t.Context(), first.Session); err != nil {
		t.Fatal(err)
	}
	if e := r.LastEvent(t); e.Action != broker.ActionRevoke || e.Target != "okta/00u1" || e.Detail["sessions"] != "2" {
		t.Errorf("event %+v", e)
	}
	alive := func(token broker.Secret) bool {
		_, err := r.Acc.Authenticate(t.Context(), token)
		return err == nil
	}
	if alive(first.Token) || alive(second.Token) || !alive(other.Token) {
		t.Errorf("alive: %t %t %t", alive(first.Token), alive(second.Token), alive(other.Token))
	}
	r.Clock = r.Clock.Add(time.Second)
	r.IdP.Auth.ReplayID, r.IdP.Auth.Subject.ID = "_assertion4", "00u1"
	late, err := r.Finish(t, r.Begin(t))
	if err != nil || !alive(late.Token) {
		t.Errorf("a later sign-in: %v", err)
	}
	r.Store.LoseEvents(true)
	if err := r.People.EndEverywhere(t.Context(), late.Session); broker.CodeOf(err) != broker.CodeUnavailable || alive(late.Token) {
		t.Errorf("without an event: %v, alive %t", err, alive(late.Token))
	}
}
