package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // G505: OAEP's default digest; collisions do not matter there
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

// errDecrypt is the one answer to whatever goes wrong in a decryption: which
// step it was would help who sends guesses.
var errDecrypt = errors.New("the encrypted assertion cannot be decrypted")

const nsEnc11 = "http://www.w3.org/2009/xmlenc11#"

// contentKeyLength is by content algorithm; RSA 1.5 and 3DES are not there.
var contentKeyLength = map[string]int{
	nsEnc11 + "aes128-gcm": 16, nsEnc11 + "aes192-gcm": 24, nsEnc11 + "aes256-gcm": 32,
	nsEnc + "aes128-cbc": 16, nsEnc + "aes192-cbc": 24, nsEnc + "aes256-cbc": 32,
}

var oaepDigests = map[string]crypto.Hash{
	"": crypto.SHA1, nsDSig + "sha1": crypto.SHA1, nsEnc + "sha256": crypto.SHA256,
	"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384, nsEnc + "sha512": crypto.SHA512,
}

var mgfs = map[string]crypto.Hash{
	"": crypto.SHA1, nsEnc11 + "mgf1sha1": crypto.SHA1, nsEnc11 + "mgf1sha256": crypto.SHA256,
	nsEnc11 + "mgf1sha384": crypto.SHA384, nsEnc11 + "mgf1sha512": crypto.SHA512,
}

// maxEncryptedKeys bounds the RSA work one message can cause.
const maxEncryptedKeys = 4

// decrypt returns the element of the name inside an EncryptedAssertion,
// EncryptedID or EncryptedAttribute (SAML core 2.2.4, XML Encryption 1.1). The
// plaintext goes through the same pre-pass as any other document.
func (sp *ServiceProvider) decrypt(el *etree.Element, want xml.Name) (out *etree.Element, err error) {
	defer recovered(&err)
	data := child(el, nsEnc, "EncryptedData")
	if data == nil || len(sp.c.Decryption) == 0 {
		return nil, errDecrypt
	}
	algorithm := methodOf(data)
	length, ok := contentKeyLength[algorithm]
	cbc := strings.HasSuffix(algorithm, "-cbc")
	switch {
	case !ok:
		return nil, fmt.Errorf("encrypted with %.80q, an algorithm that is not taken: set the identity provider to AES-GCM", algorithm)
	case cbc && !sp.c.InsecureAllowCBC:
		return nil, errors.New("encrypted with AES-CBC, an algorithm that is not taken, as it can be tampered with: set the identity provider to AES-GCM, or set insecure_allow_cbc")
	}
	ciphertext, err := cipherValue(data)
	if err != nil {
		return nil, errDecrypt
	}
	keys := encryptedKeys(el)
	if len(keys) == 0 || len(keys) > maxEncryptedKeys {
		return nil, errDecrypt
	}
	for _, k := range keys {
		for _, pair := range sp.c.Decryption {
			private, ok := pair.Key.(*rsa.PrivateKey)
			if !ok {
				continue
			}
			if plain, ok := openContent(contentKey(k, private, length), ciphertext, cbc); ok {
				if out := parsePlaintext(plain, want, sp.c.MaxNodes); out != nil {
					return out, nil
				}
			}
		}
	}
	return nil, errDecrypt
}

// parsePlaintext returns the element that the plaintext is, or nil.
func parsePlaintext(plain []byte, want xml.Name, nodes int) *etree.Element {
	if prepass(plain, messageLimits(want, nodes)) != nil {
		return nil
	}
	doc := etree.NewDocument()
	if doc.ReadFromBytes(plain) != nil {
		return nil
	}
	return doc.Root()
}

// contentKey unwraps an EncryptedKey with RSA-OAEP. When that fails it returns
// a random key, so that the failure shows up in the same place as every other.
func contentKey(k *etree.Element, private *rsa.PrivateKey, length int) []byte {
	key := make([]byte, length)
	if _, err := rand.Read(key); err != nil {
		return key
	}
	method := child(k, nsEnc, "EncryptionMethod")
	wrapped, err := cipherValue(k)
	if method == nil || err != nil {
		return key
	}
	digest, okDigest := oaepDigests[algorithmOf(child(method, nsDSig, "DigestMethod"))]
	mgf := crypto.SHA1
	okMGF := true
	switch attr(method, "Algorithm") {
	case nsEnc + "rsa-oaep-mgf1p": // the mask is SHA-1 whatever the digest
	case nsEnc11 + "rsa-oaep":
		mgf, okMGF = mgfs[algorithmOf(child(method, nsEnc11, "MGF"))]
	default:
		return key
	}
	if !okDigest || !okMGF || child(method, nsEnc, "OAEPparams") != nil {
		return key
	}
	plain, err := private.Decrypt(rand.Reader, wrapped, &rsa.OAEPOptions{Hash: digest, MGFHash: mgf})
	if err != nil || len(plain) != length {
		return key
	}
	return plain
}

func openContent(key, ciphertext []byte, cbc bool) ([]byte, bool) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	if cbc {
		return openCBC(block, ciphertext)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(ciphertext) < gcm.NonceSize()+gcm.Overhead() {
		return nil, false
	}
	plain, err := gcm.Open(nil, ciphertext[:gcm.NonceSize()], ciphertext[gcm.NonceSize():], nil)
	return plain, err == nil
}

// openCBC undoes CBC and the padding of XML Encryption 5.2.
func openCBC(block cipher.Block, ciphertext []byte) ([]byte, bool) {
	if len(ciphertext) < 2*aes.BlockSize || len(ciphertext)%aes.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(ciphertext)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, ciphertext[:aes.BlockSize]).CryptBlocks(plain, ciphertext[aes.BlockSize:])
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, false
	}
	return plain[:len(plain)-pad], true
}

func child(el *etree.Element, ns, tag string) *etree.Element {
	if el == nil {
		return nil
	}
	for _, c := range el.ChildElements() {
		if c.Tag == tag && c.NamespaceURI() == ns {
			return c
		}
	}
	return nil
}

func algorithmOf(el *etree.Element) string {
	if el == nil {
		return ""
	}
	return attr(el, "Algorithm")
}

func methodOf(el *etree.Element) string { return algorithmOf(child(el, nsEnc, "EncryptionMethod")) }

func cipherValue(el *etree.Element) ([]byte, error) {
	v := child(child(el, nsEnc, "CipherData"), nsEnc, "CipherValue")
	if v == nil {
		return nil, errDecrypt
	}
	return base64Text(v)
}

// encryptedKeys finds the EncryptedKey elements, inside KeyInfo or beside
// EncryptedData (SAML errata E43).
func encryptedKeys(el *etree.Element) []*etree.Element {
	var out []*etree.Element
	for _, e := range el.FindElements(".//EncryptedKey") {
		if e.NamespaceURI() == nsEnc {
			out = append(out, e)
		}
	}
	return out
}
