package factor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// ceremony is what is kept between the two halves of enrolment or use. It is
// bound to the person, the session and the purpose.
type ceremony struct {
	Subject broker.Subject `json:"subject"`
	Session string         `json:"session"` // the key of the session that began it
	Purpose string         `json:"purpose"`
	State   []byte         `json:"state"`
}

const (
	purposeEnrolPasskey = "enrol-passkey" //nolint:gosec // G101: a purpose, not a key
	purposeEnrolCode    = "enrol-code"
	purposeUsePasskey   = "use-passkey"
)

// begin keeps the state sealed and returns the id that names it once.
func (f *Service) begin(ctx context.Context, sess *broker.Session, purpose string, state []byte) (broker.Secret, error) {
	id, err := broker.RandomSecret(f.c.Rand)
	if err != nil {
		return broker.Secret{}, err
	}
	return id, f.c.Kept.Put(ctx, ceremonyKey(id), ceremony{sess.Identity.Subject, sess.Key, purpose, state}, ChallengeTTL)
}

func ceremonyKey(id broker.Secret) string { return "mfa/" + id.Hash() }

// resume takes the ceremony, or with keep only reads it, and refuses one of
// another session, person or purpose.
func (f *Service) resume(ctx context.Context, sess *broker.Session, purpose string, id broker.Secret, keep bool) ([]byte, error) {
	if len(id.Reveal()) > 128 {
		return nil, errFactorGone
	}
	var c ceremony
	var err error
	if keep {
		_, err = f.c.Kept.Get(ctx, ceremonyKey(id), &c)
	} else {
		err = f.c.Kept.Take(ctx, ceremonyKey(id), &c)
	}
	if broker.CodeOf(err) == broker.CodeNotFound {
		return nil, errFactorGone.Because(err)
	}
	if err != nil {
		return nil, err
	}
	if c.Subject != sess.Identity.Subject || c.Session != sess.Key || c.Purpose != purpose {
		return nil, errFactorGone.Because(fmt.Errorf("ceremony %s of another session", c.Purpose))
	}
	return c.State, nil
}

func passkeyUser(sess *broker.Session) broker.PasskeyUser {
	return broker.PasskeyUser{Handle: []byte(sess.Identity.Subject.Opaque()), Name: sess.Identity.Username}
}

// passkeys returns the person's passkeys and their credentials, index by index.
func (f *Service) passkeys(ctx context.Context, s broker.Subject) ([]broker.FactorRow, [][]byte, error) {
	rows, err := f.c.Store.Factors(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	rows = slices.DeleteFunc(rows, func(r broker.FactorRow) bool { return r.Kind != broker.FactorPasskey })
	have := make([][]byte, len(rows))
	for i, r := range rows {
		var raw json.RawMessage
		if err := f.open(r, &raw); err != nil {
			return nil, nil, err
		}
		have[i] = raw
	}
	return rows, have, nil
}

// BeginPasskey starts the use of a passkey. CodeNotFound when none is enrolled.
func (f *Service) BeginPasskey(ctx context.Context, sess *broker.Session) (broker.Secret, []byte, error) {
	if err := f.offered(sess); err != nil {
		return broker.Secret{}, nil, err
	}
	rows, have, err := f.passkeys(ctx, sess.Identity.Subject)
	if err != nil {
		return broker.Secret{}, nil, err
	}
	if len(rows) == 0 {
		return broker.Secret{}, nil, broker.Errorf(broker.CodeNotFound, "You have no passkey here.")
	}
	ch, err := f.c.Passkeys.BeginUse(passkeyUser(sess), have)
	if err != nil {
		return broker.Secret{}, nil, err
	}
	id, err := f.begin(ctx, sess, purposeUsePasskey, ch.State)
	return id, ch.Options, err
}

// UsePasskey judges the browser's answer to [Service.BeginPasskey].
// CodeUnauthenticated for a wrong one, CodeRateLimited after too many.
func (f *Service) UsePasskey(ctx context.Context, sess *broker.Session, id broker.Secret, answer []byte) (Proven, error) {
	row, err := f.judgePasskey(ctx, sess, id, answer)
	return f.finishUse(ctx, sess, broker.FactorPasskey, row, err)
}

func (f *Service) judgePasskey(ctx context.Context, sess *broker.Session, id broker.Secret, answer []byte) (broker.FactorRow, error) {
	if err := f.offered(sess); err != nil {
		return broker.FactorRow{}, err
	}
	state, err := f.resume(ctx, sess, purposeUsePasskey, id, false)
	if err != nil {
		return broker.FactorRow{}, err
	}
	if err := f.reserve(ctx, sess); err != nil {
		return broker.FactorRow{}, err
	}
	if len(answer) > maxFactorAnswer {
		return broker.FactorRow{}, errFactorWrong.Because(fmt.Errorf("answer of %d bytes", len(answer)))
	}
	rows, have, err := f.passkeys(ctx, sess.Identity.Subject)
	if err != nil {
		return broker.FactorRow{}, err
	}
	which, credential, err := f.c.Passkeys.FinishUse(passkeyUser(sess), have, state, answer)
	if err != nil {
		return broker.FactorRow{}, err
	}
	row := rows[which]
	return row, f.swap(ctx, row, json.RawMessage(credential))
}

// UseCode takes a code of an authenticator app, or a recovery code. Each is
// good once: a time step that was accepted, and any before it, never is again.
// CodeUnauthenticated for a wrong one, CodeRateLimited after too many.
func (f *Service) UseCode(ctx context.Context, sess *broker.Session, code string) (Proven, error) {
	code = strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.TrimSpace(code)))
	kind := broker.FactorCode
	if len(code) == 16 {
		kind = broker.FactorRecovery
	}
	row, err := f.judgeCode(ctx, sess, kind, code)
	return f.finishUse(ctx, sess, kind, row, err)
}

