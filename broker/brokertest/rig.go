package brokertest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
)

const Verifier = "verifier-verifier-verifier-verifier-verifier"

func (r *Rig) Code(t *testing.T, sess *broker.Session) broker.Secret {
	t.Helper()
	sum := sha256.Sum256([]byte(Verifier))
	code, err := r.Dev.Approve(t.Context(), sess, program.Authorize{
		ClientID: program.CLIClientID, RedirectURI: "http://127.0.0.1:1/", ResponseType: "code", State: "s",
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), ChallengeMethod: "S256",
	})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (r *Rig) CLI(t *testing.T) program.Client {
	t.Helper()
	c, err := r.Dev.Client(program.CLIClientID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Unasked brings an answer that nobody asked for.
func (r *Rig) Unasked(t *testing.T, relay string, binding broker.Secret) (*signin.Arrival, error) {
	t.Helper()
	out, _, err := r.In.Finish(t.Context(), signin.Answer{Provider: "okta", State: relay, Binding: binding})
	if !out.Token.IsZero() || len(r.Store.Sessions()) != 0 {
		t.Fatal("a session without the person's word")
	}
	return out.Arrival, err
}

// FactorRig is a signed-in person whose provider proves nothing.
type FactorRig struct {
	*Rig
	F    *factor.Service
	Sess *broker.Session
}

func NewFactorRig(t *testing.T, policy broker.MFAPolicy) *FactorRig {
	t.Helper()
	r := New(t)
	r.IdP.Auth.AuthnContext, r.IdP.Auth.AuthnInstant = broker.AuthnContext{}, r.Clock
	r.Policy = policy
	r.Limit(t, nil)
	x := &FactorRig{Rig: r, F: r.Factor}
	x.SignIn(t)
	return x
}

func (r *FactorRig) SignIn(t *testing.T) {
	t.Helper()
	r.IdP.Auth.AuthnInstant, r.IdP.Auth.ReplayID = r.Clock, fmt.Sprint(r.Clock.UnixNano())
	r.IdP.Auth.ReplayExpires = r.Clock.Add(time.Hour)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Sess = out.Session
}

func (r *FactorRig) Code(t *testing.T) string {
	t.Helper()
	c, err := totp.GenerateCode(TestKey, r.Clock)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// EnrolApp enrols an authenticator app and returns the recovery codes.
func (r *FactorRig) EnrolApp(t *testing.T) []broker.Secret {
	t.Helper()
	n, err := r.F.EnrolCode(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.F.FinishCode(t.Context(), r.Sess, n.ID, "", r.Code(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Sess = p.Session
	return p.RecoveryCodes
}

var Allowed = broker.MFAPolicy{Own: broker.OwnFactorAllowed}

func WantCode(t *testing.T, what string, want broker.Code, err error) {
	t.Helper()
	if got := broker.CodeOf(err); got != want {
		t.Errorf("%s: code %q of %v, want %q", what, got, err, want)
	}
}

// Limiter returns the limiter of one more node.
func (r *Rig) Limiter(t testing.TB, rates map[limit.Kind]limit.Rate) *limit.Limiter {
	t.Helper()
	return r.Node(t, rates).Limiter
}

func From(t testing.TB, address string) context.Context {
	return broker.WithRequest(t.Context(), broker.Request{ID: "r", Remote: address})
}

var TenAMinute = map[limit.Kind]limit.Rate{
	limit.SignIn:      {Address: 10, Account: 4, Per: time.Minute},
	limit.Credentials: {Address: 100, Account: 40, Per: time.Minute},
}

// Uses tries n times and returns how many were allowed.
func Uses(t testing.TB, n int, try func() error) int {
	t.Helper()
	ok := 0
	for range n {
		switch err := try(); broker.CodeOf(err) {
		case "":
			ok++
		case broker.CodeRateLimited:
			if e, _ := errors.AsType[*broker.Error](err); e.RetryAfter < time.Second || e.RetryAfter > 2*time.Minute {
				t.Fatalf("retry after %s", e.RetryAfter)
			}
		default:
			t.Fatal(err)
		}
	}
	return ok
}

// As signs the person in under a NameID and SessionIndex at Okta.
func (r *Rig) As(t *testing.T, id, name, index string) *broker.Session {
	t.Helper()
	r.IdP.Auth.Subject.ID, r.IdP.Auth.NameID, r.IdP.Auth.SessionIndex = id, name, index
	r.IdP.Auth.ReplayID = "_" + id + name + index + r.Clock.String()
	r.IdP.Auth.LogoutHint = broker.NewSecret("planted-hint-" + id)
	r.Clock = r.Clock.Add(time.Second)
	return r.SignIn(t)
}

func (r *Rig) Alive(s *broker.Session) bool { _, ok := r.Store.Sessions()[s.Key]; return ok }

func Named(name, index string) broker.SessionFilter {
	return broker.SessionFilter{Provider: "okta", NameID: name, SessionIndex: index}
}

func (r *Rig) Hears(id string, f ...broker.SessionFilter) {
	r.Bye.Notice = broker.LogoutNotice{RequestID: id, ReplayID: "logout:" + id, ReplayExpires: r.Clock.Add(5 * time.Minute), Sessions: f}
}

// Ends are the ways in which a session is ended while something else happens.
var Ends = []struct {
	Name string
	End  func(t *testing.T, r *FactorRig, sess *broker.Session) error
}{
	{"signed out", func(t *testing.T, r *FactorRig, sess *broker.Session) error {
		_, err := r.Out.End(t.Context(), sess, broker.Secret{})
		return err
	}},
	{"ended from another browser", func(t *testing.T, r *FactorRig, sess *broker.Session) error {
		return r.People.EndOwn(t.Context(), sess, sess.Key)
	}},
	{"ended everywhere", func(t *testing.T, r *FactorRig, sess *broker.Session) error {
		return r.People.EndEverywhere(t.Context(), sess)
	}},
	{"ended by an administrator", func(t *testing.T, r *FactorRig, sess *broker.Session) error {
		admin := *sess
		admin.Identity.MFA = true
		return r.Admin.End(t.Context(), &admin, sess.Key)
	}},
	{"back-channel logout", func(t *testing.T, r *FactorRig, _ *broker.Session) error {
		r.Hears("l1", Named("alice", "i1"))
		_, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
		return err
	}},
	{"factors reset", func(t *testing.T, r *FactorRig, sess *broker.Session) error {
		_, err := r.Broker().Resetter.Reset(t.Context(), "admin", sess.Identity.Subject)
		return err
	}},
}

// Endable is a person with an app, signed in without proof.
func Endable(t *testing.T) *FactorRig {
	t.Helper()
	r := NewFactorRig(t, Allowed)
	r.AWS.Admins = "g"
	r.EnrolApp(t)
	r.Clock = r.Clock.Add(time.Minute)
	r.Store.DropSessions()
	r.IdP.Auth.NameID, r.IdP.Auth.SessionIndex = "alice", "i1"
	r.SignIn(t)
	return r
}

func (r *FactorRig) WantOver(t *testing.T, token broker.Secret) {
	t.Helper()
	_, err := r.Acc.Authenticate(t.Context(), token)
	WantCode(t, "the session that was ended", broker.CodeUnauthenticated, err)
	for _, row := range r.Store.Sessions() {
		if _, err := r.People.Live(t.Context(), row.Key); broker.CodeOf(err) != broker.CodeNotFound {
			t.Errorf("the session of %s lives: %v", row.Subject, err)
		}
	}
}

// Rig is a person, an identity provider, and a whole broker with AWS behind it.
// The provider and AWS are fakes, as they are at the network's edge; the store and
// everything else are real.
type Rig struct {
	Clock  time.Time
	Store  *Store
	IdP    *IdP
	Bye    *Leaver // the same with a logout
	AWS    *AWS
	Policy broker.MFAPolicy // of Okta
	Limits broker.SessionLimits
	State  broker.StateStore // nil: the store's
	ahead  atomic.Int64      // of Clock

	node   *Broker
	In     *signin.Service
	Acc    *access.Service
	Out    *signin.Logout
	People *session.Book
	Admin  *admin.Service
	Dev    *program.Service
	Factor *factor.Service
}

// New makes a rig without limits.
func New(t testing.TB) *Rig {
	t.Helper()
	r := &Rig{Clock: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), Policy: broker.MFAPolicy{AuthnContext: [][]string{{"mfa"}}}}
	r.Store = NewStore(t, r.Now)
	r.IdP = &IdP{Auth: broker.Authentication{
		Subject:      broker.Subject{Provider: "okta", ID: "00u1"},
		Claims:       broker.Claims{"username": {"alice"}, "email": {"alice@example.com"}, "groups": {"g"}},
		AuthnContext: broker.AuthnContext{ACR: "mfa"}, AuthnInstant: r.Clock,
		ReplayID: "_assertion1", ReplayExpires: r.Clock.Add(5 * time.Minute),
	}}
	r.AWS = &AWS{Now: r.Now, Granted: []broker.Assignment{{
		ID: broker.NewAssignmentID("111122223333", "Admin", broker.ViaSAML), Role: "Admin", Via: broker.ViaSAML,
		Account: broker.Account{ID: "111122223333", Name: "prod"}, RoleARN: "arn:aws:iam::111122223333:role/Admin",
		MaxDuration: time.Hour, Rules: []string{"admins"},
	}}}
	r.Bye = &Leaver{IdP: r.IdP}
	r.Limit(t, nil)
	return r
}

// Now is the rig's clock.
func (r *Rig) Now() time.Time { return r.Clock.Add(time.Duration(r.ahead.Load())) }

// Advance moves the clock on while something else looks at it.
func (r *Rig) Advance(d time.Duration) { r.ahead.Add(int64(d)) }

// Providers are the rig's three: Okta, and two more with the same fakes.
func (r *Rig) Providers() []broker.Provider {
	return []broker.Provider{
		{ID: "okta", Name: "Okta", EmailDomains: []string{"example.com"}, IdP: r.Bye, MFA: r.Policy},
		{ID: "other", Name: "Other", IdP: r.IdP},
		{ID: "third", Name: "Third", IdP: r.Bye},
	}
}

// Node builds one more node over the rig's store, with changes if there are any.
func (r *Rig) Node(t testing.TB, rates map[limit.Kind]limit.Rate, changes ...func(*Parts)) *Broker {
	t.Helper()
	p := Parts{
		Store: r.Store, State: r.State, Providers: r.Providers(), Mapper: r.AWS, Rules: r.AWS, Admins: r.AWS, Asserter: r.AWS, Assumer: r.AWS,
		Passkeys: Passkeys{}, Codes: Codes{}, Refreshers: map[broker.ProviderID]broker.TokenRefresher{"okta": r.IdP},
		Limits: r.Limits, Rates: rates, PortalURL: "https://sso.example.com", Now: r.Now,
	}
	for _, change := range changes {
		change(&p)
	}
	return Build(t, p)
}

// Limit builds the rig's node anew, with limits; nil: none but of guesses.
func (r *Rig) Limit(t testing.TB, rates map[limit.Kind]limit.Rate) {
	t.Helper()
	b := r.Node(t, rates)
	r.node, r.In, r.Acc, r.Out, r.People, r.Admin, r.Dev, r.Factor = b, b.SignIn, b.Access, b.Logout, b.Book, b.Admin, b.Program, b.Factor
}

// Broker is the rig's node.
func (r *Rig) Broker() *Broker { return r.node }

func (r *Rig) Begin(t *testing.T) signin.Begun {
	t.Helper()
	b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", ReturnTo: "/go?account=prod&role=Admin"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *Rig) Finish(t *testing.T, b signin.Begun) (signin.Result, error) {
	t.Helper()
	out, _, err := r.In.Finish(t.Context(), signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding})
	return out, err
}

func (r *Rig) SignIn(t *testing.T) *broker.Session {
	t.Helper()
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *Rig) LastEvent(t *testing.T) broker.Event {
	t.Helper()
	all := r.Store.AllEvents()
	if len(all) == 0 {
		t.Fatal("no event was recorded")
	}
	return all[len(all)-1]
}

// SignInAs signs in with an answer that was not used before, by its id.
func (r *Rig) SignInAs(t *testing.T, replay string) *broker.Session {
	t.Helper()
	r.IdP.Auth.ReplayID = replay
	s := r.SignIn(t)
	r.IdP.Auth.ReplayID = replay + "+"
	return s
}
