package mfa

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp/hotp"
	"rsc.io/qr"

	"github.com/rolegate/rolegate/broker"
)

const (
	digits     = 6
	period     = 30 // seconds
	secretSize = 20 // bytes: the size of SHA-1's output (RFC 4226 4, R6)
	skew       = 1  // steps
)

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Codes makes and checks time-based one-time codes. It is safe for concurrent
// use.
type Codes struct {
	issuer string
	rand   io.Reader
}

var _ broker.OneTimeCodes = (*Codes)(nil)

// NewCodes returns codes under the issuer's name, which people see in their
// app; nil random means crypto/rand.
func NewCodes(issuer string, random io.Reader) *Codes {
	if random == nil {
		random = rand.Reader
	}
	return &Codes{issuer, random}
}

// NewKey makes a key of 160 bits.
func (c *Codes) NewKey(account string) (broker.CodeKey, error) {
	b := make([]byte, secretSize)
	if _, err := io.ReadFull(c.rand, b); err != nil {
		return broker.CodeKey{}, fmt.Errorf("mfa: random: %w", err)
	}
	secret := broker.NewSecret(encoding.EncodeToString(b))
	picture, err := c.Picture(account, secret)
	return broker.CodeKey{Secret: secret, Picture: picture}, err
}

// margin is the quiet zone around a QR code, in modules (ISO 18004 9.1).
const margin = 4

// Picture draws the key as a QR code of its otpauth address.
func (c *Codes) Picture(account string, secret broker.Secret) (broker.QRCode, error) {
	if r := []rune(account); len(r) > 100 {
		account = string(r[:100])
	}
	u := url.URL{
		Scheme: "otpauth", Host: "totp", Path: "/" + c.issuer + ":" + account,
		RawQuery: url.Values{"secret": {secret.Reveal()}, "issuer": {c.issuer}}.Encode(),
	}
	code, err := qr.Encode(u.String(), qr.M)
	if err != nil {
		return broker.QRCode{}, fmt.Errorf("mfa: draw key: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			start := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > start {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start+margin, y+margin, x-start, x-start)
			}
		}
	}
	return broker.QRCode{Size: code.Size + 2*margin, Path: broker.NewSecret(path.String())}, nil
}

// Match returns the time step whose code it is: the one of at, or the one
// before or after. Every comparison is in constant time and all are made.
// The codes are the library's, and the comparison is not: it would take a code
// with spaces around it, and does not say which step it was.
func (c *Codes) Match(secret broker.Secret, code string, at time.Time) (int64, bool) {
	if secret.IsZero() || len(code) != digits {
		return 0, false
	}
	now := at.Unix() / period
	var step int64
	found := false
	for s := max(now-skew, 1); s <= now+skew; s++ {
		want, err := hotp.GenerateCode(secret.Reveal(), uint64(s)) // SHA-1 and six digits, as every app knows
		if err != nil {
			return 0, false
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, found = s, true
		}
	}
	return step, found
}
