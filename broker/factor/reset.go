package factor

import (
	"context"
	"errors"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// Resetter takes a person's factors away, for who lost them. It opens none, so
// it needs no key. All fields are needed.
type Resetter struct {
	Store   broker.FactorStore
	Ender   *session.Ender
	Journal *journal.Journal
	Limiter *limit.Limiter
}

// Reset takes all factors of a person away and ends their sessions; by names the
// administrator. It returns how many factors went. Unlike the end of a session,
// the loss of a factor opens something, so nothing goes without its event.
func (r Resetter) Reset(ctx context.Context, by string, s broker.Subject) (int, error) {
	if s.IsZero() {
		return 0, errors.New("factor: reset of an incomplete subject")
	}
	e := journal.Entry{Action: broker.ActionMFAReset, Username: by, Target: s.String()}
	if err := r.Journal.Record(ctx, e); err != nil {
		return 0, err
	}
	n, err := r.Store.DeleteFactors(ctx, s)
	if err != nil {
		return 0, err
	}
	// Revoked and not only deleted: a session that is being made at this moment,
	// on whatever node, was made with the factors that have gone.
	if _, err := r.Ender.Revoke(ctx, s, journal.Entry{Action: broker.ActionRevoke, Username: by, Target: s.String()}); err != nil {
		return n, err
	}
	return n, r.Limiter.Forgive(ctx, limit.Factor, s.String())
}
