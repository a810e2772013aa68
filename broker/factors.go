package broker

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
)

// The limits of rolegate's own factors.
const (
	// FreshAuth is how old a sign-in may be for a change of factors, and how
	// old the use of an existing factor.
	FreshAuth = 10 * time.Minute
	// ChallengeTTL is how long a begun ceremony waits for its answer.
	ChallengeTTL = 5 * time.Minute
	// maxFactorTries wrong answers are free; then one more comes every tryEvery. A
	// right one clears them.
	maxFactorTries = 5
	tryEvery       = 5 * time.Minute

	maxFactors      = 10
	recoveryCodes   = 10
	maxFactorName   = 60
	maxFactorAnswer = 16 << 10
)

// FactorsConfig holds what [Factors] works with. All fields but Now and Rand
// are needed.
type FactorsConfig struct {
	Store    FactorStore
	State    StateStore
	Sessions SessionStore
	Finder   SessionFinder
	Events   Recorder
	Sealer   Sealer
	Passkeys Passkeys
	Codes    OneTimeCodes
	Policies map[ProviderID]MFAPolicy
	Now      func() time.Time // nil: time.Now
	Rand     io.Reader        // nil: crypto/rand
}

// Factors is the use case of rolegate's own second factor: enrolment, use,
// removal and reset. It takes the place of proof that an identity provider
// cannot give; where none is allowed for a provider, every method refuses.
type Factors struct {
	c    FactorsConfig
	kept sealedState
}

// NewFactors returns the use case.
func NewFactors(c FactorsConfig) *Factors {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Factors{c: c, kept: sealedState{c.State, c.Sealer}}
}

// Factor is what may be shown of an enrolled factor.
type Factor struct {
	ID         string
	Kind       FactorKind
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
	errFactorWrong = Errorf(CodeUnauthenticated, "This second factor was not accepted.").
			Fix("Check that you use the newest code, or your own passkey, and try again.")
	errFactorGone = Errorf(CodeUnauthenticated, "This page has waited too long, or was used before.").Fix("Start again.")
)

// Offered reports whether the person may use a factor of rolegate's own.
func (f *Factors) Offered(sess *Session) bool { return f.policy(sess).Own != OwnFactorOff }

func (f *Factors) policy(sess *Session) MFAPolicy {
	return f.c.Policies[sess.Identity.Subject.Provider]
}

