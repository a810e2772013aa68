package mfa

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // G505: RFC 6238's default, and the only hash that every app knows; HMAC does not need collision resistance
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

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
func (c *Codes) Match(secret broker.Secret, code string, at time.Time) (int64, bool) {
	key, err := encoding.DecodeString(secret.Reveal())
	if err != nil || len(key) == 0 || len(code) != digits {
		return 0, false
	}
	now := at.Unix() / period
	var step int64
	found := false
	for s := now - skew; s <= now+skew; s++ {
		if s > 0 && subtle.ConstantTimeCompare([]byte(at6(key, s)), []byte(code)) == 1 {
			step, found = s, true
		}
	}
	return step, found
}

// at6 is HOTP (RFC 4226 5.3) of the step.
func at6(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash does not fail
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0x0f
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", digits, n%1_000_000)
}
