package oidc_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkVerify is the whole check of an ID token, claims flattened, beside
// the least that any checker does: one RSA verification of the same bytes and
// one json.Unmarshal. The column bare is the ratio of the two.
func BenchmarkVerify(b *testing.B) {
	for _, groups := range []int{20, 500} {
		p := newOP(b)
		list := make([]string, groups)
		for n := range list {
			list[n] = fmt.Sprintf("corporate-group-%04d", n)
		}
		p.claims["groups"] = list
		raw := p.sign(p.claims)
		var bare float64 // ns
		b.Run(fmt.Sprintf("bare/groups=%d", groups), func(b *testing.B) {
			part := strings.Split(raw, ".")
			signed := []byte(part[0] + "." + part[1])
			b.ReportAllocs()
			for b.Loop() {
				sig, err := base64.RawURLEncoding.DecodeString(part[2])
				if err != nil {
					b.Fatal(err)
				}
				sum := sha256.Sum256(signed)
				if err := rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, sum[:], sig); err != nil {
					b.Fatal(err)
				}
				payload, err := base64.RawURLEncoding.DecodeString(part[1])
				var c struct{ Groups []string }
				if err != nil || json.Unmarshal(payload, &c) != nil || len(c.Groups) != groups {
					b.Fatal(err)
				}
			}
			bare = float64(b.Elapsed()) / float64(b.N)
		})
		b.Run(fmt.Sprintf("verify/groups=%d", groups), func(b *testing.B) {
			rp := p.party(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				if c, err := rp.Verify(b.Context(), raw); err != nil || len(c["groups"]) != groups {
					b.Fatal(err)
				}
			}
			if bare > 0 {
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/bare, "bare")
			}
		})
	}
}
