package session

import (
	"context"
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// MaxOwn bounds how many of their own sessions a person sees, the newest.
const MaxOwn = 100

// Info is a session as its person and administrators see it. The key is the hash
// of the token and opens nothing.
type Info struct {
	Key        string
	Subject    broker.Subject
	Username   string
	Remote     string
	UserAgent  string
	Program    string // that the person let in, and where it runs; "" for a browser
	CreatedAt  time.Time
	LastUsedAt time.Time
	EndsAt     time.Time // absolute end
	IdleEndsAt time.Time // when it ends if it is not used again
}

// Describe says what sessions the rows are. A row that is no session, or has
// ended with nobody having looked, must not hide those that are, and is left out.
func (b *Book) Describe(rows []broker.SessionRow) []Info {
	now := b.c.Now()
	out := make([]Info, 0, len(rows))
	for _, row := range rows {
		sess, err := decode(row, b.c.Sealer)
		if err != nil {
			continue
		}
		idle, program := b.idleEnd(sess), ""
		if !sess.IsBrowser() {
			sess.Remote, program = sess.Client.Remote, sess.Client.Label()
		}
		if !now.Before(idle) || !now.Before(row.ExpiresAt) {
			continue
		}
		out = append(out, Info{
			Key: row.Key, Subject: row.Subject, Username: sess.Identity.Username, Remote: sess.Remote, UserAgent: sess.UserAgent,
			Program: program, CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, EndsAt: row.ExpiresAt, IdleEndsAt: idle,
		})
	}
	return out
}

// Of lists the sessions of a person, the newest first, at most [MaxOwn].
func (b *Book) Of(ctx context.Context, sub broker.Subject) ([]Info, error) {
	if sub.IsZero() {
		return nil, broker.Errorf(broker.CodeInvalid, "This is nobody.")
	}
	rows, err := b.c.List.FindSessions(ctx, broker.SessionFilter{Provider: sub.Provider, SubjectID: sub.ID})
	if err != nil {
		return nil, err
	}
	rows = b.rooted(rows)
	slices.Reverse(rows)
	return b.Describe(rows[:min(len(rows), MaxOwn)]), nil
}

// rooted leaves out of all rows of a person those that were derived from one that
// has ended: they open nothing any more.
func (b *Book) rooted(rows []broker.SessionRow) []broker.SessionRow {
	there := make(map[string]bool, len(rows))
	for _, row := range rows {
		there[row.Key] = true
	}
	return slices.DeleteFunc(rows, func(row broker.SessionRow) bool {
		sess, err := decode(row, b.c.Sealer)
		return err == nil && !sess.IsBrowser() && sess.Client.Root != "" && !there[sess.Client.Root]
	})
}

// Count returns how many sessions of everybody are live.
func (b *Book) Count(ctx context.Context) (int, error) { return b.c.List.CountSessions(ctx) }

// Programs returns how many programs act for a person now.
func (b *Book) Programs(ctx context.Context, sub broker.Subject) (n int, err error) {
	rows, err := b.c.List.FindSessions(ctx, broker.SessionFilter{Provider: sub.Provider, SubjectID: sub.ID})
	if err != nil {
		return 0, err
	}
	for _, row := range b.rooted(rows) {
		if sess, err := decode(row, b.c.Sealer); err == nil && !sess.IsBrowser() {
			n++
		}
	}
	return n, nil
}

// Page lists a page of everybody's sessions, and says how many there are in all.
func (b *Book) Page(ctx context.Context, p broker.SessionPage) (rows []Info, next string, total int, err error) {
	if total, err = b.Count(ctx); err != nil {
		return nil, "", 0, err
	}
	found, err := b.c.List.ListSessions(ctx, broker.SessionPage{Before: p.Before, Limit: p.Limit + 1})
	if err != nil {
		return nil, "", 0, err
	}
	if len(found) > p.Limit {
		found = found[:p.Limit]
		next = found[p.Limit-1].Key
	}
	return b.Describe(found), next, total, nil
}

// Own lists the person's sessions, the newest first.
func (b *Book) Own(ctx context.Context, sess *broker.Session) ([]Info, error) {
	return b.Of(ctx, sess.Identity.Subject)
}

// EndOne ends one session of anybody in the name of by, who may. CodeNotFound
// when it has ended, or is not owner's; a zero owner is anybody.
func (b *Book) EndOne(ctx context.Context, by *broker.Session, owner broker.Subject, key string) error {
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	row, err := b.c.Store.Session(ctx, key)
	if broker.CodeOf(err) == broker.CodeNotFound || err == nil && !owner.IsZero() && row.Subject != owner {
		return broker.Errorf(broker.CodeNotFound, "This session has ended already.").Fix("Reload the list.")
	}
	if err != nil {
		return err
	}
	return b.End(ctx, row.Key, ended(by, row))
}

// EndOwn ends one of the person's own sessions. CodeNotFound for one that has
// ended or is somebody else's.
func (b *Book) EndOwn(ctx context.Context, sess *broker.Session, key string) error {
	return b.EndOne(ctx, sess, sess.Identity.Subject, key)
}

func ended(by *broker.Session, row broker.SessionRow) journal.Entry {
	return journal.Entry{
		Action: broker.ActionSessionEnd, By: by, Target: row.Subject.String(),
		Detail: map[string]string{"began": row.CreatedAt.UTC().Format(time.RFC3339)},
	}
}

// EndOthers ends every session of the person but this one and returns how many.
func (b *Book) EndOthers(ctx context.Context, sess *broker.Session) (int, error) {
	sub := sess.Identity.Subject
	return b.EndFound(ctx, broker.SessionFilter{Provider: sub.Provider, SubjectID: sub.ID},
		func(r broker.SessionRow) bool { return r.Key != sess.Key },
		func(r broker.SessionRow) journal.Entry { return ended(sess, r) })
}

// EndEverywhere ends every session of the person, this one too, on every node.
func (b *Book) EndEverywhere(ctx context.Context, sess *broker.Session) error {
	_, err := b.RevokeAs(ctx, sess, sess.Identity.Subject)
	return err
}

// RevokeAs ends every session of the subject in the name of by, who may.
func (b *Book) RevokeAs(ctx context.Context, by *broker.Session, sub broker.Subject) (int, error) {
	return b.Revoke(ctx, sub, journal.Entry{Action: broker.ActionRevoke, By: by, Target: sub.String()})
}
