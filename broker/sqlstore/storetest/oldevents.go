package storetest

import (
	"time"

	"github.com/rolegate/rolegate/broker"
)

// deleteEvents: what is older than a time is counted and goes, over more than a
// batch, and what is of that time or later stays.
func deleteEvents(f fixture) {
	ctx := f.Context()
	const old = 1100
	for n := range old + 2 {
		e := event(n, broker.ActionSignIn, broker.OutcomeOK, alice)
		e.Time = Start.Add(-time.Duration(n-1) * time.Second)
		f.must(f.Record(ctx, e))
	}
	n, err := f.CountEventsBefore(ctx, Start)
	f.must(err)
	f.equal(int64(old), n)
	n, err = f.DeleteEventsBefore(ctx, Start)
	f.must(err)
	f.equal(int64(old), n)
	n, err = f.DeleteEventsBefore(ctx, Start)
	f.must(err)
	f.equal(int64(0), n)
	left, err := f.QueryEvents(ctx, broker.EventQuery{})
	f.must(err)
	f.equal(2, len(left))
}
