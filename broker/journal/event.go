package journal

import (
	"context"
	"time"

	"github.com/rolegate/rolegate/broker"
)

func NewEvent(ctx context.Context, now time.Time, a broker.Action, o broker.Outcome) broker.Event {
	r := broker.RequestFrom(ctx)
	return broker.Event{Time: now.UTC(), Action: a, Outcome: o, RequestID: r.ID, Remote: r.Remote}
}

func OutcomeOf(err error) broker.Outcome {
	switch broker.CodeOf(err) {
	case broker.CodeInternal, broker.CodeUnavailable:
		return broker.OutcomeFailed
	default:
		return broker.OutcomeRefused
	}
}
