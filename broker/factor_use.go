package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// ceremony is what is kept between the two halves of enrolment or use. It is
// bound to the person, the session and the purpose.
type ceremony struct {
	Subject Subject `json:"subject"`
	Session string  `json:"session"` // the key of the session that began it
	Purpose string  `json:"purpose"`
	State   []byte  `json:"state"`
}

const (
	purposeEnrolPasskey = "enrol-passkey" //nolint:gosec // G101: a purpose, not a key
	purposeEnrolCode    = "enrol-code"
	purposeUsePasskey   = "use-passkey"
)

// begin keeps the state sealed and returns the id that names it once.
func (f *Factors) begin(ctx context.Context, sess *Session, purpose string, state []byte) (Secret, error) {
	id, err := RandomSecret(f.c.Rand)
	if err != nil {
		return Secret{}, err
	}
	return id, f.kept.put(ctx, ceremonyKey(id), ceremony{sess.Identity.Subject, sess.Key, purpose, state}, ChallengeTTL)
}

func ceremonyKey(id Secret) string { return "mfa/" + id.Hash() }

// resume takes the ceremony, or with keep only reads it, and refuses one of
// another session, person or purpose.
func (f *Factors) resume(ctx context.Context, sess *Session, purpose string, id Secret, keep bool) ([]byte, error) {
	if len(id.Reveal()) > 128 {
		return nil, errFactorGone
	}
	var c ceremony
	var err error
	if keep {
		_, err = f.kept.get(ctx, ceremonyKey(id), &c)
	} else {
		err = f.kept.take(ctx, ceremonyKey(id), &c)
	}
	if CodeOf(err) == CodeNotFound {
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

func passkeyUser(sess *Session) PasskeyUser {
	return PasskeyUser{Handle: []byte(sess.Identity.Subject.Opaque()), Name: sess.Identity.Username}
}

// passkeys returns the person's passkeys and their credentials, index by index.
func (f *Factors) passkeys(ctx context.Context, s Subject) ([]FactorRow, [][]byte, error) {
	rows, err := f.c.Store.Factors(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	rows = slices.DeleteFunc(rows, func(r FactorRow) bool { return r.Kind != FactorPasskey })
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
func (f *Factors) BeginPasskey(ctx context.Context, sess *Session) (Secret, []byte, error) {
	if err := f.offered(sess); err != nil {
		return Secret{}, nil, err
	}
	rows, have, err := f.passkeys(ctx, sess.Identity.Subject)
	if err != nil {
		return Secret{}, nil, err
	}
	if len(rows) == 0 {
		return Secret{}, nil, Errorf(CodeNotFound, "You have no passkey here.")
	}
	ch, err := f.c.Passkeys.BeginUse(passkeyUser(sess), have)
	if err != nil {
		return Secret{}, nil, err
	}
	id, err := f.begin(ctx, sess, purposeUsePasskey, ch.State)
	return id, ch.Options, err
}

// UsePasskey judges the browser's answer to [Factors.BeginPasskey].
// CodeUnauthenticated for a wrong one, CodeRateLimited after too many.
func (f *Factors) UsePasskey(ctx context.Context, sess *Session, id Secret, answer []byte) (Proven, error) {
	row, err := f.judgePasskey(ctx, sess, id, answer)
	return f.finishUse(ctx, sess, FactorPasskey, row, err)
}

func (f *Factors) judgePasskey(ctx context.Context, sess *Session, id Secret, answer []byte) (FactorRow, error) {
	if err := f.offered(sess); err != nil {
		return FactorRow{}, err
	}
	state, err := f.resume(ctx, sess, purposeUsePasskey, id, false)
	if err != nil {
		return FactorRow{}, err
	}
	if err := f.reserve(ctx, sess.Identity.Subject); err != nil {
		return FactorRow{}, err
	}
	if len(answer) > maxFactorAnswer {
		return FactorRow{}, errFactorWrong.Because(fmt.Errorf("answer of %d bytes", len(answer)))
	}
	rows, have, err := f.passkeys(ctx, sess.Identity.Subject)
	if err != nil {
		return FactorRow{}, err
	}
	which, credential, err := f.c.Passkeys.FinishUse(passkeyUser(sess), have, state, answer)
	if err != nil {
		return FactorRow{}, err
	}
	row := rows[which]
	return row, f.swap(ctx, row, json.RawMessage(credential))
}

// UseCode takes a code of an authenticator app, or a recovery code. Each is
// good once: a time step that was accepted, and any before it, never is again.
// CodeUnauthenticated for a wrong one, CodeRateLimited after too many.
func (f *Factors) UseCode(ctx context.Context, sess *Session, code string) (Proven, error) {
	code = strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.TrimSpace(code)))
	kind := FactorCode
	if len(code) == 16 {
		kind = FactorRecovery
	}
	row, err := f.judgeCode(ctx, sess, kind, code)
	return f.finishUse(ctx, sess, kind, row, err)
}

func (f *Factors) judgeCode(ctx context.Context, sess *Session, kind FactorKind, code string) (FactorRow, error) {
	if err := f.offered(sess); err != nil {
		return FactorRow{}, err
	}
	if err := f.reserve(ctx, sess.Identity.Subject); err != nil {
		return FactorRow{}, err
	}
	rows, err := f.c.Store.Factors(ctx, sess.Identity.Subject)
	if err != nil {
		return FactorRow{}, err
	}
	for _, r := range rows {
		if r.Kind != kind {
			continue
		}
		body, ok, err := f.match(r, code)
		if err != nil {
			return FactorRow{}, err
		}
		if ok {
			return r, f.swap(ctx, r, body)
		}
	}
	return FactorRow{}, errFactorWrong
}

// match returns the body after the code was used up.
func (f *Factors) match(r FactorRow, code string) (any, bool, error) {
	if r.Kind == FactorRecovery {
		var b recoveryBody
		if err := f.open(r, &b); err != nil {
			return nil, false, err
		}
		i := slices.Index(b.Hashes, NewSecret(code).Hash())
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
	step, ok := f.c.Codes.Match(NewSecret(b.Secret), code, f.c.Now())
	if !ok || step <= b.Step {
		return nil, false, nil
	}
	b.Step = step
	return b, true, nil
}

// swap writes the used factor; who lost the race for it is refused.
func (f *Factors) swap(ctx context.Context, r FactorRow, body any) error {
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

func (f *Factors) finishUse(ctx context.Context, sess *Session, kind FactorKind, row FactorRow, err error) (Proven, error) {
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, ActionMFAUse, kind, err)
	}
	if err := f.record(ctx, sess, ActionMFAUse, kind, map[string]string{"name": row.Name, "amr": kind.AMR()}); err != nil {
		return Proven{}, err
	}
	if err := f.forgive(ctx, sess.Identity.Subject); err != nil {
		return Proven{}, err
	}
	return f.prove(ctx, sess, kind)
}

// EnrolPasskey starts the enrolment of a passkey, under the conditions of
// [Factors.MayChange].
func (f *Factors) EnrolPasskey(ctx context.Context, sess *Session) (Secret, []byte, error) {
	if err := f.mayEnrol(ctx, sess, FactorPasskey); err != nil {
		return Secret{}, nil, err
	}
	_, have, err := f.passkeys(ctx, sess.Identity.Subject)
	if err != nil {
		return Secret{}, nil, err
	}
	ch, err := f.c.Passkeys.BeginEnrol(passkeyUser(sess), have)
	if err != nil {
		return Secret{}, nil, err
	}
	id, err := f.begin(ctx, sess, purposeEnrolPasskey, ch.State)
	return id, ch.Options, err
}

// FinishPasskey ends the enrolment of a passkey; the session is proven by it.
func (f *Factors) FinishPasskey(ctx context.Context, sess *Session, id Secret, name string, answer []byte) (Proven, error) {
	if err := f.mayEnrol(ctx, sess, FactorPasskey); err != nil {
		return Proven{}, err
	}
	state, err := f.resume(ctx, sess, purposeEnrolPasskey, id, false)
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorPasskey, err)
	}
	if len(answer) > maxFactorAnswer {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorPasskey, errFactorWrong)
	}
	credentialID, credential, err := f.c.Passkeys.FinishEnrol(passkeyUser(sess), state, answer)
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorPasskey, err)
	}
	// The row's id is that of the credential, so that nobody enrols it twice.
	return f.add(ctx, sess, FactorRow{ID: NewSecret(credentialID).Hash(), Kind: FactorPasskey, Name: name}, json.RawMessage(credential))
}

