package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// Config holds what [Service] works with. All fields but Limiter, Now and Rand
// are needed.
type Config struct {
	Providers  []broker.Provider
	Mapper     broker.IdentityMapper
	Kept       session.Sealed
	Book       *session.Book
	Names      broker.NameRegistry
	Identities session.Identities
	Journal    *journal.Journal
	Limiter    *limit.Limiter   // nil: no limits
	Now        func() time.Time // nil: time.Now
	Rand       io.Reader        // nil: crypto/rand
}

// Service is the use case of proving who one is.
type Service struct{ c Config }

// New returns the use case, or an error that says what is missing.
func New(c Config) (*Service, error) {
	if c.Mapper == nil || c.Kept.State == nil || c.Book == nil || c.Names == nil || c.Identities.Store == nil || c.Journal == nil {
		return nil, errors.New("signin: Mapper, Kept, Book, Names, Identities and Journal are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Service{c}, nil
}

// Providers lists the providers in configured order.
func (s *Service) Providers() []broker.Provider { return slices.Clone(s.c.Providers) }

// ProviderFor returns the provider whose e-mail domains hold the address.
func (s *Service) ProviderFor(email string) (broker.Provider, bool) {
	_, domain, _ := strings.Cut(strings.ToLower(strings.TrimSpace(email)), "@")
	if domain == "" {
		return broker.Provider{}, false
	}
	for _, p := range s.c.Providers {
		if slices.Contains(p.EmailDomains, domain) {
			return p, true
		}
	}
	return broker.Provider{}, false
}

func (s *Service) provider(id broker.ProviderID) (broker.Provider, error) {
	return findProvider(s.c.Providers, id, "Go back to the sign-in page and choose one from the list.")
}

// Request asks for a sign-in at a provider.
type Request struct {
	Provider broker.ProviderID
	ReturnTo string         // local path to go to afterwards; anything else becomes "/"
	Binding  broker.Secret  // the browser's binding cookie, if it has one
	StepUp   *broker.StepUp // ask for stronger or fresher authentication
	Replaces string         // Session.Key of the session the browser has now; it ends when the new one begins
}

// Begun is a started sign-in: where to send the browser, and the binding value
// to set as its cookie.
type Begun struct {
	Challenge broker.Challenge
	Binding   broker.Secret
	TraceID   string
}

// Begin starts a sign-in: it stores the pending request for [SignInTTL] and
// returns where to send the browser. CodeNotFound for an unknown provider,
// CodeUnavailable when the provider or the store does not answer.
func (s *Service) Begin(ctx context.Context, in Request) (Begun, error) {
	p, err := s.provider(in.Provider)
	if err != nil {
		return Begun{}, err
	}
	if err := s.c.Limiter.Allow(ctx, limit.SignIn); err != nil {
		return Begun{}, err
	}
	t := s.c.Journal.Start()
	ctx = broker.WithTrace(ctx, t)
	r, binding, err := s.newRequest(p, in)
	if err != nil {
		return Begun{}, err
	}
	r.TraceID = t.ID
	challenge, err := p.IdP.Begin(ctx, r)
	if err != nil {
		t.Fail("signin.begin", "%v", err)
		return Begun{TraceID: t.ID}, s.refuse(ctx, p.ID, t, err)
	}
	t.Pass("signin.begin", "sent to %s, return to %s", p.ID, r.ReturnTo)
	if err := s.c.Kept.Put(ctx, session.StateKey(pendingSignIn, r.State), newAuthRequestRecord(r, t.Steps()), broker.SignInTTL); err != nil {
		return Begun{TraceID: t.ID}, err
	}
	return Begun{Challenge: challenge, Binding: binding, TraceID: t.ID}, nil
}

const pendingSignIn = "signin"

func (s *Service) newRequest(p broker.Provider, in Request) (broker.AuthRequest, broker.Secret, error) {
	var secrets [3]broker.Secret
	for i := range secrets {
		var err error
		if secrets[i], err = broker.RandomSecret(s.c.Rand); err != nil {
			return broker.AuthRequest{}, broker.Secret{}, err
		}
	}
	binding, err := bindingFor(s.c.Rand, in.Binding)
	if err != nil {
		return broker.AuthRequest{}, broker.Secret{}, err
	}
	now := s.c.Now()
	r := broker.AuthRequest{
		ID: "id-" + secrets[0].Hash()[:32], State: secrets[1].Reveal(), Nonce: broker.NewSecret(secrets[0].Reveal() + "n").Hash(),
		CodeVerifier: secrets[2], Provider: p.ID, ReturnTo: broker.LocalPath(in.ReturnTo),
		BindingHash: binding.Hash(), CreatedAt: now, ExpiresAt: now.Add(broker.SignInTTL), Replaces: in.Replaces,
	}
	if in.StepUp != nil {
		r.ForceAuthn = true
		r.MaxAuthAge = in.StepUp.MaxAuthAge
		if in.StepUp.MFA {
			r.RequestedContext, r.WantMFA = p.MFA.Wanted(), true
		}
	}
	return r, binding, nil
}

// Answer is an identity provider's answer as it reached us.
type Answer struct {
	Provider broker.ProviderID // from the route: each provider has its own
	State    string            // RelayState or state
	Binding  broker.Secret     // the browser's binding cookie
	Form     url.Values
}

// Result is the result of a sign-in. The token is shown once, to be set as
// the session cookie. If Arrival is set there is no session yet: the person has
// to agree first.
type Result struct {
	Arrival  *Arrival
	Token    broker.Secret
	Session  *broker.Session
	ReturnTo string
}

// Finish verifies the answer and makes a session. Whatever does not verify is
// CodeUnauthenticated or CodeDenied, with the reason in the trace and an event;
// the pending request is gone after the first try. The trace id is returned in
// every case in which a pending request was found.
func (s *Service) Finish(ctx context.Context, in Answer) (Result, string, error) {
	return s.attempt(ctx, in.Provider, func(ctx context.Context, t *broker.Trace) (Result, error) { return s.finish(ctx, t, in) })
}

// attempt is one answer of somebody who is not signed in. Whatever becomes of it
// writes a trace and an event, so who brings too many is turned away before
// anything is verified or stored.
func (s *Service) attempt(
	ctx context.Context, p broker.ProviderID, f func(context.Context, *broker.Trace) (Result, error),
) (Result, string, error) {
	if err := s.c.Limiter.Allow(ctx, limit.SignInFinish); err != nil {
		return Result{}, "", err
	}
	t := s.c.Journal.Start()
	ctx = broker.WithTrace(ctx, t)
	out, err := f(ctx, t)
	if err != nil {
		t.Fail("signin.refused", "%v", err)
		return Result{}, t.ID, s.refuse(ctx, p, t, err)
	}
	return out, t.ID, s.c.Journal.Keep(ctx, t)
}

// refuse keeps the trace and records the event of a refusal, then returns the
// error; a store that cannot do either turns it into CodeUnavailable. Nobody has
// signed in, so each caller has asked the limiter first.
func (s *Service) refuse(ctx context.Context, p broker.ProviderID, t *broker.Trace, err error) error {
	return s.c.Journal.Refuse(ctx, journal.Entry{Action: broker.ActionSignIn, Target: string(p), Trace: t, Err: err})
}

func (s *Service) finish(ctx context.Context, t *broker.Trace, in Answer) (Result, error) {
	p, err := s.provider(in.Provider)
	if err != nil {
		return Result{}, err
	}
	r, err := s.takePending(ctx, t, in)
	if errors.Is(err, errNoPending) {
		if u, ok := p.IdP.(broker.UnsolicitedReceiver); ok && u.AcceptsUnsolicited() {
			a, err := s.arrive(ctx, t, p, u, in)
			return Result{Arrival: a}, err
		}
	}
	if err != nil {
		return Result{}, err
	}
	auth, err := p.IdP.Finish(ctx, r, in.Form)
	if err != nil {
		return Result{}, err
	}
	if auth.Subject.Provider != p.ID {
		return Result{}, fmt.Errorf("broker: adapter of %s vouched for provider %s", p.ID, auth.Subject.Provider)
	}
	t.Pass("claims", "%s", claimNames(auth.Claims))
	if err := s.c.Limiter.AllowAccount(ctx, limit.SignInFinish, auth.Subject.String()); err != nil {
		return Result{}, err
	}
	if err := s.guardReplay(ctx, t, p.ID, auth); err != nil {
		return Result{}, err
	}
	id, err := s.identify(ctx, t, p, auth)
	if err != nil {
		return Result{}, err
	}
	if r.WantMFA && !id.MFA {
		return Result{}, lessThanAsked(p)
	}
	return s.open(ctx, t, p, r, auth, id)
}

// identify maps what was verified to an Identity and holds it to what every
// sign-in needs.
func (s *Service) identify(ctx context.Context, t *broker.Trace, p broker.Provider, auth broker.Authentication) (broker.Identity, error) {
	id, err := s.c.Mapper.Identity(ctx, auth)
	if err != nil {
		return broker.Identity{}, err
	}
	if id.Subject.Provider != p.ID || id.Subject.ID == "" {
		return broker.Identity{}, broker.Errorf(broker.CodeDenied, "Your identity provider did not say who you are in a lasting way.").
			Fix("Ask your administrator to send a persistent NameID, or to set identity.subject for %s.", p.ID)
	}
	t.Pass("identity", "%s as %s, %d groups, mfa %t", id.Subject, id.Username, len(id.Groups), id.MFA)
	if p.MFA.Required && !id.MFA {
		return broker.Identity{}, (&broker.Error{Code: broker.CodeStepUp, StepUp: &broker.StepUp{MFA: true},
			Message: "Your identity provider did not say that you used a second factor."}).
			Fix("Sign in again with your second factor. If you did use one, tell your administrator: the proof did not arrive.")
	}
	return id, nil
}

// errNoPending is the cause of a refusal because nothing was begun under the
// state: the one case in which an answer may be an unsolicited one.
var errNoPending = errors.New("no pending request under this state")

// claimNames lists the claims for a trace: how many values each has, and no
// value.
func claimNames(c broker.Claims) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(c)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%d)", broker.ShortText(name), len(c[name]))
	}
	return b.String()
}

