package issuer

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// sealVersion starts every sealed value; eight bytes of the key id follow.
const sealVersion = 1

// Sealer encrypts what is kept at rest with AES-256-GCM: version, key id,
// nonce, ciphertext. The additional data binds a value to its row.
type Sealer struct {
	aead cipher.AEAD
	head []byte
}

// Sealer returns the sealer of the data key.
func (k *Keys) Sealer() (*Sealer, error) {
	key := k.Active(Data)
	raw, ok := key.private.([]byte)
	if !ok {
		return nil, errors.New("issuer: no data key")
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("issuer: data key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("issuer: data key: %w", err)
	}
	return &Sealer{aead: aead, head: append([]byte{sealVersion}, key.ID[:8]...)}, nil
}

// Seal encrypts plaintext, bound to additional.
func (s *Sealer) Seal(plaintext []byte, additional string) ([]byte, error) {
	out := make([]byte, len(s.head), len(s.head)+len(plaintext)+s.aead.Overhead())
	copy(out, s.head)
	//nolint:gosec // G407: this AEAD makes its own random nonce and wants nil here
	return s.aead.Seal(out, nil, plaintext, append([]byte(additional), s.head...)), nil
}

// Open decrypts what Seal made with the same additional data.
func (s *Sealer) Open(sealed []byte, additional string) ([]byte, error) {
	if len(sealed) < len(s.head) || string(sealed[:len(s.head)]) != string(s.head) {
		return nil, errors.New("issuer: sealed with another key")
	}
	plain, err := s.aead.Open(nil, nil, sealed[len(s.head):], append([]byte(additional), s.head...))
	if err != nil {
		return nil, fmt.Errorf("issuer: open: %w", err)
	}
	return plain, nil
}
