package mfa_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mfa"
)

// TestCodes holds the codes to the SHA-1 vectors of RFC 6238 appendix B, cut to
// six digits, and a code to its step and the steps beside it.
func TestCodes(t *testing.T) {
	c := mfa.NewCodes("rolegate", nil)
	vector := broker.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130",
	} {
		if step, ok := c.Match(vector, want, time.Unix(at, 0)); !ok || step != at/30 {
			t.Errorf("%d: step %d, %t", at, step, ok)
		}
	}
	key, err := c.NewKey("alice")
	if err != nil || len(key.Secret.Reveal()) != 32 || key.Picture.Size < 29 {
		t.Fatalf("%+v, %v", key, err)
	}
	now := time.Unix(1_800_000_000, 0)
	for steps, want := range map[int]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		theirs, err := totp.GenerateCode(key.Secret.Reveal(), now.Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		step, ok := c.Match(key.Secret, theirs, now)
		if ok != want || ok && step != now.Unix()/30+int64(steps) {
			t.Errorf("%d steps off: %d, %t", steps, step, ok)
		}
	}
}

// TestAttackCodeWithoutKey ensures that a secret which is empty or broken has no
// codes, though they could be computed, and neither has the time before there
// were any.
func TestAttackCodeWithoutKey(t *testing.T) {
	c := mfa.NewCodes("rolegate", nil)
	at := time.Unix(1_800_000_000, 0)
	for name, tt := range map[string]struct {
		secret string
		key    []byte
		at     time.Time
	}{
		"no secret":              {"", nil, at},
		"secret that breaks off": {"GEZDGNBVGY3TQOJQ!", []byte("1234567890"), at},
		"step 0":                 {"GEZDGNBVGY3TQOJQ", []byte("1234567890"), time.Unix(10, 0)},
	} {
		if step, ok := c.Match(broker.NewSecret(tt.secret), hotp(tt.key, tt.at.Unix()/30), tt.at); ok {
			t.Errorf("%s: accepted, step %d", name, step)
		}
	}
	if _, ok := c.Match(broker.NewSecret("GEZDGNBVGY3TQOJQ"), hotp([]byte("1234567890"), at.Unix()/30), at); !ok {
		t.Error("this test computes other codes")
	}
}

// hotp is RFC 4226 5.3.
func hotp(key []byte, step int64) string {
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}

// FuzzCode ensures that no foreign text is a code but the six digits of the step,
// the one before or the one after, each of its own step.
func FuzzCode(f *testing.F) {
	c := mfa.NewCodes("rolegate", nil)
	secret := broker.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	at := time.Unix(1111111111, 0)
	good := map[string]int64{}
	for _, d := range []time.Duration{-30 * time.Second, 0, 30 * time.Second} {
		theirs, err := totp.GenerateCode(secret.Reveal(), at.Add(d))
		if err != nil {
			f.Fatal(err)
		}
		good[theirs] = at.Add(d).Unix() / 30
		f.Add(theirs)
	}
	for _, s := range []string{"", "050471 ", "05047", "0050471", "\uff10\uff15\uff10\uff14\uff17\uff11", "\x00\x00\x00\x00\x00\x00", "+50471"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, code string) {
		step, ok := c.Match(secret, code, at)
		if want, is := good[code]; ok != is || ok && step != want {
			t.Errorf("%q is a code: %t, of step %d", code, ok, step)
		}
	})
}