// lessThanAsked ends a step-up: asking the provider once more would bring the
// same answer. The session that the person had stays as it was.
func lessThanAsked(p broker.Provider) error {
	e := broker.Errorf(broker.CodeDenied, "%s was asked for a second factor and answered without proof of one, so roles that need it stay closed.", p.Name)
	if p.MFA.Own != broker.OwnFactorOff {
		return e.Fix("Use rolegate's own second factor in place of it: open “Second factor” in the portal.")
	}
	return e.Fix("Set up a second factor at %s. If you did use one, give your administrator the trace id: the proof did not arrive.", p.Name)
}

func (s *Service) takePending(ctx context.Context, t *broker.Trace, in Answer) (broker.AuthRequest, error) {
	stale := broker.Errorf(broker.CodeUnauthenticated, "This sign-in has expired, was already used, or did not begin here.").
		Fix("Start again from the portal.")
	var record authRequestRecord
	err := s.c.Kept.TakePending(ctx, pendingSignIn, in.State, &record)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return broker.AuthRequest{}, stale.Because(fmt.Errorf("%w: %w", errNoPending, err))
	}
	if err != nil {
		return broker.AuthRequest{}, err
	}
	r := record.request()
	t.ID = r.TraceID
	t.Prepend(record.TraceSteps)
	if r.Provider != in.Provider {
		return broker.AuthRequest{}, stale.Because(fmt.Errorf("request was for %s, answer came to %s (mix-up)", r.Provider, in.Provider))
	}
	if !boundTo(r.BindingHash, in.Binding) {
		return broker.AuthRequest{}, broker.Errorf(broker.CodeUnauthenticated, "This sign-in was begun in another browser.").
			Fix("Start again from the portal, and let the browser keep its cookies.").
			Because(fmt.Errorf("binding cookie absent or different"))
	}
	if !s.c.Now().Before(r.ExpiresAt) {
		return broker.AuthRequest{}, stale.Because(fmt.Errorf("pending request ended at %s", r.ExpiresAt))
	}
	t.Pass("signin.pending", "found, bound to this browser, begun %s ago", s.c.Now().Sub(r.CreatedAt).Round(time.Second))
	return r, nil
}

