package broker

import (
	"context"
	"time"
)

func newEvent(ctx context.Context, now time.Time, a Action, o Outcome) Event {
	r := RequestFrom(ctx)
	return Event{Time: now.UTC(), Action: a, Outcome: o, RequestID: r.ID, Remote: r.Remote}
}

func outcomeOf(err error) Outcome {
	switch CodeOf(err) {
	case CodeInternal, CodeUnavailable:
		return OutcomeFailed
	default:
		return OutcomeRefused
	}
}

// shortText bounds what a caller wrote and an event keeps.
func shortText(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}
