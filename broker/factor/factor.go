package factor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
)

// The limits of rolegate's own factors.
const (
	// FreshAuth is how old a sign-in may be for a change of factors, and how
	// old the use of an existing factor.
	FreshAuth = 10 * time.Minute
	// ChallengeTTL is how long a begun ceremony waits for its answer.
	ChallengeTTL    = 5 * time.Minute
	maxFactors      = 10
	recoveryCodes   = 10
	maxFactorName   = 60
	maxFactorAnswer = 16 << 10
)

// Config holds what [Service] works with. All fields but Now and Rand are needed.
type Config struct {
	Store    broker.FactorStore
	Kept     session.Sealed
	Book     *session.Book
	Journal  *journal.Journal
	Limiter  *limit.Limiter
	Passkeys broker.Passkeys
	Codes    broker.OneTimeCodes
	Policies map[broker.ProviderID]broker.MFAPolicy
	Now      func() time.Time // nil: time.Now
	Rand     io.Reader        // nil: crypto/rand
}

// Service is the use case of rolegate's own second factor: enrolment, use,
// removal and reset. It takes the place of proof that an identity provider
// cannot give; where none is allowed for a provider, every method refuses.
type Service struct{ c Config }

// New returns the use case, or an error that says what is missing.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Kept.State == nil || c.Kept.Sealer == nil || c.Book == nil || c.Journal == nil || c.Limiter == nil ||
		c.Passkeys == nil || c.Codes == nil || c.Policies == nil {
		return nil, errors.New("factor: all but Now and Rand are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Service{c}, nil
}

// Factor is what may be shown of an enrolled factor.
type Factor struct {
	ID         string
	Kind       broker.FactorKind
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time
	Left       int // recovery codes that are left
}

// codeBody is the sealed body of a FactorCode. Step is the last accepted one:
// no code of it or before it is taken again (RFC 6238 5.2).
type codeBody struct {
	Secret string `json:"secret"`
	Step   int64  `json:"step"`
}

// recoveryBody holds the hashes of the codes that are left.
type recoveryBody struct {
	Hashes []string `json:"hashes"`
}

var (
	errFactorWrong = broker.Errorf(broker.CodeUnauthenticated, "This second factor was not accepted.").
			Fix("Check that you use the newest code, or your own passkey, and try again.")
	errFactorGone = broker.Errorf(broker.CodeUnauthenticated, "This page has waited too long, or was used before.").Fix("Start again.")
)

// Offered reports whether the person may use a factor of rolegate's own.
func (f *Service) Offered(sess *broker.Session) bool {
	return f.policy(sess).Own != broker.OwnFactorOff
}

func (f *Service) policy(sess *broker.Session) broker.MFAPolicy {
	return f.c.Policies[sess.Identity.Subject.Provider]
}

// Reminder says whether the person should be told to enrol: none is enrolled
// and nothing is proven though it is, or will be, required. Until is when
// enforcement begins; zero means that it has.
func (f *Service) Reminder(ctx context.Context, sess *broker.Session) (until time.Time, due bool, err error) {
	p := f.policy(sess)
	if p.Own != broker.OwnFactorRequired || sess.Identity.MFA {
		return time.Time{}, false, nil
	}
	rows, err := f.c.Store.Factors(ctx, sess.Identity.Subject)
	if err != nil || len(rows) > 0 {
		return time.Time{}, false, err
	}
	if p.Enforced(f.c.Now()) {
		return time.Time{}, true, nil
	}
	return p.EnrolUntil, true, nil
}

// List returns the person's factors, oldest first.
func (f *Service) List(ctx context.Context, sess *broker.Session) ([]Factor, error) {
	if err := f.offered(sess); err != nil {
		return nil, err
	}
	rows, err := f.c.Store.Factors(ctx, sess.Identity.Subject)
	if err != nil {
		return nil, err
	}
	out := make([]Factor, 0, len(rows))
	for _, r := range rows {
		x := Factor{ID: r.ID, Kind: r.Kind, Name: r.Name, CreatedAt: r.CreatedAt, LastUsedAt: r.LastUsedAt}
		if r.Kind == broker.FactorRecovery {
			var b recoveryBody
			if err := f.open(r, &b); err != nil {
				return nil, err
			}
			x.Left = len(b.Hashes)
		}
		out = append(out, x)
	}
	return out, nil
}

func (f *Service) offered(sess *broker.Session) error {
	if f.Offered(sess) {
		return nil
	}
	return broker.Errorf(broker.CodeDenied, "People of your identity provider prove their second factor there, not here.").
		Fix("Set it up at your identity provider.")
}

// MayChange reports whether the session may change factors: the person signed
// in at the identity provider within [FreshAuth], and if a factor is enrolled
// already, used one here within the same time. A session alone, which may be
// stolen, is not enough. CodeStepUp says which of the two is missing.
func (f *Service) MayChange(ctx context.Context, sess *broker.Session) error {
	if err := f.offered(sess); err != nil {
		return err
	}
	now, at := f.c.Now(), sess.Identity.AuthnInstant
	// A provider's clock may be ahead a little; a time far ahead is no proof.
	if at.IsZero() || now.Sub(at) > FreshAuth || at.Sub(now) > 2*time.Minute {
		return &broker.Error{
			Code: broker.CodeStepUp, StepUp: &broker.StepUp{MaxAuthAge: FreshAuth},
			Message: "To change your second factor, you have to have signed in within the last 10 minutes.", Remedy: "Sign in again.",
		}
	}
	rows, err := f.c.Store.Factors(ctx, sess.Identity.Subject)
	if err != nil {
		return err
	}
	if len(rows) > 0 && (sess.Own == nil || now.Sub(sess.Own.At) > FreshAuth) {
		return &broker.Error{
			Code: broker.CodeStepUp, StepUp: &broker.StepUp{MFA: true},
			Message: "To change your second factor, use the one you have first.", Remedy: "Use your second factor.",
		}
	}
	return nil
}

// Proven is the session after a factor was used: a new token for the same
// person, as the old one was worth less. RecoveryCodes are shown once, after
// the first enrolment.
type Proven struct {
	Token         broker.Secret
	Session       *broker.Session
	RecoveryCodes []broker.Secret
}

// prove gives the session the proof under a new token, in one step: a session
// that was ended meanwhile is not brought back, and who ends it by its old key
// from now on ends it under the new one. The event is recorded before anything
// is released.
func (f *Service) prove(ctx context.Context, sess *broker.Session, kind broker.FactorKind) (Proven, error) {
	ended := broker.Errorf(broker.CodeUnauthenticated, "Your session has ended.").Fix("Sign in again.")
	token, err := broker.RandomSecret(f.c.Rand)
	if err != nil {
		return Proven{}, err
	}
	// The row may have changed since it was read: its tokens, or its end.
	next, err := f.c.Book.Live(ctx, sess.Key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return Proven{}, ended.Because(err)
	}
	if err != nil {
		return Proven{}, err
	}
	next.Key, next.LastUsedAt = token.Hash(), f.c.Now()
	next.Own = &broker.OwnProof{Kind: kind, At: f.c.Now()}
	next.Identity.MFA = true
	amr := slices.DeleteFunc(slices.Clone(next.Identity.AuthnContext.AMR), broker.IsOwnAMR)
	next.Identity.AuthnContext.AMR = append(amr, kind.AMR())
	err = f.c.Book.Replace(ctx, sess.Key, next)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return Proven{}, ended.Because(err)
	}
	if err != nil {
		return Proven{}, err
	}
	return Proven{Token: token, Session: next}, nil
}

