package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// TestEventsAreKeptAsLongAsConfigured ensures that events stay for ever unless
// the configuration says how long, and that a reload is enough to say so.
func TestEventsAreKeptAsLongAsConfigured(t *testing.T) {
	w := newLiveWorld(t)
	old := broker.Event{Time: time.Now().Add(-40 * 24 * time.Hour), Action: broker.ActionSignOut, Outcome: broker.OutcomeOK}
	if err := w.Store.Record(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	held := func() int {
		t.Helper()
		w.live.ForgetEvents(t.Context())
		all, err := w.Store.Events(t.Context(), sqlstore.EventFilter{Action: broker.ActionSignOut})
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if held() != 1 {
		t.Error("it went without being told to")
	}
	for _, tt := range []struct {
		keep string
		want int
	}{{"50d", 1}, {"720h", 0}} {
		w.write("rolegate.yaml", strings.Replace(w.text, "accounts:\n", "events: {keep: "+tt.keep+"}\naccounts:\n", 1))
		if err := w.live.Reload(t.Context(), server.TriggerSignal); err != nil {
			t.Fatal(err)
		}
		if got := held(); got != tt.want {
			t.Errorf("%s: %d are left", tt.keep, got)
		}
	}
	if !strings.Contains(w.log.String(), "old events were deleted") {
		t.Error("the log does not say so")
	}
}
