package issuer_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
)

// TestOddKeys ensures that a key of a kind that signs nothing here is refused by
// what it is, and that the order inside of a file does not matter.
func TestOddKeys(t *testing.T) {
	pkcs8 := func(t *testing.T, key any) []byte {
		t.Helper()
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	for _, tt := range []struct {
		name string
		put  func(t *testing.T, dir string) (name string, content []byte)
		says string // "": it is taken
	}{
		{"P-384 key for tokens", func(t *testing.T, _ string) (string, []byte) {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: fixed}
			der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			jwk := jose.JSONWebKey{Key: key.Public()}
			sum, err := jwk.Thumbprint(crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			b := append(pkcs8(t, key), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
			return "aws-oidc." + base64.RawURLEncoding.EncodeToString(sum) + ".pem", b
		}, "not the kind of key"},
		{"key that cannot sign", func(t *testing.T, _ string) (string, []byte) {
			key, err := ecdh.X25519().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return "aws-saml.x.pem", pkcs8(t, key)
		}, "is no key we use"},
		{"certificate in front of its key", func(t *testing.T, dir string) (string, []byte) {
			m, err := filepath.Glob(filepath.Join(dir, "aws-saml.*.pem"))
			if err != nil {
				t.Fatal(err)
			}
			return filepath.Base(m[0]), append(block(t, m[0], "CERTIFICATE"), block(t, m[0], "PRIVATE KEY")...)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, dir := newKeys(t)
			name, content := tt.put(t, dir)
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := issuer.OpenKeys(dir, issuer.OpenOptions{})
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("error %v, want %q", err, tt.says)
			}
		})
	}
}

// TestKeysHalfMade ensures that keys which could not all be written are not
// reported as made. The folder breaks while they are, and is whole again at once.
func TestKeysHalfMade(t *testing.T) {
	gone := func(_ *testing.T, dir string) error { return os.RemoveAll(dir) }
	back := func(_ *testing.T, dir string) error { return os.MkdirAll(dir, 0o700) }
	for _, tt := range []struct {
		name string
		at   map[int]func(t *testing.T, dir string) error // by the number of the key that is about to be made
	}{
		{"the first key", map[int]func(*testing.T, string) error{1: gone, 2: back}},
		{"the next key of the first purpose", map[int]func(*testing.T, string) error{2: gone, 3: back}},
		{"the index", map[int]func(*testing.T, string) error{9: func(_ *testing.T, dir string) error {
			return os.Mkdir(filepath.Join(dir, "keys.yaml.new"), 0o700)
		}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, made := filepath.Join(t.TempDir(), "certs"), 0
			_, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true, Now: func() time.Time {
				made++
				if do := tt.at[made]; do != nil {
					if err := do(t, dir); err != nil {
						t.Error(err)
					}
				}
				return fixed
			}})
			if err == nil || !strings.Contains(err.Error(), "write key folder") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestDataKeysStay ensures that what any former data key sealed opens, and not
// only what the last one did.
func TestDataKeysStay(t *testing.T) {
	k, dir := newKeys(t)
	s, err := k.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte("planted"), "row/1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := k.Rotate(issuer.Data); err != nil {
			t.Fatal(err)
		}
	}
	if k, err = issuer.OpenKeys(dir, issuer.OpenOptions{}); err != nil {
		t.Fatal(err)
	}
	if s, err = k.Sealer(); err != nil {
		t.Fatal(err)
	}
	if plain, err := s.Open(sealed, "row/1"); err != nil || string(plain) != "planted" {
		t.Errorf("%q %v", plain, err)
	}
	if n := len(k.Held(issuer.Data)); n != 4 {
		t.Errorf("%d data keys", n)
	}
}

// TestNothingHeldLacks ensures that a node without any key of a purpose is not
// taken for one that is a rotation ahead of another without a next one.
func TestNothingHeldLacks(t *testing.T) {
	other := issuer.Holding{issuer.AWSSAML: {Active: "a"}}
	if l := (issuer.Holding{}).Lacks(other); len(l) != 1 || l[0] != "aws-saml.a" {
		t.Errorf("lacks %v", l)
	}
}

// TestUnknownPartition ensures that nothing is minted for a partition whose
// audience nobody knows, and that no setting can bring one in.
func TestUnknownPartition(t *testing.T) {
	i, k := newIssuer(t, nil)
	r := request()
	r.Account.Partition = "aws-moon"
	r.RoleARN, r.ProviderARN = "arn:aws-moon:iam::111122223333:role/Admin", "arn:aws-moon:iam::111122223333:saml-provider/rolegate"
	if a, err := i.Assert(t.Context(), r); err == nil || !a.Raw.IsZero() {
		t.Errorf("minted, error %v", err)
	}
	c := issuer.Config{PublicURL: "https://sso.example.com", Keys: k, Audiences: map[broker.Partition]issuer.Audience{
		"aws-moon": {Audience: "urn:moon", Recipient: "https://signin.example.com/saml"},
	}}
	if _, err := issuer.New(c); err == nil || c.Validate() == nil {
		t.Errorf("accepted: %v, %v", err, c.Validate())
	}
	c.Audiences = nil
	if err := c.Validate(); err != nil {
		t.Error("without it:", err)
	}
}

// TestStaticFiles ensures that discovery and JWKS are written out as they are
// served, and not for an issuer that AWS does not read.
func TestStaticFiles(t *testing.T) {
	i, _ := newIssuer(t, nil)
	files, err := i.StaticFiles()
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	discovery, err := i.Discovery()
	if err != nil || string(files[".well-known/openid-configuration"]) != string(discovery) {
		t.Errorf("discovery %s, %v", files[".well-known/openid-configuration"], err)
	}
	jwks, err := i.JWKS()
	if err != nil || string(files["aws/jwks.json"]) != string(jwks) {
		t.Errorf("JWKS %s, %v", files["aws/jwks.json"], err)
	}
	private, _ := newIssuer(t, func(c *issuer.Config) { c.PublicURL = "https://sso.example.com:8443" })
	if files, err := private.StaticFiles(); broker.CodeOf(err) != broker.CodeUnavailable || files != nil {
		t.Errorf("an issuer with a port: %d files, %v", len(files), err)
	}
}