func (f *Service) seal(r *broker.FactorRow, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("broker: encode factor: %w", err)
	}
	if r.Body, err = f.c.Kept.Sealer.Seal(b, factorKey(*r)); err != nil {
		return fmt.Errorf("broker: seal factor: %w", err)
	}
	return nil
}

func (f *Service) open(r broker.FactorRow, body any) error {
	b, err := f.c.Kept.Sealer.Open(r.Body, factorKey(r))
	if err != nil {
		return fmt.Errorf("broker: open factor: %w", err)
	}
	if err := json.Unmarshal(b, body); err != nil {
		return fmt.Errorf("broker: decode factor: %w", err)
	}
	return nil
}

// factorKey binds a sealed body to its row, person and kind.
func factorKey(r broker.FactorRow) string {
	return "factor/" + string(r.Kind) + "/" + r.ID + "/" + r.Subject.String()
}

// reserve counts a try before it is judged, so that many at once are many.
// CodeRateLimited when there were too many: the lock opens by itself, one try
// at a time. The count is per person and not per session or address.
func (f *Service) reserve(ctx context.Context, sess *broker.Session) error {
	err := f.c.Limiter.Guess(ctx, limit.Factor, sess, sess.Identity.Subject.String())
	if e, ok := errors.AsType[*broker.Error](err); ok && e.Code == broker.CodeRateLimited {
		full := broker.Errorf(broker.CodeRateLimited, "There were too many wrong answers to the second factor.").
			Fix("Wait %d minutes, then try again.", int(e.RetryAfter/time.Minute)+1)
		full.RetryAfter = e.RetryAfter
		return full.Because(err)
	}
	return err
}

