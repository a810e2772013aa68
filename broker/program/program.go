package program

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// CodeTTL is how long an authorization code waits for its program.
const CodeTTL = time.Minute

// spentTTL is how long a used code is remembered, to notice a second use.
const spentTTL = 10 * time.Minute

// Config holds what [Service] works with. All fields but Roles, Now and Rand are
// needed.
type Config struct {
	Kept     session.Sealed
	Book     *session.Book
	Journal  *journal.Journal
	Limiter  *limit.Limiter
	Policies map[broker.ProviderID]broker.MFAPolicy
	Roles    broker.RoleMapper // nil: the roles' requirements are not looked at before they are used
	Now      func() time.Time  // nil: time.Now
	Rand     io.Reader         // nil: crypto/rand
}

// Service is the use case of letting a program act for a person: OAuth 2.0
// authorization code with PKCE (RFC 7636, RFC 8252), device code (RFC 8628),
// and the tokens of both.
type Service struct{ c Config }

// New returns the use case, or an error that says what is missing.
func New(c Config) (*Service, error) {
	if c.Kept.State == nil || c.Kept.Sealer == nil || c.Book == nil || c.Journal == nil || c.Limiter == nil || c.Policies == nil {
		return nil, errors.New("program: Kept, Book, Journal, Limiter and Policies are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Service{c}, nil
}

// Now is the clock that codes and tokens are measured by.
func (d *Service) Now() time.Time { return d.c.Now() }

// Authorize is a program's request for an authorization code, as it came with
// the person's browser.
type Authorize struct {
	ClientID        string
	RedirectURI     string
	ResponseType    string
	State           string
	Challenge       string
	ChallengeMethod string
	Host            string             // where the program says it runs
	Need            broker.Requirement // of the sign-in, as the program asks
}

var (
	challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	verifierPattern  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
)

// CheckClient returns the client if it may be answered at the redirect URI.
// Whatever it refuses must be shown to the person and never be sent to that
// address (RFC 6749 4.1.2.1).
func (d *Service) CheckClient(in Authorize) (Client, error) {
	c, err := d.Client(in.ClientID)
	if err != nil {
		return Client{}, err
	}
	if err := c.allows(in.RedirectURI); err != nil {
		return Client{}, err
	}
	return c, nil
}

// Check refuses, with CodeInvalid, what lacks a state or a PKCE challenge.
func (in Authorize) Check() error {
	switch {
	case in.ResponseType != "code":
		return broker.Errorf(broker.CodeInvalid, "response_type must be code.")
	case in.State == "" || len(in.State) > 512:
		return broker.Errorf(broker.CodeInvalid, "A state of 1 to 512 characters is needed.")
	case in.ChallengeMethod != "S256":
		return broker.Errorf(broker.CodeInvalid, "code_challenge_method must be S256.")
	case !challengePattern.MatchString(in.Challenge):
		return broker.Errorf(broker.CodeInvalid, "code_challenge must be the base64url SHA-256 of the verifier.")
	}
	return nil
}

type codeRecord struct {
	ClientID  string    `json:"client"`
	Redirect  string    `json:"redirect"`
	Challenge string    `json:"challenge"`
	Source    string    `json:"source"` // key of the approving session
	Host      string    `json:"host,omitempty"`
	Remote    string    `json:"remote"`
	ExpiresAt time.Time `json:"expires"`
	Spent     string    `json:"spent,omitempty"` // key of the session it was used for
}

// Admits returns nil if the session may let a program in that asks for need.
// CodeStepUp when it has proven less than that, than its provider's settings
// want, or than each of the person's roles does. With nil, some reports that
// some of the roles need more: to the program they stay closed.
func (d *Service) Admits(ctx context.Context, sess *broker.Session, need broker.Requirement) (some bool, err error) {
	now, policy := d.c.Now(), d.c.Policies[sess.Identity.Subject.Provider]
	if missing := need.Unmet(sess.Identity, now); missing != nil {
		e := &broker.Error{Code: broker.CodeStepUp, StepUp: missing, Message: "The program asks for a stronger sign-in than you have.", Remedy: proveAndBack}
		if !missing.MFA {
			e.Remedy = "Sign in again. You come back here."
		}
		return false, e
	}
	if sess.Identity.MFA {
		return false, nil
	}
	all := policy.Programs || policy.Enforced(now)
	if !all && d.c.Roles != nil {
		as, err := d.c.Roles.Assignments(ctx, sess.Identity)
		if err != nil {
			return false, err
		}
		closed := 0
		for _, x := range as {
			if x.Require.MFA {
				closed++
			}
		}
		some, all = closed > 0, closed > 0 && closed == len(as)
	}
	if !all {
		return some, nil
	}
	return false, &broker.Error{
		Code: broker.CodeStepUp, StepUp: &broker.StepUp{MFA: true}, Remedy: proveAndBack,
		Message: "A program that acts for you needs a second factor, and your sign-in did not prove one.",
	}
}

const proveAndBack = "Prove your second factor. You come back here."

// Approve records that the person lets the program act for them and returns the
// code for it. CodeStepUp, recorded, as [Service.Admits].
func (d *Service) Approve(ctx context.Context, sess *broker.Session, in Authorize) (broker.Secret, error) {
	c, err := d.CheckClient(in)
	if err != nil {
		return broker.Secret{}, err
	}
	if err := in.Check(); err != nil {
		return broker.Secret{}, err
	}
	code, err := broker.RandomSecret(d.c.Rand)
	if err != nil {
		return broker.Secret{}, err
	}
	host := broker.CleanLabel(in.Host, maxClientName)
	_, refused := d.Admits(ctx, sess, in.Need)
	e := journal.Entry{Action: broker.ActionClient, By: sess, Target: c.Name, Err: refused}
	e.Detail = map[string]string{"by": "authorization code", "host": host}
	if err := d.c.Journal.Record(ctx, e); err != nil {
		return broker.Secret{}, err
	}
	if refused != nil {
		return broker.Secret{}, refused
	}
	return code, d.c.Kept.Put(ctx, "code/"+code.Hash(), codeRecord{
		ClientID: c.ID, Redirect: in.RedirectURI, Challenge: in.Challenge, Source: sess.Key, Host: host,
		Remote: broker.RequestFrom(ctx).Remote, ExpiresAt: d.c.Now().Add(CodeTTL),
	}, CodeTTL)
}

// Deny records that the person does not let the program in.
func (d *Service) Deny(ctx context.Context, sess *broker.Session, in Authorize) error {
	c, err := d.CheckClient(in)
	if err != nil {
		return err
	}
	return d.c.Journal.Record(ctx, journal.Entry{
		Action: broker.ActionClient, By: sess, Target: c.Name, Err: errPersonRefused, Detail: map[string]string{"by": "authorization code"},
	})
}

var errPersonRefused = broker.Errorf(broker.CodeDenied, "The person refused.")

// RedeemCode turns an authorization code into tokens, once. The client is
// authenticated already. CodeUnauthenticated for a code that is unknown, used,
// expired, of another client or redirect URI, or whose verifier does not match.
// A second use of a code ends the session of the first (RFC 6749 4.1.2).
func (d *Service) RedeemCode(ctx context.Context, c Client, code broker.Secret, redirect string, verifier broker.Secret) (TokenSet, error) {
	dead := broker.Errorf(broker.CodeUnauthenticated, "This sign-in code is not valid, or not any more.").Fix("Sign in again with the program.")
	key := "code/" + code.Hash()
	var r codeRecord
	err := d.c.Kept.Take(ctx, key, &r)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return TokenSet{}, dead.Because(err)
	}
	if err != nil {
		return TokenSet{}, err
	}
	if r.Spent != "" {
		if err := d.end(ctx, r.Spent, "a sign-in code was used twice"); err != nil {
			return TokenSet{}, err
		}
		return TokenSet{}, dead.Because(fmt.Errorf("code used twice"))
	}
	sum := sha256.Sum256([]byte(verifier.Reveal()))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case !d.c.Now().Before(r.ExpiresAt):
		return TokenSet{}, dead.Because(fmt.Errorf("expired"))
	case r.ClientID != c.ID:
		return TokenSet{}, dead.Because(fmt.Errorf("code of another client"))
	case r.Redirect != redirect:
		return TokenSet{}, dead.Because(fmt.Errorf("another redirect URI"))
	case !verifierPattern.MatchString(verifier.Reveal()) || subtle.ConstantTimeCompare([]byte(challenge), []byte(r.Challenge)) != 1:
		return TokenSet{}, dead.Because(fmt.Errorf("verifier does not match"))
	}
	source, err := d.source(ctx, r.Source)
	if err != nil {
		return TokenSet{}, err
	}
	out, sess, err := d.open(ctx, source, broker.SessionClient{ID: c.ID, Name: c.Name, Registered: c.Registered, Host: r.Host, Remote: r.Remote, Source: source.Key})
	if err != nil {
		return TokenSet{}, err
	}
	r.Spent = sess.Key
	return out, d.c.Kept.Put(ctx, key, r, spentTTL)
}

// source is the browser session in which a person approved.
func (d *Service) source(ctx context.Context, key string) (*broker.Session, error) {
	gone := broker.Errorf(broker.CodeUnauthenticated, "The session in which this was approved has ended.").Fix("Sign in again with the program.")
	sess, err := d.c.Book.Live(ctx, key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil, gone.Because(err)
	}
	if err != nil {
		return nil, err
	}
	if !sess.IsBrowser() {
		return nil, gone
	}
	return sess, nil
}
