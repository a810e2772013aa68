package journal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
)

func TestTraceIDsAreSpeakable(t *testing.T) {
	s := brokertest.NewStore(t, time.Now)
	ts, err := journal.New(journal.Config{Events: s, State: s})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 1000 {
		id := ts.Start().ID
		if parts := strings.Split(id, "-"); len(parts) != 4 || len(parts[3]) != 2 {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	if len(seen) < 999 {
		t.Errorf("%d distinct ids of 1000", len(seen))
	}
}