// NewCode is a begun enrolment of an authenticator app.
type NewCode struct {
	ID  Secret
	Key CodeKey
}

// EnrolCode starts the enrolment of an authenticator app, under the conditions
// of [Factors.MayChange].
func (f *Factors) EnrolCode(ctx context.Context, sess *Session) (NewCode, error) {
	if err := f.mayEnrol(ctx, sess, FactorCode); err != nil {
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
func (f *Factors) ResumeCode(ctx context.Context, sess *Session, id Secret) (NewCode, error) {
	if err := f.mayEnrol(ctx, sess, FactorCode); err != nil {
		return NewCode{}, err
	}
	state, err := f.resume(ctx, sess, purposeEnrolCode, id, true)
	if err != nil {
		return NewCode{}, err
	}
	secret := NewSecret(string(state))
	picture, err := f.c.Codes.Picture(sess.Identity.Username, secret)
	return NewCode{id, CodeKey{secret, picture}}, err
}

// FinishCode ends the enrolment of an authenticator app with its first code.
// A wrong one is CodeUnauthenticated and may be tried again.
func (f *Factors) FinishCode(ctx context.Context, sess *Session, id Secret, name, code string) (Proven, error) {
	if err := f.mayEnrol(ctx, sess, FactorCode); err != nil {
		return Proven{}, err
	}
	state, err := f.resume(ctx, sess, purposeEnrolCode, id, true)
	if err != nil {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorCode, err)
	}
	if err := f.reserve(ctx, sess.Identity.Subject); err != nil {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorCode, err)
	}
	step, ok := f.c.Codes.Match(NewSecret(string(state)), strings.ReplaceAll(strings.TrimSpace(code), " ", ""), f.c.Now())
	if !ok {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorCode, errFactorWrong)
	}
	// Taken now: of two right answers at once one enrols.
	taken, err := f.resume(ctx, sess, purposeEnrolCode, id, false)
	if err != nil || !bytes.Equal(taken, state) {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, FactorCode, errFactorGone)
	}
	rowID, err := f.newID()
	if err != nil {
		return Proven{}, err
	}
	return f.add(ctx, sess, FactorRow{ID: rowID, Kind: FactorCode, Name: name}, codeBody{Secret: string(state), Step: step})
}

