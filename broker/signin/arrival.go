package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
)

// ArrivalTTL is how long a person may look at the question whether to sign in.
const ArrivalTTL = 5 * time.Minute

// Arrival is a verified answer of an identity provider that nobody here asked
// for (SAML profiles 4.1.5). Anybody can make a browser bring one, so it is no
// session: the person is asked, and agrees by bringing back Token in the same
// browser.
type Arrival struct {
	Token    broker.Secret // for the form
	Binding  broker.Secret // for the binding cookie
	Provider broker.Provider
	Identity broker.Identity
}

type arrivalRecord struct {
	Provider      broker.ProviderID   `json:"provider"`
	BindingHash   string              `json:"binding_hash"`
	TraceID       string              `json:"trace_id"`
	TraceSteps    []broker.TraceStep  `json:"trace_steps"`
	ExpiresAt     time.Time           `json:"expires_at"`
	SubjectID     string              `json:"subject_id"`
	GivenID       string              `json:"given_id,omitempty"`
	NameIDFormat  string              `json:"name_id_format"`
	NameID        string              `json:"name_id"`
	Claims        broker.Claims       `json:"claims"`
	Unreadable    broker.Unreadable   `json:"unreadable,omitempty"`
	AuthnContext  broker.AuthnContext `json:"authn_context"`
	AuthnInstant  time.Time           `json:"authn_instant"`
	SessionIndex  string              `json:"session_index"`
	LogoutHint    string              `json:"logout_hint,omitempty"`
	NotOnOrAfter  time.Time           `json:"not_on_or_after"`
	ReplayID      string              `json:"replay_id"`
	ReplayExpires time.Time           `json:"replay_expires"`
}

func (r arrivalRecord) authentication() broker.Authentication {
	return broker.Authentication{
		Subject: broker.Subject{Provider: r.Provider, ID: r.SubjectID}, GivenID: r.GivenID, NameIDFormat: r.NameIDFormat, NameID: r.NameID,
		Claims: r.Claims, Unreadable: r.Unreadable, AuthnContext: r.AuthnContext, AuthnInstant: r.AuthnInstant, SessionIndex: r.SessionIndex, NotOnOrAfter: r.NotOnOrAfter,
		LogoutHint: broker.NewSecret(r.LogoutHint), ReplayID: r.ReplayID, ReplayExpires: r.ReplayExpires,
	}
}

func arrivalKey(token broker.Secret) string { return "arrival/" + token.Hash() }

// arrive verifies an unsolicited answer and keeps it, sealed, until the person
// agrees. The answer is used up by this, whatever the person does.
func (s *Service) arrive(ctx context.Context, t *broker.Trace, p broker.Provider, u broker.UnsolicitedReceiver, in Answer) (*Arrival, error) {
	t.Pass("signin.unsolicited", "no sign-in was begun under this state, and %s may send answers unasked", p.ID)
	auth, err := u.FinishUnsolicited(ctx, in.Form)
	if err != nil {
		return nil, err
	}
	if auth.Subject.Provider != p.ID {
		return nil, fmt.Errorf("broker: adapter of %s vouched for provider %s", p.ID, auth.Subject.Provider)
	}
	t.Pass("claims", "%s", claimNames(auth.Claims))
	if err := s.c.Limiter.AllowAccount(ctx, limit.SignInFinish, auth.Subject.String()); err != nil {
		return nil, err
	}
	if err := s.guardReplay(ctx, t, p.ID, auth); err != nil {
		return nil, err
	}
	id, err := s.identify(ctx, t, p, auth)
	if err != nil {
		return nil, err
	}
	token, err := broker.RandomSecret(s.c.Rand)
	if err != nil {
		return nil, err
	}
	binding, err := bindingFor(s.c.Rand, in.Binding)
	if err != nil {
		return nil, err
	}
	entry := journal.Entry{Action: broker.ActionArrive, Actor: id.Subject, Username: id.Username, Target: string(p.ID), Trace: t}
	if err := s.c.Journal.Record(ctx, entry); err != nil {
		return nil, err
	}
	t.Pass("signin.ask", "the person is asked before a session begins")
	if err := s.c.Kept.Put(ctx, arrivalKey(token), arrivalRecord{
		Provider: p.ID, BindingHash: binding.Hash(), TraceID: t.ID, TraceSteps: t.Steps(), ExpiresAt: s.c.Now().Add(ArrivalTTL),
		SubjectID: auth.Subject.ID, GivenID: auth.GivenID, NameIDFormat: auth.NameIDFormat, NameID: auth.NameID,
		Claims: auth.Claims, Unreadable: auth.Unreadable, AuthnContext: auth.AuthnContext,
		AuthnInstant: auth.AuthnInstant, SessionIndex: auth.SessionIndex, NotOnOrAfter: auth.NotOnOrAfter,
		LogoutHint: auth.LogoutHint.Reveal(), ReplayID: auth.ReplayID, ReplayExpires: auth.ReplayExpires,
	}, ArrivalTTL); err != nil {
		return nil, err
	}
	return &Arrival{Token: token, Binding: binding, Provider: p, Identity: id}, nil
}

