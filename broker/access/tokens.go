package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/rolegate/rolegate/broker"
)

const (
	// idTokenMargin is how much life a corporate ID token must have left to be
	// used at STS without a refresh.
	idTokenMargin = 5 * time.Minute
	// refreshPatience bounds one refresh at an identity provider, and how long
	// another node waits for one that has begun.
	refreshPatience = 20 * time.Second
	// refreshLook is how often another node looks whether it is done.
	refreshLook = 200 * time.Millisecond
)

// tokens refreshes corporate tokens: one refresh for one session at a time on this
// node, and none of them waits for another session's.
type tokens struct{ flights singleflight.Group }

var errTokensOver = broker.Errorf(broker.CodeUnauthenticated, "This role uses your identity provider's own token, and it has run out.").
	Fix("Sign in again.")

func (a *Service) fresh(t broker.Tokens) bool {
	return !t.IDToken.IsZero() && t.IDExpires.Sub(a.c.Now()) >= idTokenMargin
}

// freshTokens returns the session's corporate tokens, refreshed and saved when
// the ID token has less than five minutes left.
//
// A rotating refresh token is good once, and a second use may end the person's
// session at the provider. So whoever is about to use one says so in the store
// first; another node waits for what comes of it, and if nothing does, because
// the node died in the middle, the token counts as used.
func (a *Service) freshTokens(ctx context.Context, sess *broker.Session) (broker.Tokens, error) {
	if a.fresh(sess.Tokens) {
		return sess.Tokens, nil
	}
	holder := sess.Key
	if !sess.IsBrowser() {
		holder = sess.Client.Source
	}
	done := a.tokens.flights.DoChan(holder, func() (_ any, err error) {
		defer func() { // a panic here would end the process and not only the request
			if v := recover(); v != nil {
				err = fmt.Errorf("access: refresh of tokens: panic: %v", v)
			}
		}()
		// Whoever waits for this may leave; the refresh itself is past stopping.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshPatience+broker.AfterTheFact)
		defer cancel()
		return a.refresh(ctx, holder)
	})
	select {
	case <-ctx.Done():
		return broker.Tokens{}, fmt.Errorf("access: refresh of tokens: %w", context.Cause(ctx))
	case r := <-done:
		if r.Err != nil {
			return broker.Tokens{}, r.Err
		}
		return r.Val.(broker.Tokens), nil
	}
}

// refresh returns fresh tokens of the session that holds them.
func (a *Service) refresh(ctx context.Context, holder string) (broker.Tokens, error) {
	for {
		latest, err := a.c.Book.Kept(ctx, holder)
		if broker.CodeOf(err) == broker.CodeNotFound {
			return broker.Tokens{}, errTokensOver.Because(err)
		}
		if err != nil {
			return broker.Tokens{}, err
		}
		if a.fresh(latest.Tokens) {
			return latest.Tokens, nil
		}
		r, ok := a.c.Refreshers[latest.Identity.Subject.Provider]
		if !ok || latest.Tokens.RefreshToken.IsZero() {
			return broker.Tokens{}, errTokensOver.Because(errors.New("no refresh token"))
		}
		mark := "refresh/" + latest.Tokens.RefreshToken.Hash()
		mine, err := a.mark(ctx, mark, latest.ExpiresAt)
		if err != nil {
			return broker.Tokens{}, err
		}
		if mine {
			return a.use(ctx, r, holder, latest, mark)
		}
		select {
		case <-ctx.Done():
			return broker.Tokens{}, context.Cause(ctx)
		case <-time.After(refreshLook):
		}
	}
}

// mark says in the store, until end, that a refresh token is being used, and
// reports whether this node may use it. While another node is at it, it may not;
// errTokensOver when that one began so long ago that nothing will come of it.
func (a *Service) mark(ctx context.Context, mark string, end time.Time) (mine bool, err error) {
	now := a.c.Now()
	began := []byte(strconv.FormatInt(now.UnixMicro(), 10))
	mine, err = a.c.Kept.State.PutIfAbsent(ctx, mark, began, max(end.Sub(now), time.Minute))
	if err != nil || mine {
		return mine, err
	}
	b, err := a.c.Kept.State.Get(ctx, mark)
	if broker.CodeOf(err) == broker.CodeNotFound { // just taken away: the token may be used again
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || now.Sub(time.UnixMicro(n)) > refreshPatience {
		return false, errTokensOver.Because(errors.New("its refresh token was sent to the provider, and nothing came of it"))
	}
	return false, nil
}

// use spends the refresh token of a session and saves what it brought.
func (a *Service) use(
	ctx context.Context, r broker.TokenRefresher, holder string, latest *broker.Session, mark string,
) (broker.Tokens, error) {
	before := latest.Tokens
	asked, cancel := context.WithTimeout(ctx, refreshPatience)
	t, err := r.RefreshTokens(asked, latest.Identity.Subject, before)
	cancel()
	if err != nil && broker.CodeOf(err) == broker.CodeUnauthenticated {
		// The provider took it and said no, or answered what does not verify. It is
		// spent, and nobody needs to wait for more.
		return broker.Tokens{}, errors.Join(err, a.c.Kept.State.Put(ctx, mark, []byte("0"), max(latest.ExpiresAt.Sub(a.c.Now()), time.Minute)))
	}
	if err != nil && maybeSpent(err) {
		return broker.Tokens{}, err
	}
	if err != nil {
		// The provider said no, or was never asked: another try is no second use.
		_, forget := a.c.Kept.State.Take(ctx, mark)
		if broker.CodeOf(forget) == broker.CodeNotFound {
			forget = nil
		}
		return broker.Tokens{}, errors.Join(err, forget)
	}
	latest.Tokens = t
	err = a.c.Book.Replace(ctx, holder, latest)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return broker.Tokens{}, errTokensOver.Because(err) // signed out while the tokens were fetched
	}
	if err != nil {
		return broker.Tokens{}, err
	}
	if t.RefreshToken.Hash() == before.RefreshToken.Hash() { // this provider's may be used again
		if _, err := a.c.Kept.State.Take(ctx, mark); err != nil && broker.CodeOf(err) != broker.CodeNotFound {
			return broker.Tokens{}, err
		}
	}
	if t.IDToken.IsZero() || !t.IDExpires.After(a.c.Now()) {
		return broker.Tokens{}, errTokensOver.Because(fmt.Errorf("no ID token came, or one that ended at %s", t.IDExpires))
	}
	return t, nil
}

// maybeSpent reports whether a refresh token may have reached the provider though
// no answer came back: whether it was used cannot be known then.
func maybeSpent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op != "dial"
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