func (f *Service) judgeCode(ctx context.Context, sess *broker.Session, kind broker.FactorKind, code string) (broker.FactorRow, error) {
	if err := f.offered(sess); err != nil {
		return broker.FactorRow{}, err
	}
	if err := f.reserve(ctx, sess); err != nil {
		return broker.FactorRow{}, err
	}
	rows, err := f.c.Store.Factors(ctx, sess.Identity.Subject)
	if err != nil {
		return broker.FactorRow{}, err
	}
	for _, r := range rows {
		if r.Kind != kind {
			continue
		}
		body, ok, err := f.match(r, code)
		if err != nil {
			return broker.FactorRow{}, err
		}
		if ok {
			return r, f.swap(ctx, r, body)
		}
	}
	return broker.FactorRow{}, errFactorWrong
}

// match returns the body after the code was used up.
func (f *Service) match(r broker.FactorRow, code string) (any, bool, error) {
	if r.Kind == broker.FactorRecovery {
		var b recoveryBody
		if err := f.open(r, &b); err != nil {
			return nil, false, err
		}
		i := slices.Index(b.Hashes, broker.NewSecret(code).Hash())
		if i < 0 {
			return nil, false, nil
		}
		b.Hashes = slices.Delete(b.Hashes, i, i+1)
		return b, true, nil
	}
	var b codeBody
	if err := f.open(r, &b); err != nil {
		return nil, false, err
	}
	step, ok := f.c.Codes.Match(broker.NewSecret(b.Secret), code, f.c.Now())
	if !ok || step <= b.Step {
		return nil, false, nil
	}
	b.Step = step
	return b, true, nil
}

// swap writes the used factor; who lost the race for it is refused.
func (f *Service) swap(ctx context.Context, r broker.FactorRow, body any) error {
	r.LastUsedAt = f.c.Now()
	if err := f.seal(&r, body); err != nil {
		return err
	}
	done, err := f.c.Store.SwapFactor(ctx, r)
	if err == nil && !done {
		return errFactorWrong.Because(fmt.Errorf("factor %s was used at the same time", r.ID))
	}
	return err
}

func (f *Service) finishUse(ctx context.Context, sess *broker.Session, kind broker.FactorKind, row broker.FactorRow, err error) (Proven, error) {
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAUse, kind, err)
	}
	if err := f.record(ctx, sess, broker.ActionMFAUse, kind, map[string]string{"name": row.Name, "amr": kind.AMR()}); err != nil {
		return Proven{}, err
	}
	if err := f.forgive(ctx, sess.Identity.Subject); err != nil {
		return Proven{}, err
	}
	return f.prove(ctx, sess, kind)
}

// EnrolPasskey starts the enrolment of a passkey, under the conditions of
// [Service.MayChange].
func (f *Service) EnrolPasskey(ctx context.Context, sess *broker.Session) (broker.Secret, []byte, error) {
	if err := f.mayEnrol(ctx, sess, broker.FactorPasskey); err != nil {
		return broker.Secret{}, nil, err
	}
	_, have, err := f.passkeys(ctx, sess.Identity.Subject)
	if err != nil {
		return broker.Secret{}, nil, err
	}
	ch, err := f.c.Passkeys.BeginEnrol(passkeyUser(sess), have)
	if err != nil {
		return broker.Secret{}, nil, err
	}
	id, err := f.begin(ctx, sess, purposeEnrolPasskey, ch.State)
	return id, ch.Options, err
}

// FinishPasskey ends the enrolment of a passkey; the session is proven by it.
func (f *Service) FinishPasskey(ctx context.Context, sess *broker.Session, id broker.Secret, name string, answer []byte) (Proven, error) {
	if err := f.mayEnrol(ctx, sess, broker.FactorPasskey); err != nil {
		return Proven{}, err
	}
	state, err := f.resume(ctx, sess, purposeEnrolPasskey, id, false)
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorPasskey, err)
	}
	if len(answer) > maxFactorAnswer {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorPasskey, errFactorWrong)
	}
	credentialID, credential, err := f.c.Passkeys.FinishEnrol(passkeyUser(sess), state, answer)
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorPasskey, err)
	}
	// The row's id is that of the credential, so that nobody enrols it twice.
	return f.add(ctx, sess, broker.FactorRow{ID: broker.NewSecret(credentialID).Hash(), Kind: broker.FactorPasskey, Name: name}, json.RawMessage(credential))
}

