package mfa

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rolegate/rolegate/broker"
)

// Passkeys is a WebAuthn relying party. It is safe for concurrent use.
type Passkeys struct{ rp *webauthn.WebAuthn }

var _ broker.Passkeys = (*Passkeys)(nil)

// Config of [Passkeys].
type Config struct {
	PublicURL string // its host name is what passkeys are bound to
}

// Validate lists what is wrong, as [broker.Problems].
func (c Config) Validate() error {
	_, err := NewPasskeys(c)
	return err
}

// NewPasskeys returns the relying party of the public URL, or what is wrong with
// the configuration, as [broker.Problems].
func NewPasskeys(c Config) (*Passkeys, error) {
	var ps broker.Problems
	u, err := broker.ParsePublicURL(c.PublicURL)
	if err != nil {
		ps.Add("PublicURL", "%v", err)
		return nil, ps
	}
	rp, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "rolegate", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		ps.Add("PublicURL", "it cannot have passkeys: %v", err)
		return nil, ps
	}
	return &Passkeys{rp}, nil
}

// person is the library's view of somebody.
type person struct {
	broker.PasskeyUser
	credentials []webauthn.Credential
}

func (p person) WebAuthnID() []byte                         { return p.Handle }
func (p person) WebAuthnName() string                       { return p.Name }
func (p person) WebAuthnDisplayName() string                { return p.Name }
func (p person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

func newPerson(u broker.PasskeyUser, have [][]byte) (person, error) {
	p := person{PasskeyUser: u}
	for _, b := range have {
		var c webauthn.Credential
		if err := json.Unmarshal(b, &c); err != nil {
			return p, fmt.Errorf("mfa: decode credential: %w", err)
		}
		p.credentials = append(p.credentials, c)
	}
	return p, nil
}

func challenge(options any, session *webauthn.SessionData) (broker.PasskeyChallenge, error) {
	var out broker.PasskeyChallenge
	var err error
	if out.Options, err = json.Marshal(options); err != nil {
		return out, fmt.Errorf("mfa: encode options: %w", err)
	}
	if out.State, err = json.Marshal(session); err != nil {
		return out, fmt.Errorf("mfa: encode challenge: %w", err)
	}
	return out, nil
}

// refused hides the library's reason from the page and keeps it for the trace.
func refused(err error) error {
	return broker.Errorf(broker.CodeUnauthenticated, "This passkey was not accepted.").
		Fix("Use the passkey that you set up here, with its PIN, fingerprint or face, and try again.").
		Because(fmt.Errorf("mfa: %w", err))
}

// BeginEnrol makes the options of navigator.credentials.create.
func (p *Passkeys) BeginEnrol(u broker.PasskeyUser, have [][]byte) (broker.PasskeyChallenge, error) {
	who, err := newPerson(u, have)
	if err != nil {
		return broker.PasskeyChallenge{}, err
	}
	options, session, err := p.rp.BeginRegistration(who,
		webauthn.WithExclusions(webauthn.Credentials(who.credentials).CredentialDescriptors()))
	if err != nil {
		return broker.PasskeyChallenge{}, fmt.Errorf("mfa: begin enrolment: %w", err)
	}
	return challenge(options.Response, session)
}

// FinishEnrol verifies the browser's answer (WebAuthn 7.1).
func (p *Passkeys) FinishEnrol(u broker.PasskeyUser, state, answer []byte) (string, []byte, error) {
	var session webauthn.SessionData
	if err := json.Unmarshal(state, &session); err != nil {
		return "", nil, fmt.Errorf("mfa: decode challenge: %w", err)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return "", nil, refused(err)
	}
	c, err := p.rp.CreateCredential(person{PasskeyUser: u}, session, parsed)
	if err != nil {
		return "", nil, refused(err)
	}
	if !c.Flags.UserVerified {
		return "", nil, refused(errors.New("the user was not verified"))
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "", nil, fmt.Errorf("mfa: encode credential: %w", err)
	}
	return string(c.ID), b, nil
}

// BeginUse makes the options of navigator.credentials.get.
func (p *Passkeys) BeginUse(u broker.PasskeyUser, have [][]byte) (broker.PasskeyChallenge, error) {
	who, err := newPerson(u, have)
	if err != nil {
		return broker.PasskeyChallenge{}, err
	}
	options, session, err := p.rp.BeginLogin(who, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return broker.PasskeyChallenge{}, fmt.Errorf("mfa: begin use: %w", err)
	}
	return challenge(options.Response, session)
}

// FinishUse verifies the browser's answer (WebAuthn 7.2) and returns which
// credential it was, and what to keep of it now.
func (p *Passkeys) FinishUse(u broker.PasskeyUser, have [][]byte, state, answer []byte) (int, []byte, error) {
	who, err := newPerson(u, have)
	if err != nil {
		return 0, nil, err
	}
	var session webauthn.SessionData
	if err := json.Unmarshal(state, &session); err != nil {
		return 0, nil, fmt.Errorf("mfa: decode challenge: %w", err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return 0, nil, refused(err)
	}
	c, err := p.rp.ValidateLogin(who, session, parsed)
	if err != nil {
		return 0, nil, refused(err)
	}
	if c.Authenticator.CloneWarning {
		return 0, nil, refused(errors.New("the signature counter went back: there may be two of this authenticator"))
	}
	i := slices.IndexFunc(who.credentials, func(x webauthn.Credential) bool { return slices.Equal(x.ID, c.ID) })
	if i < 0 {
		return 0, nil, refused(errors.New("the credential is not one of this person's"))
	}
	b, err := json.Marshal(c)
	if err != nil {
		return 0, nil, fmt.Errorf("mfa: encode credential: %w", err)
	}
	return i, b, nil
}
