package server

import (
	"context"
	"time"

	"github.com/rolegate/rolegate/broker/admin"
)

// Old events are looked for soon after a start and then every hour.
const (
	forgetFirst = time.Minute
	forgetEvery = time.Hour
)

func (l *Live) forgetEvents(ctx context.Context) {
	wait := forgetFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = forgetEvery
		l.ForgetEvents(ctx)
	}
}

// ForgetEvents deletes events that are older than the configuration of now says.
func (l *Live) ForgetEvents(ctx context.Context) {
	s := l.Current()
	r := admin.Retention{
		Events: s.Store, State: s.Store, Journal: s.Journal, Keep: time.Duration(s.config.Events.Keep), Now: l.options.Now,
	}
	n, err := r.Apply(ctx)
	if err != nil && ctx.Err() == nil {
		l.options.Logger.WarnContext(ctx, "old events were not deleted", "error", err)
	}
	if n > 0 {
		l.options.Logger.InfoContext(ctx, "old events were deleted", "events", n)
	}
}