// Agreement is the person's answer to the question about an [Arrival].
type Agreement struct {
	Provider broker.ProviderID // from the route
	Token    broker.Secret
	Binding  broker.Secret // the browser's binding cookie
	Replaces string        // as in [Request]
}

// Agree makes the session of an arrival. It returns what [Service.Finish] does;
// ReturnTo is always "/", as nothing that came with the answer says where the
// person wants to go.
func (s *Service) Agree(ctx context.Context, in Agreement) (Result, string, error) {
	p, err := s.provider(in.Provider)
	if err != nil {
		return Result{}, "", err
	}
	if u, ok := p.IdP.(broker.UnsolicitedReceiver); !ok || !u.AcceptsUnsolicited() {
		return Result{}, "", broker.Errorf(broker.CodeNotFound, "This identity provider does not start sign-ins.").Fix("Start from the portal.")
	}
	return s.attempt(ctx, p.ID, func(ctx context.Context, t *broker.Trace) (Result, error) { return s.agree(ctx, t, p, in) })
}

func (s *Service) agree(ctx context.Context, t *broker.Trace, p broker.Provider, in Agreement) (Result, error) {
	stale := broker.Errorf(broker.CodeUnauthenticated, "This question has expired, or was already answered.").Fix("Start again from the portal.")
	if len(in.Token.Reveal()) != 43 {
		return Result{}, stale.Because(errors.New("no token of an arrival"))
	}
	var a arrivalRecord
	err := s.c.Kept.Take(ctx, arrivalKey(in.Token), &a)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return Result{}, stale.Because(fmt.Errorf("no arrival under this token: %w", err))
	}
	if err != nil {
		return Result{}, err
	}
	t.ID = a.TraceID
	t.Prepend(a.TraceSteps)
	switch {
	case a.Provider != p.ID:
		return Result{}, stale.Because(fmt.Errorf("the arrival was from %s, the agreement came to %s", a.Provider, p.ID))
	case !boundTo(a.BindingHash, in.Binding):
		return Result{}, stale.Because(errors.New("binding cookie absent or different"))
	case !s.c.Now().Before(a.ExpiresAt):
		return Result{}, stale.Because(fmt.Errorf("the question ended at %s", a.ExpiresAt))
	}
	t.Pass("signin.agreed", "by the person, in the browser that was asked")
	auth := a.authentication()
	id, err := s.identify(ctx, t, p, auth)
	if err != nil {
		return Result{}, err
	}
	return s.open(ctx, t, p, broker.AuthRequest{Provider: p.ID, ReturnTo: "/", Replaces: in.Replaces}, auth, id)
}
