package saml_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/saml"
)

// BenchmarkVerify verifies one response beside one bare RSA-2048 verification of
// the same run; the column V is the ratio of the two.
func BenchmarkVerify(b *testing.B) {
	key := idpKey()
	sum := sha256.Sum256([]byte("x"))
	sig, err := rsa.SignPKCS1v15(nil, key.Key.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	var bare float64 // ns
	b.Run("bare-rsa-2048", func(b *testing.B) {
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(key.Key.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
				b.Fatal(err)
			}
		}
		bare = float64(b.Elapsed()) / float64(b.N)
	})
	for _, bench := range []struct {
		name   string
		groups int
		change func(*answer)
		refuse bool
	}{
		{"groups=20", 20, nil, false},
		{"groups=500", 500, nil, false},
		{"groups=3000", 3000, nil, false},
		{"both-signed/groups=20", 20, func(a *answer) { a.signResponse = &key }, false},
		{"encrypted/groups=20", 20, func(a *answer) { a.encrypt = sealed(sealing{bits: 256}) }, false},
		{"forged/groups=1800", 1800, func(a *answer) {
			evil := evilKey()
			a.signAssertion, a.noKeyInfo = &evil, true
		}, true},
		{"nested-50000", 1, text("<samlp:Status>", "<samlp:Status>"+strings.Repeat("<a>", 50000)), true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			a := good()
			a.groups = bench.groups
			if bench.change != nil {
				bench.change(&a)
			}
			f := form(a.build(b))
			sp := newSP(b, metadata(key), func(c *saml.Config) { c.MaxResponse = 1 << 20 })
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sp.Finish(b.Context(), request(), f); (err != nil) != bench.refuse {
					b.Fatal(err)
				}
			}
			if bare > 0 {
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/bare, "V")
			}
		})
	}
}