func (f *Factors) mayEnrol(ctx context.Context, sess *Session, kind FactorKind) error {
	if err := f.MayChange(ctx, sess); err != nil {
		return f.refuse(ctx, sess, ActionMFAEnrol, kind, err)
	}
	return nil
}

// add stores the factor, with recovery codes if it is the first, records the
// event before it, and proves the session.
func (f *Factors) add(ctx context.Context, sess *Session, r FactorRow, body any) (Proven, error) {
	sub := sess.Identity.Subject
	rows, err := f.c.Store.Factors(ctx, sub)
	if err != nil {
		return Proven{}, err
	}
	if len(rows) > maxFactors {
		return Proven{}, f.refuse(ctx, sess, ActionMFAEnrol, r.Kind,
			Errorf(CodeConflict, "You have %d second factors already.", maxFactors).Fix("Remove one that you do not use any more."))
	}
	r.Subject, r.CreatedAt, r.Version = sub, f.c.Now(), 1
	r.Name = cleanFactorName(r.Name, r.Kind, len(slices.DeleteFunc(slices.Clone(rows), func(r FactorRow) bool { return r.Kind == FactorRecovery }))+1)
	if err := f.seal(&r, body); err != nil {
		return Proven{}, err
	}
	added := []FactorRow{r}
	var codes []Secret
	if !slices.ContainsFunc(rows, func(r FactorRow) bool { return r.Kind == FactorRecovery }) {
		var recovery FactorRow
		if recovery, codes, err = f.newRecovery(sub); err != nil {
			return Proven{}, err
		}
		added = append(added, recovery)
	}
	if err := f.record(ctx, sess, ActionMFAEnrol, r.Kind, map[string]string{"name": r.Name}); err != nil {
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
