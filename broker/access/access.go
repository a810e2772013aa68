package access

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// Config holds what [Service] works with. All fields but Refreshers, Limiter,
// Admins, Now and Rand are needed.
type Config struct {
	Book         *session.Book
	Kept         session.Sealed
	Entitlements *Entitlements
	Asserter     broker.Asserter
	Assumer      broker.RoleAssumer
	RoleSessions broker.RoleSessionStore
	Journal      *journal.Journal
	Refreshers   map[broker.ProviderID]broker.TokenRefresher
	Policies     map[broker.ProviderID]broker.MFAPolicy // for enforcement of our own factor
	PortalURL    string                                 // our public URL, the Issuer of console links
	Limiter      *limit.Limiter                         // nil: no limits
	Admins       broker.AdminJudge                      // nil: nobody is an administrator
	Now          func() time.Time                       // nil: time.Now
	Rand         io.Reader                              // nil: crypto/rand
}

// Service is the use case of getting into AWS with a session.
type Service struct {
	c      Config
	lists  lists
	tokens tokens
}

// New returns the use case, or an error that says what is missing.
func New(c Config) (*Service, error) {
	if c.Book == nil || c.Kept.State == nil || c.Entitlements == nil || c.Asserter == nil || c.Assumer == nil || c.RoleSessions == nil ||
		c.Journal == nil || c.Policies == nil {
		return nil, errors.New("access: all but Refreshers, Limiter, Admins, Now and Rand are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Service{c: c, lists: lists{seen: map[string]listed{}}}, nil
}

// Authenticate returns the session of a browser's token. CodeUnauthenticated when
// there is none or it has ended, CodeRateLimited when its person asks too often,
// CodeUnavailable when the store does not answer.
func (a *Service) Authenticate(ctx context.Context, token broker.Secret) (*broker.Session, error) {
	ended := broker.Errorf(broker.CodeUnauthenticated, "You are not signed in, or your session has ended.").Fix("Sign in again.")
	if token.IsZero() {
		return nil, ended
	}
	sess, err := a.c.Book.Use(ctx, token.Hash())
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil, ended.Because(err)
	}
	if err != nil {
		return nil, err
	}
	if !sess.IsBrowser() { // a program shows an access token, see package program
		return nil, ended
	}
	if err := a.c.Limiter.AllowRequest(ctx, sess); err != nil {
		return nil, err
	}
	if a.c.Admins != nil {
		if sess.Admin, err = a.c.Admins.IsAdmin(ctx, sess.Identity); err != nil {
			return nil, err
		}
	}
	return sess, nil
}

// Assignments returns what the person may use now, sorted, and records that the
// list was given out; lists that follow one another within a minute are one
// event.
func (a *Service) Assignments(ctx context.Context, sess *broker.Session) ([]broker.Assignment, error) {
	as, err := a.c.Entitlements.Assignments(ctx, sess.Identity)
	if err != nil {
		return nil, err
	}
	if err := a.listed(ctx, sess, len(as)); err != nil {
		return nil, err
	}
	return as, nil
}

// Explain says why the person has what they have.
func (a *Service) Explain(ctx context.Context, sess *broker.Session) (broker.Explanation, error) {
	return a.c.Entitlements.Explain(ctx, sess.Identity)
}

// refuse records that the person did not get what was wanted. The event is about
// the role, so that it is found by its account; x is that role, zero when it was
// not found among those of the person.
func (a *Service) refuse(
	ctx context.Context, sess *broker.Session, act broker.Action, wanted broker.Wanted, x broker.Assignment, err error,
) error {
	e := journal.Entry{Action: act, By: sess, Target: wanted.String(), Err: err}
	known := x.ID != ""
	if !known && broker.CodeOf(err) != broker.CodeRateLimited { // of which there is no event
		x, known = a.c.Entitlements.Known(ctx, wanted)
	}
	if known {
		e.Target, e.Detail = string(x.RoleARN), named(x)
	}
	return a.c.Journal.Refuse(ctx, e)
}

// named is what people call a role, for an event whose target is its ARN.
func named(x broker.Assignment) map[string]string {
	return map[string]string{"account": x.Account.Name, "role": x.Role}
}
