package issuer

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// sealVersion starts every sealed value; eight bytes of the key id follow.
const sealVersion = 1

// headSize is the length of version and key id.
const headSize = 1 + 8

// Sealer encrypts what is kept at rest with AES-256-GCM: version, key id,
// nonce, ciphertext. The additional data binds a value to its row. It is safe
// for concurrent use.
type Sealer struct {
	head  []byte
	aeads map[string]cipher.AEAD // by head: the active key seals, all open
}

// Sealer returns the sealer of the data keys.
func (k *Keys) Sealer() (*Sealer, error) {
	s := &Sealer{aeads: map[string]cipher.AEAD{}}
	for _, key := range k.Held(Data) {
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
		head := append([]byte{sealVersion}, key.ID[:headSize-1]...)
		s.aeads[string(head)] = aead
		if s.head == nil { // Held puts the active key first
			s.head = head
		}
	}
	return s, nil
}

// Seal encrypts plaintext, bound to additional.
func (s *Sealer) Seal(plaintext []byte, additional string) ([]byte, error) {
	aead := s.aeads[string(s.head)]
	out := make([]byte, headSize, headSize+len(plaintext)+aead.Overhead())
	copy(out, s.head)
	//nolint:gosec // G407: this AEAD makes its own random nonce and wants nil here
	return aead.Seal(out, nil, plaintext, append([]byte(additional), s.head...)), nil
}

// Open decrypts what Seal made with the same additional data.
func (s *Sealer) Open(sealed []byte, additional string) ([]byte, error) {
	if len(sealed) < headSize {
		return nil, errors.New("issuer: not a sealed value")
	}
	head := sealed[:headSize]
	aead, ok := s.aeads[string(head)]
	if !ok {
		return nil, errors.New("issuer: sealed with a key that is not in the key folder")
	}
	plain, err := aead.Open(nil, nil, sealed[headSize:], append([]byte(additional), head...))
	if err != nil {
		return nil, fmt.Errorf("issuer: open: %w", err)
	}
	return plain, nil
}