// NewCode is a begun enrolment of an authenticator app.
type NewCode struct {
	ID  broker.Secret
	Key broker.CodeKey
}

// EnrolCode starts the enrolment of an authenticator app, under the conditions
// of [Service.MayChange].
func (f *Service) EnrolCode(ctx context.Context, sess *broker.Session) (NewCode, error) {
	if err := f.mayEnrol(ctx, sess, broker.FactorCode); err != nil {
		return NewCode{}, err
	}
	key, err := f.c.Codes.NewKey(sess.Identity.Username)
	if err != nil {
		return NewCode{}, err
	}
	id, err := f.begin(ctx, sess, purposeEnrolCode, []byte(key.Secret.Reveal()))
	return NewCode{id, key}, err
}

// ResumeCode shows a begun enrolment again, after a wrong code.
func (f *Service) ResumeCode(ctx context.Context, sess *broker.Session, id broker.Secret) (NewCode, error) {
	if err := f.mayEnrol(ctx, sess, broker.FactorCode); err != nil {
		return NewCode{}, err
	}
	state, err := f.resume(ctx, sess, purposeEnrolCode, id, true)
	if err != nil {
		return NewCode{}, err
	}
	secret := broker.NewSecret(string(state))
	picture, err := f.c.Codes.Picture(sess.Identity.Username, secret)
	return NewCode{id, broker.CodeKey{Secret: secret, Picture: picture}}, err
}

// FinishCode ends the enrolment of an authenticator app with its first code.
// A wrong one is CodeUnauthenticated and may be tried again.
func (f *Service) FinishCode(ctx context.Context, sess *broker.Session, id broker.Secret, name, code string) (Proven, error) {
	if err := f.mayEnrol(ctx, sess, broker.FactorCode); err != nil {
		return Proven{}, err
	}
	state, err := f.resume(ctx, sess, purposeEnrolCode, id, true)
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorCode, err)
	}
	if err := f.reserve(ctx, sess); err != nil {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorCode, err)
	}
	step, ok := f.c.Codes.Match(broker.NewSecret(string(state)), strings.ReplaceAll(strings.TrimSpace(code), " ", ""), f.c.Now())
	if !ok {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorCode, errFactorWrong)
	}
	// Taken now: of two right answers at once one enrols.
	taken, err := f.resume(ctx, sess, purposeEnrolCode, id, false)
	if err != nil || !bytes.Equal(taken, state) {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, broker.FactorCode, errFactorGone)
	}
	rowID, err := f.newID()
	if err != nil {
		return Proven{}, err
	}
	return f.add(ctx, sess, broker.FactorRow{ID: rowID, Kind: broker.FactorCode, Name: name}, codeBody{Secret: string(state), Step: step})
}

func (f *Service) mayEnrol(ctx context.Context, sess *broker.Session, kind broker.FactorKind) error {
	if err := f.MayChange(ctx, sess); err != nil {
		return f.refuse(ctx, sess, broker.ActionMFAEnrol, kind, err)
	}
	return nil
}

// add stores the factor, with recovery codes if it is the first, records the
// event before it, and proves the session.
func (f *Service) add(ctx context.Context, sess *broker.Session, r broker.FactorRow, body any) (Proven, error) {
	sub := sess.Identity.Subject
	rows, err := f.c.Store.Factors(ctx, sub)
	if err != nil {
		return Proven{}, err
	}
	if len(rows) > maxFactors {
		return Proven{}, f.refuse(ctx, sess, broker.ActionMFAEnrol, r.Kind,
			broker.Errorf(broker.CodeConflict, "You have %d second factors already.", maxFactors).Fix("Remove one that you do not use any more."))
	}
	r.Subject, r.CreatedAt, r.Version = sub, f.c.Now(), 1
	r.Name = cleanFactorName(r.Name, r.Kind, len(slices.DeleteFunc(slices.Clone(rows), func(r broker.FactorRow) bool { return r.Kind == broker.FactorRecovery }))+1)
	if err := f.seal(&r, body); err != nil {
		return Proven{}, err
	}
	added := []broker.FactorRow{r}
	var codes []broker.Secret
	if !slices.ContainsFunc(rows, func(r broker.FactorRow) bool { return r.Kind == broker.FactorRecovery }) {
		var recovery broker.FactorRow
		if recovery, codes, err = f.newRecovery(sub); err != nil {
			return Proven{}, err
		}
		added = append(added, recovery)
	}
	if err := f.record(ctx, sess, broker.ActionMFAEnrol, r.Kind, map[string]string{"name": r.Name}); err != nil {
		return Proven{}, err
	}
	if err := f.c.Store.AddFactors(ctx, added...); err != nil {
		return Proven{}, err
	}
	if err := f.forgive(ctx, sub); err != nil {
		return Proven{}, err
	}
	p, err := f.prove(ctx, sess, r.Kind)
	p.RecoveryCodes = codes
	return p, err
}
