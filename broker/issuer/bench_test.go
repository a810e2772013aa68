package issuer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
)

// TestMintAllocations holds the floor: a template costs its buffer, the ids and
// the signature, and nothing per tag.
func TestMintAllocations(t *testing.T) {
	i, _ := newIssuer(t, nil)
	r := request()
	r.SessionTags, r.TransitiveTagKeys = map[string]string{}, nil
	for n := range 20 {
		r.SessionTags[fmt.Sprint("key", n)] = "value"
	}
	allocs := testing.AllocsPerRun(20, func() {
		if _, err := i.Assert(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 20 {
		t.Errorf("%v allocations to mint with 20 tags, 20 are the limit", allocs)
	}
}

// BenchmarkMint shows minting beside the bare signature of the same run, as the
// columns R (one RSA-2048 signature) and P256 (one ECDSA signature).
func BenchmarkMint(b *testing.B) {
	i, k := newIssuer(b, nil)
	digest := sha256.Sum256([]byte("x"))
	var bareRSA, bareP256 float64 // ns
	b.Run("bare-rsa-2048", func(b *testing.B) {
		key := k.Active(issuer.AWSSAML).RSA()
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
		bareRSA = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("bare-p256", func(b *testing.B) {
		key := k.Active(issuer.AWSOIDC).Signer().(*ecdsa.PrivateKey)
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
		bareP256 = float64(b.Elapsed()) / float64(b.N)
	})
	for _, tags := range []int{1, 20} {
		for _, via := range []broker.Via{broker.ViaSAML, broker.ViaOIDC} {
			b.Run(fmt.Sprintf("%s/tags=%d", via, tags), func(b *testing.B) {
				r := request()
				r.Via, r.TransitiveTagKeys, r.SessionTags = via, nil, map[string]string{}
				for n := range tags {
					r.SessionTags[fmt.Sprint("key", n)] = "value"
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := i.Assert(b.Context(), r); err != nil {
						b.Fatal(err)
					}
				}
				unit, bare := "R", bareRSA
				if via == broker.ViaOIDC {
					unit, bare = "P256", bareP256
				}
				if bare > 0 {
					b.ReportMetric(float64(b.Elapsed())/float64(b.N)/bare, unit)
				}
			})
		}
	}
}
