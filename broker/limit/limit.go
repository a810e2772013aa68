package limit

import (
	"context"
	"errors"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// Kind says what is limited. Kinds do not share their counts.
type Kind string

// The kinds. The last three are guesses at something secret: they are exact on
// all nodes together, and cannot be configured.
const (
	SignIn       Kind = "sign_in"        // starts of a sign-in
	SignInFinish Kind = "sign_in_finish" // answers of identity providers
	Credentials  Kind = "credentials"    // role sessions, console or keys
	Device       Kind = "device"         // device codes
	Requests     Kind = "requests"       // whatever a signed-in person or program does

	UserCode        Kind = "user_code"         // user codes typed by one person
	UserCodeAddress Kind = "user_code_address" // user codes typed from one address
	Factor          Kind = "factor"            // answers to a person's second factor
)

// Rate is how often something may happen: that many at once, and as many again
// over Per, one by one. Zero means as often as one likes.
type Rate struct {
	Address int           // per client address
	Account int           // per account and client address
	Per     time.Duration // how long it takes until all of them are there again
}

// Defaults are far above what people do, offices behind one address included,
// and far below what guessing needs.
func Defaults() map[Kind]Rate {
	return map[Kind]Rate{
		SignIn:       {Address: 300, Account: 30, Per: 5 * time.Minute},
		SignInFinish: {Address: 300, Account: 30, Per: 5 * time.Minute},
		Credentials:  {Address: 6000, Account: 600, Per: 5 * time.Minute},
		Device:       {Address: 120, Account: 10, Per: 5 * time.Minute},
		Requests:     {Account: 1200, Per: 5 * time.Minute},
	}
}

// guesses are how often somebody may be wrong: five times about a second factor,
// then once more every five minutes; ten times about a user code, then once more
// every minute (RFC 8628 5.1).
func guesses(kind Kind) (most int, per time.Duration) {
	switch kind {
	case UserCode:
		return 10, 10 * time.Minute
	case UserCodeAddress:
		return 100, 10 * time.Minute
	case Factor:
		return 5, 25 * time.Minute
	default:
		return 0, 0
	}
}

// Config holds what a [Limiter] works with. All fields but Limits and Now are
// needed.
type Config struct {
	State   broker.StateStore
	Journal *journal.Journal
	Limits  map[Kind]Rate    // a kind that is missing has no limit, guesses excepted
	Now     func() time.Time // nil: time.Now
}

// Limiter slows down who does too much. It counts per client address (an IPv6
// client is its /64) and per account and client address together, never per
// account alone: nobody can lock another person out by failing in their name.
// Guesses at a second factor are the exception, as whoever makes them is signed
// in as that person already.
//
// What is counted drains: a counter that is full has room for one more after Per
// divided by the limit. Each node counts for itself and adds what it counted to a
// counter in the store that all nodes share, a twentieth of the limit at a time,
// so the limit is exact within a twentieth for each node. Who is over it is
// refused from memory: a flood does not reach the store. Guesses are counted in
// the store, each one. A Limiter is safe for concurrent use, and a nil Limiter
// allows everything but guesses.
type Limiter struct {
	c        Config
	counters counters
}

// New returns a limiter, or an error that says what is missing.
func New(c Config) (*Limiter, error) {
	if c.State == nil || c.Journal == nil {
		return nil, errors.New("limit: State and Journal are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Limiter{c: c, counters: counters{byKey: map[counterKey]*element{}}}, nil
}

// Allow counts one use by the request's client address ([broker.RequestFrom]).
// CodeRateLimited with when to try again over the limit, CodeUnavailable when
// the store does not answer.
func (l *Limiter) Allow(ctx context.Context, kind Kind) error {
	if l == nil {
		return nil
	}
	rate := l.c.Limits[kind]
	key := counterKey{string(kind) + "/" + clientOf(broker.RequestFrom(ctx).Remote), byAddress}
	return l.count(ctx, kind, key, nil, rate.Address, rate.Per)
}

// AllowAccount does as [Limiter.Allow] for the account from that address.
func (l *Limiter) AllowAccount(ctx context.Context, kind Kind, account string) error {
	return l.allowAccount(ctx, kind, account, nil)
}

// AllowRequest counts one request of a session, of whatever kind, by its person
// and by the client address, so that what a person can make the store write is
// bounded. Errors are those of [Limiter.Allow]; the event is in the person's name.
func (l *Limiter) AllowRequest(ctx context.Context, sess *broker.Session) error {
	if err := l.Allow(ctx, Requests); err != nil {
		return err
	}
	return l.allowAccount(ctx, Requests, sess.Identity.Subject.String(), sess)
}

func (l *Limiter) allowAccount(ctx context.Context, kind Kind, account string, by *broker.Session) error {
	if l == nil {
		return nil
	}
	rate := l.c.Limits[kind]
	key := string(kind) + "/" + clientOf(broker.RequestFrom(ctx).Remote) + "/" + broker.NewSecret(account).Hash()
	return l.count(ctx, kind, counterKey{key, "account and address"}, by, rate.Account, rate.Per)
}

// Guess counts one guess that by makes about who, before it is judged, so that
// many at once are many. Errors are those of [Limiter.Allow].
func (l *Limiter) Guess(ctx context.Context, kind Kind, by *broker.Session, who string) error {
	if l == nil {
		return errors.New("limit: guesses are counted, always")
	}
	most, per := guesses(kind)
	if most == 0 {
		return errors.New("limit: " + string(kind) + " is no kind of guess")
	}
	c := l.counters.get(guessKey(kind, who))
	c.mu.Lock()
	defer c.mu.Unlock()
	wait, err := l.share(ctx, c, most, per, 1)
	if err != nil || wait == 0 {
		return err
	}
	return l.refuse(ctx, c, kind, by, wait, per)
}

// Forgive forgets the guesses of who, after a right one.
func (l *Limiter) Forgive(ctx context.Context, kind Kind, who string) error {
	_, err := l.c.State.Take(ctx, stateKey(guessKey(kind, who)))
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil
	}
	return err
}

func guessKey(kind Kind, who string) counterKey {
	if kind == UserCodeAddress {
		who = clientOf(who)
	}
	return counterKey{string(kind) + "/" + broker.NewSecret(who).Hash(), "guess"}
}

// refuse makes the error, and an event for the first refusal in a while: a flood
// must not fill the store.
func (l *Limiter) refuse(ctx context.Context, c *counter, kind Kind, by *broker.Session, wait, per time.Duration) error {
	err := tooMany(wait, c.key.by == byAddress || kind == UserCodeAddress)
	now := l.c.Now()
	if now.Before(c.told) {
		return err
	}
	e := journal.Entry{Action: broker.ActionLimit, By: by, Target: string(kind), Err: err, Detail: map[string]string{"counted_by": c.key.by}}
	if recErr := l.c.Journal.Record(ctx, e); recErr != nil {
		return errors.Join(err, recErr)
	}
	c.told = now.Add(per)
	return err
}

func tooMany(wait time.Duration, address bool) error {
	who := "Nobody else is kept out by this."
	if address {
		who = "It holds for everybody who comes by the same network address."
	}
	err := broker.Errorf(broker.CodeRateLimited, "Too many tries in a short time.").Fix("Wait %s and try again. %s", inWords(wait), who)
	err.RetryAfter = wait
	return err
}
