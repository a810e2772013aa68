package idp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // G505: OAEP's digest in rsa-oaep-mgf1p; collisions do not matter there
	"encoding/base64"
	"fmt"

	"github.com/beevik/etree"
)

// Encryption is the content algorithm of encrypted assertions (XML Encryption
// 1.1 section 5.2.4). The content key is under RSA-OAEP with SHA-1.
type Encryption string

// How assertions can be encrypted; the zero value leaves them as they are.
const (
	EncryptAES128GCM Encryption = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	EncryptAES256GCM Encryption = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
)

const nsEnc = "http://www.w3.org/2001/04/xmlenc#"

func (e Encryption) valid() error {
	switch e {
	case "", EncryptAES128GCM, EncryptAES256GCM:
		return nil
	}
	return fmt.Errorf("idp: encryption %q is not known", string(e))
}

// replace puts an EncryptedAssertion in the place of the assertion. Written
// here because crewjam's AES-GCM seals a buffer of zeros.
func (e Encryption) replace(assertion *etree.Element, to *rsa.PublicKey) error {
	doc := etree.NewDocument()
	doc.SetRoot(assertion.Copy())
	plain, err := doc.WriteToBytes()
	if err != nil {
		return fmt.Errorf("idp: encrypt: %w", err)
	}
	key := make([]byte, 16)
	if e == EncryptAES256GCM {
		key = make([]byte, 32)
	}
	_, _ = rand.Read(key) // crypto/rand does not fail (Go 1.24)
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("idp: encrypt: %w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block) // nonce in front, tag behind, as XML Encryption has it
	if err != nil {
		return fmt.Errorf("idp: encrypt: %w", err)
	}
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, to, key, nil) //nolint:gosec // G401: as above
	if err != nil {
		return fmt.Errorf("idp: encrypt: %w", err)
	}
	out := etree.NewElement("saml:EncryptedAssertion")
	data := out.CreateElement("xenc:EncryptedData")
	set(data, "xmlns:xenc", nsEnc, "Type", nsEnc+"Element")
	set(data.CreateElement("xenc:EncryptionMethod"), "Algorithm", string(e))
	info := data.CreateElement("ds:KeyInfo")
	set(info, "xmlns:ds", nsDSig)
	ek := info.CreateElement("xenc:EncryptedKey")
	method := ek.CreateElement("xenc:EncryptionMethod")
	set(method, "Algorithm", nsEnc+"rsa-oaep-mgf1p")
	set(method.CreateElement("ds:DigestMethod"), "Algorithm", nsDSig+"sha1")
	setCipherValue(ek, wrapped)
	setCipherValue(data, gcm.Seal(nil, nil, plain, nil)) //nolint:gosec // G407: this AEAD makes its own random nonce and takes none
	parent, at := assertion.Parent(), assertion.Index()
	parent.RemoveChildAt(at)
	parent.InsertChildAt(at, out)
	return nil
}

func setCipherValue(el *etree.Element, b []byte) {
	el.CreateElement("xenc:CipherData").CreateElement("xenc:CipherValue").SetText(base64.StdEncoding.EncodeToString(b))
}
