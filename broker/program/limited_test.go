package program_test

import (
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
)

// TestProgramsAreLimited ensures that a program which asks without end is refused,
// by either token, and goes on later: a refused refresh uses nothing up.
func TestProgramsAreLimited(t *testing.T) {
	r := brokertest.New(t)
	set, _ := open(t, r)
	r.Limit(t, map[limit.Kind]limit.Rate{limit.Requests: {Account: 2, Per: time.Minute}})
	for range 2 {
		if _, err := r.Dev.Authenticate(t.Context(), set.Access); err != nil {
			t.Fatal(err)
		}
	}
	sess, err := r.Dev.Authenticate(t.Context(), set.Access)
	brokertest.WantCode(t, "one access too many", broker.CodeRateLimited, err)
	next, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "one refresh too many", broker.CodeRateLimited, err)
	if sess != nil || !next.Access.IsZero() {
		t.Errorf("session %v, tokens %v", sess, next)
	}
	r.Clock = r.Clock.Add(time.Minute)
	if _, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh); err != nil {
		t.Error("a minute later:", err)
	}
}
