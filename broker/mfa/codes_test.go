package mfa_test

import (
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mfa"
)

// TestCodes holds the codes to the SHA-1 vectors of RFC 6238 appendix B, cut to
// six digits, and to another implementation.
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

// FuzzCode ensures that no foreign text is a code unless it is six digits.
func FuzzCode(f *testing.F) {
	c := mfa.NewCodes("rolegate", nil)
	secret := broker.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	f.Add("287082")
	f.Add("")
	f.Fuzz(func(t *testing.T, code string) {
		if _, ok := c.Match(secret, code, time.Unix(59, 0)); ok && len(code) != 6 {
			t.Errorf("%q is a code", code)
		}
	})
}
