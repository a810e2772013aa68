package saml_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/rolegate/rolegate/broker/saml"
)

// BenchmarkVerify is beside one bare RSA verification of the same run.
func BenchmarkVerify(b *testing.B) {
	key := idpKey()
	sum := sha256.Sum256([]byte("x"))
	sig, err := rsa.SignPKCS1v15(nil, key.Key.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bare-rsa-2048", func(b *testing.B) {
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(key.Key.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, groups := range []int{20, 500, 3000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			a := good()
			a.groups = groups
			f := form(a.build(b))
			sp := newSP(b, metadata(key), func(c *saml.Config) { c.MaxResponse = 1 << 20 })
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sp.Finish(b.Context(), request(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