// Reminder says whether the person should be told to enrol: none is enrolled
// and nothing is proven though it is, or will be, required. Until is when
// enforcement begins; zero means that it has.
func (f *Factors) Reminder(ctx context.Context, sess *Session) (until time.Time, due bool, err error) {
	p := f.policy(sess)
	if p.Own != OwnFactorRequired || sess.Identity.MFA {
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
func (f *Factors) List(ctx context.Context, sess *Session) ([]Factor, error) {
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
		if r.Kind == FactorRecovery {
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

func (f *Factors) offered(sess *Session) error {
	if f.Offered(sess) {
		return nil
	}
	return Errorf(CodeDenied, "People of your identity provider prove their second factor there, not here.").
		Fix("Set it up at your identity provider.")
}

// MayChange reports whether the session may change factors: the person signed
// in at the identity provider within [FreshAuth], and if a factor is enrolled
// already, used one here within the same time. A session alone, which may be
// stolen, is not enough. CodeStepUp says which of the two is missing.
func (f *Factors) MayChange(ctx context.Context, sess *Session) error {
	if err := f.offered(sess); err != nil {
		return err
	}
	now, at := f.c.Now(), sess.Identity.AuthnInstant
	// A provider's clock may be ahead a little; a time far ahead is no proof.
	if at.IsZero() || now.Sub(at) > FreshAuth || at.Sub(now) > 2*time.Minute {
		return &Error{
			Code: CodeStepUp, StepUp: &StepUp{MaxAuthAge: FreshAuth},
			Message: "To change your second factor, you have to have signed in within the last 10 minutes.", Remedy: "Sign in again.",
		}
	}
	rows, err := f.c.Store.Factors(ctx, sess.Identity.Subject)
	if err != nil {
		return err
	}
	if len(rows) > 0 && (sess.Own == nil || now.Sub(sess.Own.At) > FreshAuth) {
		return &Error{
			Code: CodeStepUp, StepUp: &StepUp{MFA: true},
			Message: "To change your second factor, use the one you have first.", Remedy: "Use your second factor.",
		}
	}
	return nil
}

// Proven is the session after a factor was used: a new token for the same
// person, as the old one was worth less. RecoveryCodes are shown once, after
// the first enrolment.
type Proven struct {
	Token         Secret
	Session       *Session
	RecoveryCodes []Secret
}

// prove gives the session the proof under a new token, in one step: a session
// that was ended meanwhile is not brought back, and who ends it by its old key
// from now on ends it under the new one. The event is recorded before anything
// is released.
func (f *Factors) prove(ctx context.Context, sess *Session, kind FactorKind) (Proven, error) {
	ended := Errorf(CodeUnauthenticated, "Your session has ended.").Fix("Sign in again.")
	token, err := RandomSecret(f.c.Rand)
	if err != nil {
		return Proven{}, err
	}
	// The row may have changed since it was read: its tokens, or its end.
	next, err := loadSession(ctx, f.c.Sessions, f.c.Sealer, sess.Key)
	if CodeOf(err) == CodeNotFound || err == nil && over(next, f.c.Now()) {
		return Proven{}, ended.Because(err)
	}
	if err != nil {
		return Proven{}, err
	}
	next.Key, next.LastUsedAt = token.Hash(), f.c.Now()
	next.Own = &OwnProof{Kind: kind, At: f.c.Now()}
	next.Identity.MFA = true
	amr := slices.DeleteFunc(slices.Clone(next.Identity.AuthnContext.AMR), IsOwnAMR)
	next.Identity.AuthnContext.AMR = append(amr, kind.AMR())
	newRow, err := encodeSession(next, f.c.Sealer)
	if err != nil {
		return Proven{}, err
	}
	err = f.c.Sessions.ReplaceSession(ctx, sess.Key, newRow)
	if CodeOf(err) == CodeNotFound {
		return Proven{}, ended.Because(err)
	}
	if err != nil {
		return Proven{}, err
	}
	return Proven{Token: token, Session: next}, nil
}

func (f *Factors) seal(r *FactorRow, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("broker: encode factor: %w", err)
	}
	if r.Body, err = f.c.Sealer.Seal(b, factorKey(*r)); err != nil {
		return fmt.Errorf("broker: seal factor: %w", err)
	}
	return nil
}

func (f *Factors) open(r FactorRow, body any) error {
	b, err := f.c.Sealer.Open(r.Body, factorKey(r))
	if err != nil {
		return fmt.Errorf("broker: open factor: %w", err)
	}
	if err := json.Unmarshal(b, body); err != nil {
		return fmt.Errorf("broker: decode factor: %w", err)
	}
	return nil
}

// factorKey binds a sealed body to its row, person and kind.
func factorKey(r FactorRow) string {
	return "factor/" + string(r.Kind) + "/" + r.ID + "/" + r.Subject.String()
}

// tries is the leaky bucket of wrong answers.
type tries struct {
	Count int       `json:"count"`
	At    time.Time `json:"at"` // when Count was right
}

// reserve counts a try before it is judged, so that many at once are many.
// CodeRateLimited when there were too many: the lock opens by itself, one try
// at a time. The count is per person and not per session or address.
func (f *Factors) reserve(ctx context.Context, s Subject) error {
	key, now := triesKey(s), f.c.Now()
	ttl := (maxFactorTries + 1) * tryEvery
	for range 20 {
		old, err := f.c.State.Get(ctx, key)
		if err != nil && CodeOf(err) != CodeNotFound {
			return err
		}
		var t tries
		if err == nil {
			if err := json.Unmarshal(old, &t); err != nil {
				return fmt.Errorf("broker: decode tries: %w", err)
			}
		}
		if drained := int(now.Sub(t.At) / tryEvery); drained > 0 {
			t.Count = max(0, t.Count-drained)
			t.At = t.At.Add(time.Duration(drained) * tryEvery)
		}
		if t.Count >= maxFactorTries {
			wait := t.At.Add(tryEvery).Sub(now)
			return Errorf(CodeRateLimited, "There were too many wrong answers to the second factor.").
				Fix("Wait %d minutes, then try again.", int(wait/time.Minute)+1)
		}
		if t.Count == 0 {
			t.At = now
		}
		t.Count++
		b, encErr := json.Marshal(t)
		if encErr != nil {
			return fmt.Errorf("broker: encode tries: %w", encErr)
		}
		var done bool
		if err != nil {
			done, err = f.c.State.PutIfAbsent(ctx, key, b, ttl)
		} else {
			done, err = f.c.State.Swap(ctx, key, old, b, ttl)
		}
		if err != nil || done {
			return err
		}
	}
	return Errorf(CodeRateLimited, "There are too many tries at once.").Fix("Wait a minute, then try again.")
}

// forgive clears the tries after a right answer.
func (f *Factors) forgive(ctx context.Context, s Subject) error {
	_, err := f.c.State.Take(ctx, triesKey(s))
	if CodeOf(err) == CodeNotFound {
		return nil
	}
	return err
}

func triesKey(s Subject) string { return "mfa-tries/" + NewSecret(s.String()).Hash() }

// refuse records the event of a refusal and returns the error.
func (f *Factors) refuse(ctx context.Context, sess *Session, act Action, kind FactorKind, err error) error {
	e := f.event(ctx, sess, act, outcomeOf(err))
	e.Code, e.Target = CodeOf(err), string(kind)
	e.Detail = map[string]string{"reason": Message(err)}
	if recErr := f.c.Events.Record(ctx, e); recErr != nil {
		return recErr
	}
	return err
}

func (f *Factors) record(ctx context.Context, sess *Session, act Action, kind FactorKind, detail map[string]string) error {
	e := f.event(ctx, sess, act, OutcomeOK)
	e.Target, e.Detail = string(kind), detail
	return f.c.Events.Record(ctx, e)
}

func (f *Factors) event(ctx context.Context, sess *Session, act Action, o Outcome) Event {
	e := newEvent(ctx, f.c.Now(), act, o)
	e.Actor, e.Username = sess.Identity.Subject, sess.Identity.Username
	return e
}

// Remove takes a factor away, under the conditions of [Factors.MayChange]. With
// the last one the recovery codes go too.
func (f *Factors) Remove(ctx context.Context, sess *Session, id string) error {
	if err := f.MayChange(ctx, sess); err != nil {
		return f.refuse(ctx, sess, ActionMFARemove, "", err)
	}
	sub := sess.Identity.Subject
	rows, err := f.c.Store.Factors(ctx, sub)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r FactorRow) bool { return r.ID == id && r.Kind != FactorRecovery })
	if i < 0 {
		return Errorf(CodeNotFound, "You have no such second factor, or not any more.")
	}
	if err := f.record(ctx, sess, ActionMFARemove, rows[i].Kind, map[string]string{"name": rows[i].Name}); err != nil {
		return err
	}
	rest := slices.ContainsFunc(rows, func(r FactorRow) bool { return r.ID != id && r.Kind != FactorRecovery })
	if !rest {
		_, err := f.c.Store.DeleteFactors(ctx, sub)
		return err
	}
	return f.c.Store.DeleteFactor(ctx, sub, id)
}

// Reset takes all factors of a person away, for who lost them, and ends their
// sessions; by names the administrator. It returns how many factors went.
func (f *Factors) Reset(ctx context.Context, by string, s Subject) (int, error) {
	if s.IsZero() {
		return 0, errors.New("broker: reset of an incomplete subject")
	}
	e := newEvent(ctx, f.c.Now(), ActionMFAReset, OutcomeOK)
	e.Username, e.Target = by, s.String()
	if err := f.c.Events.Record(ctx, e); err != nil {
		return 0, err
	}
	n, err := f.c.Store.DeleteFactors(ctx, s)
	if err != nil {
		return 0, err
	}
	rows, err := f.c.Finder.FindSessions(ctx, SessionFilter{Provider: s.Provider, SubjectID: s.ID})
	if err != nil {
		return n, err
	}
	for _, r := range rows {
		if err := f.c.Sessions.DeleteSession(ctx, r.Key); err != nil {
			return n, err
		}
	}
	return n, f.forgive(ctx, s)
}

var recoveryBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newRecovery makes the codes that stand in for a lost factor: 80 random bits
// each, so a plain hash keeps them (NIST SP 800-63B 5.1.2.2).
func (f *Factors) newRecovery(s Subject) (FactorRow, []Secret, error) {
	r := FactorRow{Subject: s, Kind: FactorRecovery, Name: "Recovery codes", CreatedAt: f.c.Now(), Version: 1}
	var err error
	if r.ID, err = f.newID(); err != nil {
		return FactorRow{}, nil, err
	}
	var body recoveryBody
	var codes []Secret
	for range recoveryCodes {
		b := make([]byte, 10)
		if _, err := io.ReadFull(f.c.Rand, b); err != nil {
			return FactorRow{}, nil, fmt.Errorf("broker: random: %w", err)
		}
		s := recoveryBase32.EncodeToString(b)
		codes = append(codes, NewSecret(s[:4]+"-"+s[4:8]+"-"+s[8:12]+"-"+s[12:]))
		body.Hashes = append(body.Hashes, NewSecret(s).Hash())
	}
	return r, codes, f.seal(&r, body)
}

func (f *Factors) newID() (string, error) {
	s, err := RandomSecret(f.c.Rand)
	if err != nil {
		return "", err
	}
	return s.Reveal()[:22], nil
}

func cleanFactorName(name string, kind FactorKind, n int) string {
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
	if kind == FactorPasskey {
		return "Passkey " + strconv.Itoa(n)
	}
	return "Authenticator app " + strconv.Itoa(n)
}