func (s *Service) guardReplay(ctx context.Context, t *broker.Trace, p broker.ProviderID, auth broker.Authentication) error {
	key, ttl, err := replayMark(p, auth.ReplayID, auth.ReplayExpires, s.c.Now())
	if err != nil {
		return err
	}
	fresh, err := s.c.Kept.State.PutIfAbsent(ctx, key, []byte{1}, ttl)
	if err != nil {
		return err
	}
	if !fresh {
		return broker.Errorf(broker.CodeUnauthenticated, "This answer of your identity provider was used before.").
			Fix("Start again from the portal. If you did not do this yourself, tell your administrator.")
	}
	t.Pass("replay", "first use")
	return nil
}

// open claims the person's AWS names, keeps the identity, stores the session
// and records the event, in that order: an event without a session releases
// nothing, a session without an event would.
func (s *Service) open(ctx context.Context, t *broker.Trace, p broker.Provider, r broker.AuthRequest, auth broker.Authentication, id broker.Identity) (Result, error) {
	now := s.c.Now()
	token, err := broker.RandomSecret(s.c.Rand)
	if err != nil {
		return Result{}, err
	}
	sess := &broker.Session{
		Key: token.Hash(), Identity: id, NameID: auth.NameID, SessionIndex: auth.SessionIndex,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: s.c.Book.Limits().End(now), Tokens: auth.Tokens, LogoutHint: auth.LogoutHint,
		Remote: broker.RequestFrom(ctx).Remote, UserAgent: broker.RequestFrom(ctx).UserAgent,
	}
	if !id.NotOnOrAfter.IsZero() && id.NotOnOrAfter.Before(sess.ExpiresAt) {
		sess.ExpiresAt = id.NotOnOrAfter
	}
	if !sess.ExpiresAt.After(now) {
		return Result{}, broker.Errorf(broker.CodeUnauthenticated, "Your session at the identity provider has already ended.").Fix("Sign in again.")
	}
	before, err := s.before(ctx, r)
	if err != nil {
		return Result{}, err
	}
	if sess.SessionName, err = s.claimName(ctx, broker.NameRoleSession, id.SessionName, id.Subject); err != nil {
		return Result{}, err
	}
	if sess.SourceIdentity, err = s.claimName(ctx, broker.NameSourceIdentity, id.SourceIdentity, id.Subject); err != nil {
		return Result{}, err
	}
	t.Pass("names", "RoleSessionName %s, SourceIdentity %s", sess.SessionName, sess.SourceIdentity)
	if err := s.c.Identities.Save(ctx, id, now); err != nil {
		return Result{}, err
	}
	if err := s.c.Journal.Record(ctx, journal.Entry{Action: broker.ActionSignIn, By: sess, Target: string(p.ID), Trace: t, Detail: map[string]string{
		"idp_initiated": fmt.Sprint(r.ID == ""),
		"mfa":           fmt.Sprint(id.MFA), "acr": id.AuthnContext.ACR, "amr": strings.Join(id.AuthnContext.AMR, " "),
		"session_name": sess.SessionName, "source_identity": sess.SourceIdentity,
	}}); err != nil {
		return Result{}, err
	}
	if err := s.keep(ctx, r, before, sess); err != nil {
		return Result{}, err
	}
	t.Pass("session", "until %s", sess.ExpiresAt.UTC().Format(time.RFC3339))
	return Result{Token: token, Session: sess, ReturnTo: r.ReturnTo}, nil
}

