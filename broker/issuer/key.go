package issuer

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Purpose names what a key is for. Keys are never shared between purposes.
type Purpose string

// The purposes.
const (
	AWSSAML      Purpose = "aws-saml"      // RSA-2048, signs assertions for IAM
	AWSOIDC      Purpose = "aws-oidc"      // P-256, signs ID tokens for IAM
	SPSigning    Purpose = "sp-signing"    // RSA-2048, signs AuthnRequests and client assertions
	SPEncryption Purpose = "sp-encryption" // RSA-2048, decrypts assertions
	Data         Purpose = "data"          // AES-256, seals what is kept at rest
)

var purposes = []Purpose{AWSSAML, AWSOIDC, SPSigning, SPEncryption, Data}

// hasNext reports whether a next key is published beside the active one, so
// that a rotation has no gap.
func (p Purpose) hasNext() bool { return p != Data }

// keepsFormer reports whether the key that was active stays in the folder after
// a rotation: identity providers encrypt to the old certificate until they read
// our metadata again, and what is at rest was sealed by former data keys.
func (p Purpose) keepsFormer() bool { return p == SPEncryption || p == Data }

// certificateLife is long because IAM and identity providers pin the key; the
// key is rotated, not the certificate renewed.
const certificateLife = 10 * 365 * 24 * time.Hour

// rsaBits is the size of the RSA keys we make and the least we load.
const rsaBits = 2048

const dataPEMType = "ROLEGATE DATA KEY"

// keyFileLimit bounds what is read as a key file.
const keyFileLimit = 64 << 10

// Key is one key of a purpose.
type Key struct {
	Purpose     Purpose
	ID          string            // RFC 7638 thumbprint, base64url
	Certificate *x509.Certificate // self-signed; nil for Data
	private     any               // *rsa.PrivateKey, *ecdsa.PrivateKey or []byte
}

// Signer returns the private key as a crypto.Signer, nil for [Data].
func (k Key) Signer() crypto.Signer {
	s, _ := k.private.(crypto.Signer)
	return s
}

// RSA returns the private key of an RSA key, nil for others. Only XML
// decryption needs it.
func (k Key) RSA() *rsa.PrivateKey {
	r, _ := k.private.(*rsa.PrivateKey)
	return r
}

// suits says why the key cannot serve its purpose.
func (k Key) suits() error {
	switch p := k.private.(type) {
	case *rsa.PrivateKey:
		if k.Purpose == AWSOIDC || k.Purpose == Data {
			break
		}
		if p.N.BitLen() < rsaBits {
			return fmt.Errorf("an RSA key of %d bits is too short, %d are needed", p.N.BitLen(), rsaBits)
		}
		return nil
	case *ecdsa.PrivateKey:
		if k.Purpose == AWSOIDC && p.Curve == elliptic.P256() {
			return nil
		}
	case []byte:
		if k.Purpose == Data {
			return nil
		}
	}
	return fmt.Errorf("a %T is not the kind of key that %s needs", k.private, k.Purpose)
}

func (k Key) fileName() string { return string(k.Purpose) + "." + k.ID + ".pem" }

func newKey(p Purpose, now time.Time) (Key, error) {
	k := Key{Purpose: p}
	var err error
	switch p {
	case Data:
		b := make([]byte, 32)
		_, err = rand.Read(b)
		k.private = b
	case AWSOIDC:
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		k.private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	}
	if err != nil {
		return Key{}, fmt.Errorf("issuer: make %s key: %w", p, err)
	}
	if k.ID, err = thumbprint(k.private); err != nil {
		return Key{}, err
	}
	if s := k.Signer(); s != nil {
		k.Certificate, err = selfSign(p, s, now)
	}
	return k, err
}

func selfSign(p Purpose, s crypto.Signer, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("issuer: random: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "rolegate " + string(p)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if p == SPEncryption {
		t.KeyUsage = x509.KeyUsageKeyEncipherment
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, s.Public(), s)
	if err != nil {
		return nil, fmt.Errorf("issuer: make %s certificate: %w", p, err)
	}
	return x509.ParseCertificate(der)
}

// thumbprint is the RFC 7638 JWK thumbprint with SHA-256. The data key's (kty
// oct, section 3.2) is a hash of 256 random bits and tells nothing about them.
func thumbprint(private any) (string, error) {
	if raw, ok := private.([]byte); ok {
		sum := sha256.Sum256([]byte(`{"k":"` + base64.RawURLEncoding.EncodeToString(raw) + `","kty":"oct"}`))
		return base64.RawURLEncoding.EncodeToString(sum[:]), nil
	}
	s, ok := private.(crypto.Signer)
	if !ok {
		return "", fmt.Errorf("issuer: a %T is no key we use", private)
	}
	jwk := jose.JSONWebKey{Key: s.Public()}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("issuer: key id: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

func encodeKey(k Key) ([]byte, error) {
	if raw, ok := k.private.([]byte); ok {
		return pem.EncodeToMemory(&pem.Block{Type: dataPEMType, Bytes: raw}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("issuer: encode key: %w", err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate.Raw})...), nil
}

// decodeKey reads one key and, unless it is a data key, the one certificate
// beside it. Purpose is not known here.
func decodeKey(b []byte) (Key, error) {
	var k Key
	rest := b
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		isCertificate := block.Type == "CERTIFICATE"
		if isCertificate && k.Certificate != nil || !isCertificate && k.private != nil {
			return Key{}, errors.New("more than one key or certificate inside")
		}
		var err error
		switch block.Type {
		case dataPEMType:
			if len(block.Bytes) != 32 {
				return Key{}, errors.New("a data key has 32 bytes")
			}
			k.private = block.Bytes
		case "PRIVATE KEY":
			k.private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "CERTIFICATE":
			k.Certificate, err = x509.ParseCertificate(block.Bytes)
		default:
			err = fmt.Errorf("a %q block does not belong here", block.Type)
		}
		if err != nil {
			return Key{}, err
		}
	}
	if k.private == nil {
		return Key{}, errors.New("no key inside")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, errors.New("something follows the last PEM block")
	}
	if s := k.Signer(); s != nil {
		pub, ok := s.Public().(interface{ Equal(crypto.PublicKey) bool })
		if k.Certificate == nil || !ok || !pub.Equal(k.Certificate.PublicKey) {
			return Key{}, errors.New("the certificate beside the key is missing or belongs to another key")
		}
	}
	var err error
	k.ID, err = thumbprint(k.private)
	return k, err
}

// readKey loads dir/name and checks that it is what its name says.
func readKey(dir, name string) (Key, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: %w", err)
	}
	switch m := info.Mode(); {
	case !m.IsRegular() || info.Size() > keyFileLimit:
		return Key{}, fmt.Errorf("issuer: %s is no key file: move it out of the key folder", path)
	case m.Perm()&0o077 != 0:
		return Key{}, fmt.Errorf("issuer: %s may be read or changed by others (mode %04o): run chmod 600 on it, and rotate the key if somebody could have read it", path, m.Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: %w", err)
	}
	key, err := decodeKey(b)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: %s: %w: restore it from your backup", path, err)
	}
	p, id, ok := strings.Cut(strings.TrimSuffix(name, ".pem"), ".")
	key.Purpose = Purpose(p)
	if !ok || !slices.Contains(purposes, key.Purpose) || id != key.ID {
		return Key{}, fmt.Errorf("issuer: %s: the file name must be PURPOSE.%s.pem, as the key inside has that id", path, key.ID)
	}
	if err := key.suits(); err != nil {
		return Key{}, fmt.Errorf("issuer: %s: %w: restore the right file", path, err)
	}
	return key, nil
}