// forgive clears the tries after a right answer.
func (f *Service) forgive(ctx context.Context, s broker.Subject) error {
	return f.c.Limiter.Forgive(ctx, limit.Factor, s.String())
}

// refuse records the event of a refusal and returns the error.
func (f *Service) refuse(ctx context.Context, sess *broker.Session, act broker.Action, kind broker.FactorKind, err error) error {
	return f.c.Journal.Refuse(ctx, journal.Entry{Action: act, By: sess, Target: string(kind), Err: err})
}

func (f *Service) record(ctx context.Context, sess *broker.Session, act broker.Action, kind broker.FactorKind, detail map[string]string) error {
	return f.c.Journal.Record(ctx, journal.Entry{Action: act, By: sess, Target: string(kind), Detail: detail})
}

// Remove takes a factor away, under the conditions of [Service.MayChange]. With
// the last one the recovery codes go too.
func (f *Service) Remove(ctx context.Context, sess *broker.Session, id string) error {
	if err := f.MayChange(ctx, sess); err != nil {
		return f.refuse(ctx, sess, broker.ActionMFARemove, "", err)
	}
	sub := sess.Identity.Subject
	rows, err := f.c.Store.Factors(ctx, sub)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r broker.FactorRow) bool { return r.ID == id && r.Kind != broker.FactorRecovery })
	if i < 0 {
		return broker.Errorf(broker.CodeNotFound, "You have no such second factor, or not any more.")
	}
	if err := f.record(ctx, sess, broker.ActionMFARemove, rows[i].Kind, map[string]string{"name": rows[i].Name}); err != nil {
		return err
	}
	rest := slices.ContainsFunc(rows, func(r broker.FactorRow) bool { return r.ID != id && r.Kind != broker.FactorRecovery })
	if !rest {
		_, err := f.c.Store.DeleteFactors(ctx, sub)
		return err
	}
	return f.c.Store.DeleteFactor(ctx, sub, id)
}

var recoveryBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newRecovery makes the codes that stand in for a lost factor: 80 random bits
// each, so a plain hash keeps them (NIST SP 800-63B 5.1.2.2).
func (f *Service) newRecovery(s broker.Subject) (broker.FactorRow, []broker.Secret, error) {
	r := broker.FactorRow{Subject: s, Kind: broker.FactorRecovery, Name: "Recovery codes", CreatedAt: f.c.Now(), Version: 1}
	var err error
	if r.ID, err = f.newID(); err != nil {
		return broker.FactorRow{}, nil, err
	}
	var body recoveryBody
	var codes []broker.Secret
	for range recoveryCodes {
		b := make([]byte, 10)
		if _, err := io.ReadFull(f.c.Rand, b); err != nil {
			return broker.FactorRow{}, nil, fmt.Errorf("broker: random: %w", err)
		}
		s := recoveryBase32.EncodeToString(b)
		codes = append(codes, broker.NewSecret(s[:4]+"-"+s[4:8]+"-"+s[8:12]+"-"+s[12:]))
		body.Hashes = append(body.Hashes, broker.NewSecret(s).Hash())
	}
	return r, codes, f.seal(&r, body)
}

func (f *Service) newID() (string, error) {
	s, err := broker.RandomSecret(f.c.Rand)
	if err != nil {
		return "", err
	}
	return s.Reveal()[:22], nil
}

func cleanFactorName(name string, kind broker.FactorKind, n int) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "")))
	if runes := []rune(name); len(runes) > maxFactorName {
		name = string(runes[:maxFactorName])
	}
	if name != "" {
		return name
	}
	if kind == broker.FactorPasskey {
		return "Passkey " + strconv.Itoa(n)
	}
	return "Authenticator app " + strconv.Itoa(n)
}