var errStepUpEnded = broker.Errorf(broker.CodeUnauthenticated, "Your session ended while you were at your identity provider.").
	Fix("Sign in again from the portal.")

// before returns the session that ends with this sign-in, nil if there is none
// any more. A step-up raises a session that is there: when it was ended in
// between, by whomever, the person has to sign in anew.
func (s *Service) before(ctx context.Context, r broker.AuthRequest) (*broker.Session, error) {
	if r.Replaces == "" {
		return nil, nil
	}
	sess, err := s.c.Book.Live(ctx, r.Replaces)
	switch {
	case broker.CodeOf(err) == broker.CodeNotFound:
		if r.ForceAuthn {
			return nil, errStepUpEnded.Because(err)
		}
		return nil, nil
	case err != nil:
		return nil, err
	}
	return sess, nil
}

// keep stores the new session. That of the same person takes the place of the
// one before in one step, so that an end of that one either is seen here or
// meets the new one.
func (s *Service) keep(ctx context.Context, r broker.AuthRequest, before, sess *broker.Session) error {
	if before != nil && before.Identity.Subject == sess.Identity.Subject {
		// It begins after that one, by whatever clock: what revoked the person's
		// sessions before that one must not count for this one.
		if before.CreatedAt.After(sess.CreatedAt) {
			sess.CreatedAt = before.CreatedAt
		}
		err := s.c.Book.Replace(ctx, before.Key, sess)
		switch {
		case broker.CodeOf(err) != broker.CodeNotFound:
			return err
		case r.ForceAuthn:
			return errStepUpEnded.Because(err)
		}
	}
	if err := s.c.Book.Begin(ctx, sess); err != nil || before == nil {
		return err
	}
	return s.c.Book.Remove(ctx, before.Key)
}

func (s *Service) claimName(ctx context.Context, kind broker.NameKind, wanted string, sub broker.Subject) (string, error) {
	name, err := s.c.Names.ClaimName(ctx, kind, sub, broker.SessionNames(wanted, sub)...)
	if err != nil {
		return "", fmt.Errorf("signin: name for %s: %w", sub, err)
	}
	return name, nil
}
