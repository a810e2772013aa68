package admin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// aged puts events into the store, one for each day before the clock.
func aged(t *testing.T, r *brokertest.Rig, days int) {
	t.Helper()
	for n := range days {
		at := r.Now().Add(-time.Duration(n) * 24 * time.Hour)
		if err := r.Store.Record(t.Context(), broker.Event{Time: at, Action: broker.ActionSignIn, Outcome: broker.OutcomeOK}); err != nil {
			t.Fatal(err)
		}
	}
}

func purges(r *brokertest.Rig) (out []broker.Event) {
	for _, e := range r.Store.AllEvents() {
		if e.Action == broker.ActionEventsPurge {
			out = append(out, e)
		}
	}
	return out
}

// TestRetention ensures that events go by whole days when they are too old, and
// that one event a day says so, on several nodes too.
func TestRetention(t *testing.T) {
	r := brokertest.New(t) // its clock says 09:00
	keep := func(d time.Duration) admin.Retention {
		return admin.Retention{Events: r.Store, State: r.Store, Journal: r.Broker().Journal, Keep: d, Now: r.Now}
	}
	aged(t, r, 1000) // more than a batch is too old
	if n, err := keep(0).Apply(t.Context()); n != 0 || err != nil {
		t.Errorf("for ever: %d, %v", n, err)
	}
	if n, err := keep(400 * 24 * time.Hour).Apply(t.Context()); n != 599 || err != nil {
		t.Errorf("%d went, %v", n, err)
	}
	got := purges(r)
	if len(got) != 1 || fmt.Sprint(got[0].Detail) != "map[before:2025-10-20T00:00:00Z events:599 keep:9600h0m0s]" {
		t.Errorf("events %+v", got)
	}
	for range 2 { // later that day, and on another node
		r.Clock = r.Clock.Add(time.Hour)
		if n, err := keep(400 * 24 * time.Hour).Apply(t.Context()); n != 0 || err != nil || len(purges(r)) != 1 {
			t.Errorf("later: %d went, %v; %d events", n, err, len(purges(r)))
		}
	}
	r.Clock = r.Clock.Add(24 * time.Hour)
	if n, err := keep(400 * 24 * time.Hour).Apply(t.Context()); n != 1 || err != nil || len(purges(r)) != 2 {
		t.Errorf("the next day: %d went, %v; %d events", n, err, len(purges(r)))
	}
}

// TestAttackPruneWithoutATrace ensures that no event goes unless the event of
// that is kept.
func TestAttackPruneWithoutATrace(t *testing.T) {
	r := brokertest.New(t)
	aged(t, r, 10)
	r.Store.LoseEvents(true)
	n, err := admin.Retention{Events: r.Store, State: r.Store, Journal: r.Broker().Journal}.Prune(t.Context(), "op", nil, r.Now())
	brokertest.WantCode(t, "without its event", broker.CodeUnavailable, err)
	if r.Store.LoseEvents(false); n != 0 || len(r.Store.AllEvents()) != 10 {
		t.Errorf("%d went, %d are left", n, len(r.Store.AllEvents()))
	}
}

// TestNothingToPrune ensures that no event says that events went where none did.
func TestNothingToPrune(t *testing.T) {
	r := brokertest.New(t)
	aged(t, r, 3)
	keep := admin.Retention{Events: r.Store, State: r.Store, Journal: r.Broker().Journal, Keep: 24 * 365 * time.Hour, Now: r.Now}
	if n, err := keep.Apply(t.Context()); n != 0 || err != nil {
		t.Errorf("applied: %d, %v", n, err)
	}
	if n, err := keep.Prune(t.Context(), "op", nil, r.Now().Add(-24*365*time.Hour)); n != 0 || err != nil {
		t.Errorf("pruned: %d, %v", n, err)
	}
	if got := purges(r); len(got) != 0 {
		t.Errorf("events %+v", got)
	}
}
