package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ArrivalTTL is how long a person may look at the question whether to sign in.
const ArrivalTTL = 5 * time.Minute

// Arrival is a verified answer of an identity provider that nobody here asked
// for (SAML profiles 4.1.5). Anybody can make a browser bring one, so it is no
// session: the person is asked, and agrees by bringing back Token in the same
// browser.
type Arrival struct {
	Token    Secret // for the form
	Binding  Secret // for the binding cookie
	Provider Provider
	Identity Identity
}

type arrivalRecord struct {
	Provider      ProviderID   `json:"provider"`
	BindingHash   string       `json:"binding_hash"`
	TraceID       string       `json:"trace_id"`
	TraceSteps    []TraceStep  `json:"trace_steps"`
	ExpiresAt     time.Time    `json:"expires_at"`
	SubjectID     string       `json:"subject_id"`
	NameIDFormat  string       `json:"name_id_format"`
	NameID        string       `json:"name_id"`
	Claims        Claims       `json:"claims"`
	AuthnContext  AuthnContext `json:"authn_context"`
	AuthnInstant  time.Time    `json:"authn_instant"`
	SessionIndex  string       `json:"session_index"`
	LogoutHint    string       `json:"logout_hint,omitempty"`
	NotOnOrAfter  time.Time    `json:"not_on_or_after"`
	ReplayID      string       `json:"replay_id"`
	ReplayExpires time.Time    `json:"replay_expires"`
}

func (r arrivalRecord) authentication() Authentication {
	return Authentication{
		Subject: Subject{r.Provider, r.SubjectID}, NameIDFormat: r.NameIDFormat, NameID: r.NameID, Claims: r.Claims,
		AuthnContext: r.AuthnContext, AuthnInstant: r.AuthnInstant, SessionIndex: r.SessionIndex, NotOnOrAfter: r.NotOnOrAfter,
		LogoutHint: NewSecret(r.LogoutHint), ReplayID: r.ReplayID, ReplayExpires: r.ReplayExpires,
	}
}

func arrivalKey(token Secret) string { return "arrival/" + token.Hash() }

// arrive verifies an unsolicited answer and keeps it, sealed, until the person
// agrees. The answer is used up by this, whatever the person does.
func (s *SignIn) arrive(ctx context.Context, t *Trace, p Provider, u UnsolicitedReceiver, in FinishSignIn) (*Arrival, error) {
	t.Pass("signin.unsolicited", "no sign-in was begun under this state, and %s may send answers unasked", p.ID)
	auth, err := u.FinishUnsolicited(ctx, in.Form)
	if err != nil {
		return nil, err
	}
	if auth.Subject.Provider != p.ID {
		return nil, fmt.Errorf("broker: adapter of %s vouched for provider %s", p.ID, auth.Subject.Provider)
	}
	t.Pass("claims", "%s", claimNames(auth.Claims))
	if err := s.c.Limiter.AllowAccount(ctx, LimitSignInFinish, auth.Subject.String()); err != nil {
		return nil, err
	}
	if err := s.guardReplay(ctx, t, p.ID, auth); err != nil {
		return nil, err
	}
	id, err := s.identify(ctx, t, p, auth)
	if err != nil {
		return nil, err
	}
	token, err := RandomSecret(s.c.Rand)
	if err != nil {
		return nil, err
	}
	binding, err := bindingFor(s.c.Rand, in.Binding)
	if err != nil {
		return nil, err
	}
	e := newEvent(ctx, s.c.Now(), ActionArrive, OutcomeOK)
	e.Actor, e.Username, e.Target, e.TraceID = id.Subject, id.Username, string(p.ID), t.ID
	if err := s.c.Events.Record(ctx, e); err != nil {
		return nil, err
	}
	t.Pass("signin.ask", "the person is asked before a session begins")
	if err := s.kept.put(ctx, arrivalKey(token), arrivalRecord{
		Provider: p.ID, BindingHash: binding.Hash(), TraceID: t.ID, TraceSteps: t.Steps(), ExpiresAt: s.c.Now().Add(ArrivalTTL),
		SubjectID: auth.Subject.ID, NameIDFormat: auth.NameIDFormat, NameID: auth.NameID, Claims: auth.Claims, AuthnContext: auth.AuthnContext,
		AuthnInstant: auth.AuthnInstant, SessionIndex: auth.SessionIndex, NotOnOrAfter: auth.NotOnOrAfter,
		LogoutHint: auth.LogoutHint.Reveal(), ReplayID: auth.ReplayID, ReplayExpires: auth.ReplayExpires,
	}, ArrivalTTL); err != nil {
		return nil, err
	}
	return &Arrival{Token: token, Binding: binding, Provider: p, Identity: id}, nil
}

// AgreeToSignIn is the person's answer to the question about an [Arrival].
type AgreeToSignIn struct {
	Provider ProviderID // from the route
	Token    Secret
	Binding  Secret // the browser's binding cookie
	Replaces string // as in [BeginSignIn]
}

// Agree makes the session of an arrival. It returns what [SignIn.Finish] does;
// ReturnTo is always "/", as nothing that came with the answer says where the
// person wants to go.
func (s *SignIn) Agree(ctx context.Context, in AgreeToSignIn) (SignedIn, string, error) {
	t := s.traces.Start()
	ctx = WithTrace(ctx, t)
	out, err := s.agree(ctx, t, in)
	if err != nil {
		t.Fail("signin.refused", "%v", err)
		return SignedIn{}, t.ID, s.refuse(ctx, in.Provider, t, err)
	}
	if err := s.traces.Save(ctx, t); err != nil {
		return SignedIn{}, t.ID, err
	}
	return out, t.ID, nil
}

func (s *SignIn) agree(ctx context.Context, t *Trace, in AgreeToSignIn) (SignedIn, error) {
	p, err := s.provider(in.Provider)
	if err != nil {
		return SignedIn{}, err
	}
	stale := Errorf(CodeUnauthenticated, "This question has expired, or was already answered.").Fix("Start again from the portal.")
	if len(in.Token.Reveal()) != 43 {
		return SignedIn{}, stale.Because(errors.New("no token of an arrival"))
	}
	var a arrivalRecord
	err = s.kept.take(ctx, arrivalKey(in.Token), &a)
	if CodeOf(err) == CodeNotFound {
		return SignedIn{}, stale.Because(fmt.Errorf("no arrival under this token: %w", err))
	}
	if err != nil {
		return SignedIn{}, err
	}
	t.ID = a.TraceID
	t.Prepend(a.TraceSteps)
	switch u, ok := p.IdP.(UnsolicitedReceiver); {
	case a.Provider != p.ID:
		return SignedIn{}, stale.Because(fmt.Errorf("the arrival was from %s, the agreement came to %s", a.Provider, p.ID))
	case !boundTo(a.BindingHash, in.Binding):
		return SignedIn{}, stale.Because(errors.New("binding cookie absent or different"))
	case !s.c.Now().Before(a.ExpiresAt):
		return SignedIn{}, stale.Because(fmt.Errorf("the question ended at %s", a.ExpiresAt))
	case !ok || !u.AcceptsUnsolicited(): // switched off in between
		return SignedIn{}, stale.Because(errors.New("unsolicited answers are not taken any more"))
	}
	t.Pass("signin.agreed", "by the person, in the browser that was asked")
	auth := a.authentication()
	id, err := s.identify(ctx, t, p, auth)
	if err != nil {
		return SignedIn{}, err
	}
	return s.open(ctx, t, p, AuthRequest{Provider: p.ID, ReturnTo: "/", Replaces: in.Replaces}, auth, id)
}
