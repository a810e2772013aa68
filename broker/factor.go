package broker

import (
	"context"
	"strings"
	"time"
)

// FactorKind is what sort of second factor a person enrolled here.
type FactorKind string

// The kinds. Recovery codes are not enrolled by themselves: they come with the
// first factor and go with the last one.
const (
	FactorPasskey  FactorKind = "passkey"
	FactorCode     FactorKind = "otp"
	FactorRecovery FactorKind = "recovery"
)

// AMR is the method that a session proves with the kind, in our own name: no
// identity provider can send it, see [MFAPolicy.Satisfied].
func (k FactorKind) AMR() string { return ownAMR + string(k) }

// ownAMR begins the methods that are ours.
const ownAMR = "rolegate:"

// IsOwnAMR reports whether a method is one of ours.
func IsOwnAMR(method string) bool { return strings.HasPrefix(method, ownAMR) }

// OwnFactor says whether rolegate's own second factor counts for the people of
// an identity provider.
type OwnFactor string

// The values. Allowed: it satisfies a role that requires MFA. Required: without
// any proof, no role is given after the grace date.
const (
	OwnFactorOff      OwnFactor = ""
	OwnFactorAllowed  OwnFactor = "allowed"
	OwnFactorRequired OwnFactor = "required"
)

// FactorRow is one factor as the store keeps it. Body is sealed; Version counts
// its changes.
type FactorRow struct {
	ID         string
	Subject    Subject
	Kind       FactorKind
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Version    int64
	Body       []byte
}

// FactorStore keeps factors. Every method is atomic and durable before it
// returns, and returns CodeUnavailable when the store cannot be reached.
type FactorStore interface {
	// Factors lists a subject's factors, oldest first.
	Factors(ctx context.Context, s Subject) ([]FactorRow, error)
	// AddFactors adds all rows or none; CodeConflict when an id is taken.
	AddFactors(ctx context.Context, rows ...FactorRow) error
	// SwapFactor replaces body and last use if the row still has r.Version, and
	// reports it: of two concurrent uses one wins.
	SwapFactor(ctx context.Context, r FactorRow) (bool, error)
	// DeleteFactor deletes one factor of the subject, CodeNotFound if it is not
	// there.
	DeleteFactor(ctx context.Context, s Subject, id string) error
	// DeleteFactors deletes all factors of the subject and returns how many.
	DeleteFactors(ctx context.Context, s Subject) (int, error)
}

// PasskeyUser is who a passkey belongs to. Handle is opaque: authenticators
// keep it and may show it to nobody.
type PasskeyUser struct {
	Handle []byte
	Name   string
}

// PasskeyChallenge is one begun ceremony: Options go to the browser, State is
// kept here and given back once.
type PasskeyChallenge struct {
	Options []byte // JSON
	State   []byte
}

// Passkeys does the WebAuthn ceremonies. Credentials are opaque bytes of the
// implementation. Both Finish methods return CodeUnauthenticated for whatever
// does not verify: challenge, origin, relying party, user verification,
// signature, a credential of somebody else, a counter that went back.
type Passkeys interface {
	BeginEnrol(u PasskeyUser, have [][]byte) (PasskeyChallenge, error)
	FinishEnrol(u PasskeyUser, state, answer []byte) (id string, credential []byte, err error)
	BeginUse(u PasskeyUser, have [][]byte) (PasskeyChallenge, error)
	FinishUse(u PasskeyUser, have [][]byte, state, answer []byte) (which int, credential []byte, err error)
}

// CodeKey is a new key for one-time codes.
type CodeKey struct {
	Secret  Secret // base32, as people type it
	Picture QRCode
}

// QRCode is a square picture: Path is the data of an SVG path that fills its
// dark modules, one unit each, Size how many units wide it is, margin included.
type QRCode struct {
	Size int
	Path Secret
}

// OneTimeCodes makes and checks time-based codes (RFC 6238).
type OneTimeCodes interface {
	// NewKey makes a key for the account name shown in the person's app.
	NewKey(account string) (CodeKey, error)
	// Picture draws the key again.
	Picture(account string, secret Secret) (QRCode, error)
	// Match returns the time step of the code, false if it is that of no step
	// around at.
	Match(secret Secret, code string, at time.Time) (step int64, ok bool)
}

// OwnProof is what a session holds of a factor that was used here.
type OwnProof struct {
	Kind FactorKind `json:"kind"`
	At   time.Time  `json:"at"`
}
