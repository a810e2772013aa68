package admin

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// Retention deletes events that are too old. All fields but Keep and Now are
// needed.
type Retention struct {
	Events  broker.EventPruner
	State   broker.StateStore
	Journal *journal.Journal
	Keep    time.Duration    // how long; zero: for ever
	Now     func() time.Time // nil: time.Now
}

// pruning is how long one node may take for a day's events before another one
// goes on with them.
const pruning = 30 * time.Minute

// Apply deletes the events that have become older than Keep, by whole days (UTC):
// one event a day says how many, however many nodes there are. It returns how many
// went here.
func (r Retention) Apply(ctx context.Context) (int64, error) {
	if r.Keep <= 0 {
		return 0, nil
	}
	now := time.Now()
	if r.Now != nil {
		now = r.Now()
	}
	before := now.Add(-r.Keep).UTC().Truncate(day)
	n, err := r.Events.CountEventsBefore(ctx, before)
	if err != nil || n == 0 {
		return 0, err
	}
	mine, err := r.State.PutIfAbsent(ctx, "events.purge/"+before.Format(time.DateOnly), nil, pruning)
	if err != nil || !mine {
		return 0, err
	}
	return r.Prune(ctx, "", map[string]string{"keep": r.Keep.String()}, before)
}

// Prune deletes the events before a time and returns how many went. The event,
// with how many they are, is durable before the first one goes; by and detail
// say who does it. Without old events there is none.
func (r Retention) Prune(ctx context.Context, by string, detail map[string]string, before time.Time) (int64, error) {
	n, err := r.Events.CountEventsBefore(ctx, before)
	if err != nil || n == 0 {
		return 0, err
	}
	d := map[string]string{"events": strconv.FormatInt(n, 10), "before": before.UTC().Format(time.RFC3339)}
	maps.Copy(d, detail)
	if err := r.Journal.Record(ctx, journal.Entry{Action: broker.ActionEventsPurge, Username: by, Detail: d}); err != nil {
		return 0, err
	}
	return r.Events.DeleteEventsBefore(ctx, before)
}
