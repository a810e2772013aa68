package session

import (
	"context"
	"errors"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// revokePage is how many sessions [Ender.RevokeAll] looks at together: what it
// holds in memory.
const revokePage = 500

// Revoked is how many people had sessions, and how many those were.
type Revoked struct {
	People   int `json:"people"`
	Sessions int `json:"sessions"`
}

// ErrStillBegin says that sessions began as fast as they were ended.
var ErrStillBegin = broker.Errorf(broker.CodeConflict, "People sign in faster than their sessions can be ended.").
	Fix("Take the identity provider out of the configuration, or stop the servers, and do it again.")

// RevokeAll does as [Ender.Revoke] for everybody who has a session, or only for
// those of one provider, each with the entry for them, and looks again until
// there is no session left. Where somebody's sessions cannot be ended, or their
// event not be kept, it goes on with the others that it has found by then and
// returns the errors. What it returns happened, also with an error.
func (e *Ender) RevokeAll(
	ctx context.Context, provider broker.ProviderID, entry func(broker.Subject) journal.Entry,
) (out Revoked, err error) {
	total, err := e.c.List.CountSessions(ctx)
	if err != nil {
		return out, err
	}
	// Each page takes all the sessions of its people away, so the next one is the
	// first again. More pages than there were sessions are of those that begin.
	for range total/revokePage + 1 + rounds {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		rows, err := e.c.List.ListSessions(ctx, broker.SessionPage{Provider: provider, Limit: revokePage})
		if err != nil || len(rows) == 0 {
			return out, err
		}
		done := map[broker.Subject]bool{}
		var errs []error
		for _, row := range rows {
			if done[row.Subject] {
				continue
			}
			done[row.Subject] = true
			n, err := e.Revoke(ctx, row.Subject, entry(row.Subject))
			if n > 0 {
				out.People, out.Sessions = out.People+1, out.Sessions+n
			}
			errs = append(errs, err)
		}
		if err := errors.Join(errs...); err != nil {
			return out, err
		}
	}
	return out, ErrStillBegin
}
