package broker

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "REDACTED"

// Secret is a string that says REDACTED wherever it is printed, logged or
// marshalled. The value sits behind a pointer so that even a %+v of a struct
// with an unexported Secret field shows an address and not the value.
type Secret struct{ p *string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{p: &s} }

// RandomSecret returns 256 bits from r, base64url encoded without padding.
func RandomSecret(r io.Reader) (Secret, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(r, b); err != nil {
		return Secret{}, fmt.Errorf("broker: random: %w", err)
	}
	return NewSecret(base64.RawURLEncoding.EncodeToString(b)), nil
}

// Reveal returns the value. Every call is a place where a secret leaves its
// wrapper, so calls are few and easy to grep.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.p == nil || *s.p == "" }

// Hash returns the lower-case hex SHA-256 of the value: what the store keeps
// instead of a session id or bearer token.
func (s Secret) Hash() string {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return hex.EncodeToString(sum[:])
}

// String returns REDACTED.
func (s Secret) String() string { return redacted }

// GoString returns REDACTED.
func (s Secret) GoString() string { return redacted }

// LogValue returns REDACTED.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns REDACTED, so JSON, XML and YAML encoders do as well.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText refuses: a Secret never comes out of a document by itself.
func (s *Secret) UnmarshalText([]byte) error {
	return errors.New("broker: a Secret cannot be unmarshalled; read it explicitly")
}
