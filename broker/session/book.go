package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// touchEvery limits how often a session's last use is written.
const touchEvery = time.Minute

// Config holds what a [Book] works with. All fields but Limits and Now are
// needed.
type Config struct {
	EnderConfig

	Sealer broker.Sealer
	// Policies are the settings of all configured identity providers. A session
	// of a provider that is not among them is not live.
	Policies map[broker.ProviderID]broker.MFAPolicy
	Limits   broker.SessionLimits // zero: [broker.DefaultSessionLimits]
	Now      func() time.Time     // nil: time.Now
}

// Book keeps the sessions. It is safe for concurrent use.
type Book struct {
	*Ender
	c Config
}

// New returns the book, or an error that says what is missing.
func New(c Config) (*Book, error) {
	if c.Sealer == nil || c.Policies == nil {
		return nil, errors.New("session: Sealer and Policies are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limits == (broker.SessionLimits{}) {
		c.Limits = broker.DefaultSessionLimits
	}
	c.EnderConfig.Now = c.Now
	e, err := NewEnder(c.EnderConfig)
	if err != nil {
		return nil, err
	}
	return &Book{e, c}, nil
}

// Limits bound the sessions of this book.
func (b *Book) Limits() broker.SessionLimits { return b.c.Limits }

// errNotThere is the error for what the store has, and we did not put there, and
// for what has ended.
var errNotThere = broker.Errorf(broker.CodeNotFound, "There is nothing under this name, or not any more.")

// RootError is the cause of the error for a session that was derived from one
// that is not live any more.
type RootError struct {
	Key string // of the other one
	Err error
}

// Error says which session it hung on.
func (e *RootError) Error() string {
	return "session: derived from one that has ended: " + e.Err.Error()
}

// Unwrap returns why that one is not live.
func (e *RootError) Unwrap() error { return e.Err }

// Live returns the session under the key as it is now: who the person is, and
// what they have proven by the settings that their provider has now.
//
// CodeNotFound when there is none, or not any more: it was ended, reached its
// absolute end, was not used for too long (a browser's), was revoked, its
// provider is not configured any more, or the session that it was derived from
// is not live. CodeUnavailable when the store does not answer.
func (b *Book) Live(ctx context.Context, key string) (*broker.Session, error) {
	sess, _, err := b.live(ctx, key, true)
	return sess, err
}

// Kept returns a session as [Book.Live] does, and also a browser's that was not
// used for too long: it opens nothing, but what it holds for the programs that
// were let in from it lasts as long as they do.
func (b *Book) Kept(ctx context.Context, key string) (*broker.Session, error) {
	sess, _, err := b.live(ctx, key, false)
	return sess, err
}

// live also reports whether a session is over by the clock, so that its row may
// go; idle says whether not being used ends it.
func (b *Book) live(ctx context.Context, key string, idle bool) (sess *broker.Session, over bool, err error) {
	row, err := b.c.Store.Session(ctx, key)
	if err != nil {
		return nil, false, err
	}
	if sess, err = decode(row, b.c.Sealer); err != nil {
		return nil, false, err
	}
	now := b.c.Now()
	sess.IdleAt = b.idleEnd(sess)
	switch {
	case !now.Before(sess.ExpiresAt):
		return nil, true, errNotThere.Because(errors.New("session: its time is over"))
	case idle && !now.Before(sess.IdleAt): // the row stays: programs may need what it holds
		return nil, false, errNotThere.Because(errors.New("session: it was not used for too long"))
	case !sess.CreatedAt.After(row.RevokedBefore):
		return nil, true, errNotThere.Because(errors.New("session: revoked"))
	}
	policy, ok := b.c.Policies[sess.Identity.Subject.Provider]
	if !ok {
		return nil, false, errNotThere.Because(fmt.Errorf("session: no identity provider %s", sess.Identity.Subject.Provider))
	}
	sess.Identity.MFA = Proven(sess, policy)
	if !sess.IsBrowser() && sess.Client.Root != "" {
		if _, err := b.Live(ctx, sess.Client.Root); broker.CodeOf(err) == broker.CodeNotFound {
			return nil, false, errNotThere.Because(&RootError{Key: sess.Client.Root, Err: err})
		} else if err != nil {
			return nil, false, err
		}
	}
	return sess, false, nil
}

// Proven judges whether a session has proof of a second factor by the settings
// that its provider has now: what the provider said at sign-in, or rolegate's own
// factor where that counts.
func Proven(s *broker.Session, p broker.MFAPolicy) bool {
	return p.Satisfied(s.Identity.AuthnContext, s.Identity.Claims) || s.Own != nil && p.Own != broker.OwnFactorOff
}

// idleEnd is when a session ends if it is not used again. A program's lasts until
// its absolute end, however rarely it is used.
func (b *Book) idleEnd(s *broker.Session) time.Time {
	if !s.IsBrowser() {
		return s.ExpiresAt
	}
	return s.LastUsedAt.Add(b.c.Limits.Idle)
}

// Use returns a live session as [Book.Live] does and notes that it was used.
func (b *Book) Use(ctx context.Context, key string) (*broker.Session, error) {
	sess, over, err := b.live(ctx, key, true)
	if over {
		return nil, errors.Join(err, b.Remove(ctx, key)) // whoever presents it is refused even where this fails
	}
	if err != nil {
		return nil, err
	}
	every := touchEvery
	if sess.IsBrowser() {
		every = min(touchEvery, b.c.Limits.Idle/4)
	}
	if now := b.c.Now(); now.Sub(sess.LastUsedAt) >= every {
		if err := b.c.Store.TouchSession(ctx, sess.Key, now); err != nil {
			return nil, err
		}
		sess.LastUsedAt = now
		sess.IdleAt = b.idleEnd(sess)
	}
	return sess, nil
}

// Begin keeps the session of a sign-in that has just happened, even where the
// clock of this node is behind that of one on which the person's sessions were
// revoked before: it then begins right after that. CodeNotFound when the person's
// sessions were revoked in the same moment.
func (b *Book) Begin(ctx context.Context, s *broker.Session) error {
	revoked, err := b.c.Revoker.RevokedBefore(ctx, s.Identity.Subject)
	if err != nil {
		return err
	}
	if !s.CreatedAt.After(revoked) {
		s.CreatedAt = revoked.Add(time.Millisecond)
	}
	if err := b.Save(ctx, s); err != nil {
		return err
	}
	row, err := b.c.Store.Session(ctx, s.Key)
	if err == nil && !s.CreatedAt.After(row.RevokedBefore) {
		return errors.Join(errNotThere.Because(errors.New("session: revoked while it began")), b.Remove(ctx, s.Key))
	}
	return err
}

// Save keeps a new session.
func (b *Book) Save(ctx context.Context, s *broker.Session) error {
	row, err := encode(s, b.c.Sealer)
	if err != nil {
		return err
	}
	return b.c.Store.SaveSession(ctx, row)
}

// Derive keeps a new session that was made from another one, if that is live
// still: it is looked at again once the new one is stored. Whoever ends the other
// one either is seen by this look, or sees the new one, as [Ender] looks again
// after it has ended what it saw. CodeNotFound when the other one ended.
func (b *Book) Derive(ctx context.Context, s *broker.Session, from string) error {
	if err := b.Save(ctx, s); err != nil {
		return err
	}
	if _, err := b.Live(ctx, from); err != nil {
		return errors.Join(err, b.Remove(ctx, s.Key))
	}
	return nil
}

// Replace puts next, which may have another key, in the place of the session
// under key, in one step: a session that has ended is not brought back, and who
// ends it by its old key from now on ends it under the new one. CodeNotFound when
// it has ended.
func (b *Book) Replace(ctx context.Context, key string, next *broker.Session) error {
	row, err := encode(next, b.c.Sealer)
	if err != nil {
		return err
	}
	return b.c.Store.ReplaceSession(ctx, key, row)
}
