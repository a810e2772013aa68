package issuer

import (
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
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.yaml.in/yaml/v4"
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

// published is how many keys of a purpose exist at a time: a signing key and
// the next one, both published, so that a rotation has no gap.
func (p Purpose) published() int {
	if p == Data {
		return 1
	}
	return 2
}

// certificateLife is long because IAM and identity providers pin the key; the
// key is rotated, not the certificate renewed.
const certificateLife = 10 * 365 * 24 * time.Hour

const (
	indexFile   = "keys.yaml"
	dataPEMType = "ROLEGATE DATA KEY"
)

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

// Keys are all keys of one installation, loaded from a folder.
type Keys struct {
	dir    string
	now    func() time.Time
	active map[Purpose]string
	all    map[Purpose][]Key
}

// OpenOptions steer [OpenKeys].
type OpenOptions struct {
	Create bool             // make all keys if the folder holds none
	Now    func() time.Time // nil: time.Now
}

// OpenKeys loads the keys of dir. An empty folder is an error unless Create is
// set; a folder that holds some keys but not all is always an error, because a
// silently made key would be a new identity that no account trusts. Key files
// that others may read are refused.
func OpenKeys(dir string, o OpenOptions) (*Keys, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Keys{dir: dir, now: o.Now, active: map[Purpose]string{}, all: map[Purpose][]Key{}}
	names, err := keyFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		if !o.Create {
			return nil, fmt.Errorf("issuer: no keys in %s: make them with `rolegate keys new`", dir)
		}
		if err := k.create(); err != nil {
			return nil, err
		}
		return k, nil
	}
	return k, k.load(names)
}

func keyFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("issuer: read key folder: %w", err)
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); n == indexFile || strings.HasSuffix(n, ".pem") {
			names = append(names, n)
		}
	}
	return names, nil
}

func (k *Keys) create() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("issuer: make key folder: %w", err)
	}
	for _, p := range purposes {
		for range p.published() {
			if err := k.add(p); err != nil {
				return err
			}
		}
		k.active[p] = k.all[p][0].ID
	}
	return k.writeIndex()
}

// add makes a key and writes its file; it does not make it active.
func (k *Keys) add(p Purpose) error {
	key, err := newKey(p, k.now())
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(k.dir, fileName(key)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("issuer: write key: %w", err)
	}
	err = encodeKey(f, key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("issuer: write key: %w", err)
	}
	k.all[p] = append(k.all[p], key)
	return nil
}

func fileName(k Key) string { return string(k.Purpose) + "." + k.ID + ".pem" }

// Rotate makes the next key of the purpose the active one, forgets the former
// one and adds a fresh next. Run it only when IAM and the identity providers
// have had both published keys; assertions of the former key end within minutes.
func (k *Keys) Rotate(p Purpose) error {
	if p.published() < 2 {
		return fmt.Errorf("issuer: %s keys are not rotated: what they sealed would be lost", p)
	}
	old := k.active[p]
	i := slices.IndexFunc(k.all[p], func(x Key) bool { return x.ID != old })
	if i < 0 {
		return fmt.Errorf("issuer: %s has no next key", p)
	}
	next := k.all[p][i]
	if err := k.add(p); err != nil {
		return err
	}
	k.active[p] = next.ID
	if err := k.writeIndex(); err != nil {
		return err
	}
	k.all[p] = slices.DeleteFunc(k.all[p], func(x Key) bool { return x.ID == old })
	if err := os.Remove(filepath.Join(k.dir, string(p)+"."+old+".pem")); err != nil {
		return fmt.Errorf("issuer: remove the former key: %w", err)
	}
	return nil
}

// Active returns the key that signs.
func (k *Keys) Active(p Purpose) Key {
	for _, x := range k.all[p] {
		if x.ID == k.active[p] {
			return x
		}
	}
	return Key{}
}

// Published returns the active key first, then the next.
func (k *Keys) Published(p Purpose) []Key {
	out := []Key{k.Active(p)}
	for _, x := range k.all[p] {
		if x.ID != k.active[p] {
			out = append(out, x)
		}
	}
	return out
}

type index struct {
	Active map[Purpose]string `yaml:"active"`
}

func (k *Keys) writeIndex() error {
	b, err := yaml.Marshal(index{Active: k.active})
	if err != nil {
		return fmt.Errorf("issuer: encode %s: %w", indexFile, err)
	}
	// Written aside and renamed, so that a crash leaves the old or the new one.
	path := filepath.Join(k.dir, indexFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("issuer: write %s: %w", indexFile, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("issuer: write %s: %w", indexFile, err)
	}
	return nil
}

func (k *Keys) load(names []string) error {
	b, err := os.ReadFile(filepath.Join(k.dir, indexFile))
	if err != nil {
		return fmt.Errorf("issuer: %s holds keys but no readable %s, which names the active ones; restore it: %w", k.dir, indexFile, err)
	}
	var ix index
	if err := yaml.Load(b, &ix, yaml.WithKnownFields()); err != nil {
		return fmt.Errorf("issuer: %s: %w", indexFile, err)
	}
	for _, name := range names {
		if name == indexFile {
			continue
		}
		key, err := readKey(k.dir, name)
		if err != nil {
			return err
		}
		k.all[key.Purpose] = append(k.all[key.Purpose], key)
	}
	for _, p := range purposes {
		k.active[p] = ix.Active[p]
		if k.Active(p).ID == "" {
			return fmt.Errorf("issuer: the active %s key %q is missing in %s; restore it from your backup, a new one would be trusted by nobody", p, ix.Active[p], k.dir)
		}
		if n := len(k.all[p]); n < p.published() {
			return fmt.Errorf("issuer: %s has %d of its %d keys in %s; restore the missing one", p, n, p.published(), k.dir)
		}
	}
	return nil
}

func readKey(dir, name string) (Key, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: %w", err)
	}
	if m := info.Mode().Perm(); m&0o077 != 0 {
		return Key{}, fmt.Errorf("issuer: %s may be read by others (mode %04o): run chmod 600 on it, and think about who read it", path, m)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: %w", err)
	}
	key, err := decodeKey(b)
	if err != nil {
		return Key{}, fmt.Errorf("issuer: %s: %w", path, err)
	}
	p, id, ok := strings.Cut(strings.TrimSuffix(name, ".pem"), ".")
	if !ok || !slices.Contains(purposes, Purpose(p)) || id != key.ID {
		return Key{}, fmt.Errorf("issuer: %s: the file name must be PURPOSE.%s.pem, as the key inside has that id", path, key.ID)
	}
	key.Purpose = Purpose(p)
	return key, nil
}

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
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
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

func encodeKey(f *os.File, k Key) error {
	if raw, ok := k.private.([]byte); ok {
		return pem.Encode(f, &pem.Block{Type: dataPEMType, Bytes: raw})
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate.Raw}))
}

func decodeKey(b []byte) (Key, error) {
	var k Key
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
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
			err = fmt.Errorf("a %s block does not belong here", block.Type)
		}
		if err != nil {
			return Key{}, err
		}
	}
	if s := k.Signer(); s != nil {
		pub, ok := s.Public().(interface{ Equal(crypto.PublicKey) bool })
		if k.Certificate == nil || !ok || !pub.Equal(k.Certificate.PublicKey) {
			return Key{}, errors.New("the certificate beside the key is missing or belongs to another key")
		}
	} else if k.private == nil {
		return Key{}, errors.New("no key inside")
	}
	var err error
	k.ID, err = thumbprint(k.private)
	return k, err
}
