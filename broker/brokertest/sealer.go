package brokertest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"

	"github.com/rolegate/rolegate/broker"
)

// Sealer seals with AES-256-GCM under a key of this process, as package issuer
// does under its data key, whose folder of RSA keys would take seconds to make.
type Sealer struct{}

var _ broker.Sealer = Sealer{}

var aead = sync.OnceValue(func() cipher.AEAD {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // does not fail
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
})

// Seal encrypts plaintext, bound to additional.
func (Sealer) Seal(plaintext []byte, additional string) ([]byte, error) {
	return aead().Seal(nil, nil, plaintext, []byte(additional)), nil //nolint:gosec // G407: it makes its own nonce
}

// Open decrypts what Seal made with the same additional data.
func (Sealer) Open(sealed []byte, additional string) ([]byte, error) {
	return aead().Open(nil, nil, sealed, []byte(additional))
}
