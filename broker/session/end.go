package session

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// EnderConfig holds what an [Ender] works with. All fields but Now are needed.
type EnderConfig struct {
	Store   broker.SessionStore
	List    broker.SessionLister
	Revoker broker.Revoker
	Journal *journal.Journal
	Now     func() time.Time // nil: time.Now
}

// Ender ends sessions: each with its event, whether or not somebody still waits,
// and also those that were derived meanwhile from one that it ends. It opens
// none, so it needs no key.
type Ender struct{ c EnderConfig }

// NewEnder returns an ender, or an error that says what is missing.
func NewEnder(c EnderConfig) (*Ender, error) {
	if c.Store == nil || c.List == nil || c.Revoker == nil || c.Journal == nil {
		return nil, errors.New("session: Store, List, Revoker and Journal are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Ender{c}, nil
}

// End records the entry and ends the session under the key, or the one that was
// put in its place. The session ends even where the event cannot be kept: the
// error then says so, but nobody stays signed in because a disk is full.
func (e *Ender) End(ctx context.Context, key string, entry journal.Entry) error {
	return errors.Join(e.c.Journal.Record(ctx, entry), e.Remove(ctx, key))
}

// Remove ends the session under the key without a word: it is over already, or
// another one with an event of its own has taken its place.
func (e *Ender) Remove(ctx context.Context, key string) error {
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	return e.c.Store.DeleteSession(ctx, key)
}

// rounds bounds how often is looked again for sessions that were made meanwhile.
// Each round ends what new ones are made from, so two are enough but for clocks
// and luck.
const rounds = 5

// EndFound ends every session that a filter finds and choose takes, each with the
// entry for it, and looks again until there is none left. It returns how many it
// ended. What could not be ended does not stop the others.
func (e *Ender) EndFound(
	ctx context.Context, f broker.SessionFilter, choose func(broker.SessionRow) bool, entry func(broker.SessionRow) journal.Entry,
) (n int, err error) {
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	seen := map[string]bool{}
	var errs []error
	for range rounds {
		rows, err := e.c.List.FindSessions(ctx, f)
		if err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		rows = slices.DeleteFunc(rows, func(r broker.SessionRow) bool { return seen[r.Key] || !choose(r) })
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			seen[row.Key] = true
			err := e.End(ctx, row.Key, entry(row))
			if err == nil {
				n++
			}
			errs = append(errs, err)
		}
	}
	return n, errors.Join(errs...)
}

// Revoke ends every session of the subject that has begun until now, on every
// node and whether or not it is stored yet, and returns how many were there. The
// entry is recorded with their number.
//
// A session may have begun on a node whose clock is ahead of this one, or before
// this one was set back: revoked is what began until the newest beginning that
// is seen, and what is seen is deleted besides.
func (e *Ender) Revoke(ctx context.Context, sub broker.Subject, entry journal.Entry) (int, error) {
	if sub.IsZero() {
		return 0, errors.New("session: revocation of an incomplete subject")
	}
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	f := broker.SessionFilter{Provider: sub.Provider, SubjectID: sub.ID}
	at := e.c.Now()
	before, err := e.c.Revoker.RevokedBefore(ctx, sub)
	if err != nil {
		return 0, err
	}
	if !at.After(before) {
		// An earlier revocation was on a node that is ahead. A session that begins
		// at this moment begins right after that one, see [Book.Begin].
		at = before.Add(time.Second)
	}
	ended := map[string]bool{}
	for range rounds {
		rows, err := e.c.List.FindSessions(ctx, f)
		if err != nil {
			return 0, err
		}
		for _, row := range rows {
			if row.CreatedAt.After(at) {
				at = row.CreatedAt
			}
		}
		if err := e.c.Revoker.RevokeBefore(ctx, sub, at); err != nil {
			return 0, err
		}
		for _, row := range rows {
			if err := e.c.Store.DeleteSession(ctx, row.Key); err != nil {
				return len(ended), err
			}
			ended[row.Key] = true
		}
		if len(rows) == 0 {
			break
		}
	}
	detail := map[string]string{"sessions": strconv.Itoa(len(ended))}
	for k, v := range entry.Detail {
		detail[k] = v
	}
	entry.Detail = detail
	return len(ended), e.c.Journal.Record(ctx, entry)
}
