package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// LogoutTTL is how long an identity provider may take to answer a sign-out.
const LogoutTTL = 10 * time.Minute

// LogoutConfig holds what [Logout] works with. All fields but Limiter, Now and
// Rand are needed.
type LogoutConfig struct {
	Providers []broker.Provider
	Kept      session.Sealed
	Ender     *session.Ender
	Journal   *journal.Journal
	Limiter   *limit.Limiter   // of what is refused; nil: no limits
	Now       func() time.Time // nil: time.Now
	Rand      io.Reader        // nil: crypto/rand
}

// Logout is the use case of ending sessions: here and at the identity provider
// when a person signs out, here when the identity provider says so.
type Logout struct{ c LogoutConfig }

// NewLogout returns the use case, or an error that says what is missing.
func NewLogout(c LogoutConfig) (*Logout, error) {
	if c.Kept.State == nil || c.Ender == nil || c.Journal == nil {
		return nil, errors.New("signin: Kept, Ender and Journal are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Logout{c}, nil
}

func (l *Logout) provider(id broker.ProviderID) (broker.Provider, error) {
	return findProvider(l.c.Providers, id, "Check the address in the identity provider's settings.")
}

// Ended says what a sign-out did. Challenge is not nil when the browser is to go
// to the provider; Binding is then the value for its binding cookie.
// Unreachable is true when the provider offers logout and could not be asked.
type Ended struct {
	Provider    broker.Provider
	Challenge   *broker.Challenge
	Binding     broker.Secret
	Unreachable bool
	TraceID     string // of the logout at the provider, when it was tried in vain and that is kept
}

type pendingLogout struct {
	Provider    broker.ProviderID `json:"provider"`
	ID          string            `json:"id"`
	BindingHash string            `json:"binding_hash"`
	TraceID     string            `json:"trace_id"`
	Actor       broker.Subject    `json:"actor"`
	Username    string            `json:"username"`
}

// End ends the session here, with its event, and then asks its provider to end
// its own. What the provider does, or cannot be asked, changes nothing here.
func (l *Logout) End(ctx context.Context, sess *broker.Session, binding broker.Secret) (Ended, error) {
	if err := l.c.Ender.End(ctx, sess.Key, journal.Entry{Action: broker.ActionSignOut, By: sess}); err != nil {
		return Ended{}, err
	}
	p, err := l.provider(sess.Identity.Subject.Provider)
	if err != nil {
		return Ended{}, nil //nolint:nilerr // it was taken out of the configuration meanwhile; the session is over all the same
	}
	out := Ended{Provider: p}
	initiator, ok := p.IdP.(broker.LogoutInitiator)
	if !ok {
		return out, nil
	}
	t := l.c.Journal.Start()
	if err := l.ask(broker.WithTrace(ctx, t), t, initiator, sess, binding, &out); err != nil {
		t.Fail("logout.begin", "%v", err)
		out.Challenge, out.Unreachable = nil, true
		// The sign-out is done: what cannot be noted must not look like a failure
		// of it, and has no id that anybody could look for.
		if l.c.Journal.Keep(ctx, t) == nil {
			out.TraceID = t.ID
		}
	}
	return out, nil
}

func (l *Logout) ask(ctx context.Context, t *broker.Trace, in broker.LogoutInitiator, sess *broker.Session, binding broker.Secret, out *Ended) error {
	var secrets [2]broker.Secret
	for i := range secrets {
		var err error
		if secrets[i], err = broker.RandomSecret(l.c.Rand); err != nil {
			return err
		}
	}
	binding, err := bindingFor(l.c.Rand, binding)
	if err != nil {
		return err
	}
	r := broker.LogoutRequest{
		ID: "id-" + secrets[0].Hash()[:32], State: secrets[1].Reveal(),
		NameID: sess.NameID, SessionIndex: sess.SessionIndex, Hint: sess.LogoutHint, Tokens: sess.Tokens,
	}
	challenge, err := in.BeginLogout(ctx, r)
	if err != nil || challenge == nil {
		return err
	}
	if err := l.c.Kept.Put(ctx, session.StateKey(pendingSignOut, r.State), pendingLogout{
		Provider: out.Provider.ID, ID: r.ID, BindingHash: binding.Hash(), TraceID: t.ID, Actor: sess.Identity.Subject, Username: sess.Identity.Username,
	}, LogoutTTL); err != nil {
		return err
	}
	out.Challenge, out.Binding = challenge, binding
	return nil
}

const pendingSignOut = "logout"

// Finish verifies a provider's answer to [Logout.End] and returns the provider.
// The session here has ended whatever comes back. The pending request is used up
// by the first answer, before the binding is looked at: who guesses a state of
// 256 bits could only take away the page that confirms. The trace id is
// returned in every case in which a pending request was found.
func (l *Logout) Finish(ctx context.Context, id broker.ProviderID, state string, binding broker.Secret, m broker.LogoutMessage) (p broker.Provider, traceID string, err error) {
	t := l.c.Journal.Start()
	ctx = broker.WithTrace(ctx, t)
	if p, err = l.provider(id); err != nil {
		return p, "", err
	}
	pending, err := l.take(ctx, p.ID, state, binding)
	if err != nil {
		return p, "", err
	}
	t.ID = pending.TraceID
	initiator, ok := p.IdP.(broker.LogoutInitiator)
	if !ok {
		return p, t.ID, fmt.Errorf("broker: %s has a pending logout and no logout", p.ID)
	}
	err = initiator.FinishLogout(ctx, broker.LogoutRequest{ID: pending.ID, State: state}, m)
	e := journal.Entry{Action: broker.ActionSignOut, Actor: pending.Actor, Username: pending.Username, Target: string(p.ID), Trace: t, Err: err}
	if err == nil {
		e.Detail = map[string]string{"provider": "answered"}
	}
	_ = l.c.Journal.Keep(ctx, t) // as in End
	return p, t.ID, errors.Join(err, l.c.Journal.Record(ctx, e))
}

func (l *Logout) take(ctx context.Context, id broker.ProviderID, state string, binding broker.Secret) (pendingLogout, error) {
	var out pendingLogout
	stale := broker.Errorf(broker.CodeUnauthenticated, "This answer to a sign-out has expired, was already used, or does not belong here.").
		Fix("You can close this page. To be sure, open the portal: it says whether you are signed in.")
	err := l.c.Kept.TakePending(ctx, pendingSignOut, state, &out)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return out, stale.Because(err)
	}
	if err != nil {
		return out, err
	}
	if out.Provider != id || !boundTo(out.BindingHash, binding) {
		return out, stale.Because(errors.New("another provider or another browser"))
	}
	return out, nil
}

// Receive carries out a provider's request to end sessions and says how to
// answer; nil for a channel without an answer. Whether such sessions were there
// makes no difference to the answer. CodeUnauthenticated when the request does
// not verify or was carried out before, and nothing is ended. A request that
// could not be carried out, as with a store that is down, may come again. The
// trace id is returned whenever there is a trace.
func (l *Logout) Receive(ctx context.Context, id broker.ProviderID, m broker.LogoutMessage) (answer *broker.Challenge, traceID string, err error) {
	t := l.c.Journal.Start()
	ctx = broker.WithTrace(ctx, t)
	p, err := l.provider(id)
	if err != nil {
		return nil, "", err
	}
	receiver, ok := p.IdP.(broker.LogoutReceiver)
	if !ok {
		return nil, "", broker.Errorf(broker.CodeNotFound, "This identity provider cannot end sessions here.")
	}
	n, err := receiver.ReceiveLogout(ctx, m)
	var key string
	var ttl time.Duration
	if err == nil {
		key, ttl, err = replayMark(p.ID, n.ReplayID, n.ReplayExpires, l.c.Now())
	}
	if err == nil {
		err = l.unused(ctx, key)
	}
	if err != nil {
		return nil, t.ID, l.refuse(ctx, p.ID, t, err)
	}
	// Marked only when it is done: of two that come at once both end the same
	// sessions, which is harmless; a mark before would make a retry look like a
	// replay and leave sessions alive.
	failed := l.endAll(ctx, p.ID, t, n)
	if failed == nil {
		_, failed = l.c.Kept.State.PutIfAbsent(ctx, key, []byte{1}, ttl)
	}
	if failed != nil {
		t.Fail("logout", "%v", failed)
	}
	_ = l.c.Journal.Keep(ctx, t) // the sessions are over, or the store is down and failed says so
	answer, err = receiver.AnswerLogout(ctx, n, failed)
	if answer == nil {
		err = errors.Join(failed, err)
	}
	return answer, t.ID, err
}

func (l *Logout) unused(ctx context.Context, key string) error {
	_, err := l.c.Kept.State.Get(ctx, key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil
	}
	if err == nil {
		err = broker.Errorf(broker.CodeUnauthenticated, "This sign-out of your identity provider was carried out before.").
			Fix("To end a session that began since, sign out in the portal.")
	}
	return err
}

// endAll ends what it can, each session with its event, and says what it could
// not. A session ends also where its event cannot be recorded; the error then says
// that it was not.
func (l *Logout) endAll(ctx context.Context, p broker.ProviderID, t *broker.Trace, n broker.LogoutNotice) error {
	if len(n.Sessions) == 0 {
		return fmt.Errorf("broker: adapter of %s names no session to end", p)
	}
	for _, f := range n.Sessions {
		if f.Provider != p {
			return fmt.Errorf("broker: adapter of %s wants to end sessions of %s", p, f.Provider)
		}
		if f.SubjectID == "" && f.NameID == "" && f.SessionIndex == "" {
			return fmt.Errorf("broker: adapter of %s wants to end the sessions of everybody", p)
		}
	}
	ended := 0
	var errs []error
	for _, f := range n.Sessions {
		search := f
		if f.NameID != "" {
			search.SessionIndex = "" // compared below
		}
		n, err := l.c.Ender.EndFound(ctx, search, func(row broker.SessionRow) bool {
			// A session of the person for which the provider named no index may
			// be the one that is meant.
			return f.SessionIndex == "" || row.SessionIndex == "" || row.SessionIndex == f.SessionIndex
		}, func(row broker.SessionRow) journal.Entry {
			return journal.Entry{Action: broker.ActionLogout, Actor: row.Subject, Target: string(p), Trace: t}
		})
		ended += n
		errs = append(errs, err)
	}
	t.Pass("logout", "sessions ended: %d", ended)
	return errors.Join(errs...)
}

// refuse keeps the trace and records the event of a refusal. Anybody can send
// what is refused, so the client's address is limited like that of answers to a
// sign-in; what verifies is not, as a provider may end thousands of sessions at
// once, and each that is turned away lives on.
func (l *Logout) refuse(ctx context.Context, p broker.ProviderID, t *broker.Trace, err error) error {
	if limited := l.c.Limiter.Allow(ctx, limit.SignInFinish); limited != nil {
		return limited
	}
	t.Fail("logout.refused", "%v", err)
	return l.c.Journal.Refuse(ctx, journal.Entry{Action: broker.ActionLogout, Target: string(p), Trace: t, Err: err})
}
