package issuer_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker/issuer"
)

// TestRotationHasNoGap ensures that what signs after a rotation was published
// before it, and that what may still be in use decrypts.
func TestRotationHasNoGap(t *testing.T) {
	for p, held := range map[issuer.Purpose]int{issuer.AWSSAML: 2, issuer.AWSOIDC: 2, issuer.SPSigning: 2, issuer.SPEncryption: 3} {
		t.Run(string(p), func(t *testing.T) {
			k, dir := newKeys(t)
			for range 2 {
				before := k.Published(p)
				if err := k.Rotate(p); err != nil {
					t.Fatal(err)
				}
				inMemory := ids(k.Held(p))
				var err error
				if k, err = issuer.OpenKeys(dir, issuer.OpenOptions{}); err != nil {
					t.Fatal(err)
				}
				after := k.Published(p)
				if after[0].ID != before[1].ID || len(after) != 2 || after[1].ID == before[0].ID {
					t.Errorf("before %v, after %v", ids(before), ids(after))
				}
				if got := ids(k.Held(p)); len(got) != held || held == 3 && got[2] != before[0].ID || !slices.Equal(got, inMemory) {
					t.Errorf("held %v, in memory %v, former %s", got, inMemory, before[0].ID)
				}
			}
		})
	}
	k, _ := newKeys(t)
	if err := k.Rotate("aws"); err == nil {
		t.Error("an unknown purpose was rotated")
	}
}

func ids(keys []issuer.Key) []string {
	var out []string
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return out
}

// TestBrokenRotation ensures that a rotation that ended between its steps
// leaves a folder that opens, with the same active and next key.
func TestBrokenRotation(t *testing.T) {
	k, dir := newKeys(t)
	want := ids(k.Published(issuer.AWSOIDC))
	index, err := os.ReadFile(filepath.Join(dir, "keys.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	former, err := os.ReadFile(filepath.Join(dir, "aws-oidc."+want[0]+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(issuer.AWSOIDC); err != nil {
		t.Fatal(err)
	}
	rotated := ids(k.Published(issuer.AWSOIDC))
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *issuer.Keys {
		k, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write("aws-oidc."+want[0]+".pem", former) // broken off before the removal
	if got := ids(open().Published(issuer.AWSOIDC)); !slices.Equal(got, rotated) {
		t.Errorf("published %v, want %v", got, rotated)
	}
	write("keys.yaml", index) // broken off before the index
	write("keys.yaml.new", []byte("acti"))
	k = open()
	if got := ids(k.Published(issuer.AWSOIDC)); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
	if err := k.Rotate(issuer.AWSOIDC); err != nil {
		t.Fatal(err)
	}
	if got := ids(open().Held(issuer.AWSOIDC)); len(got) != 2 || got[0] != want[1] {
		t.Errorf("held %v after the next rotation", got)
	}
}

// TestDataKeyRotation ensures that what a former data key sealed still opens.
func TestDataKeyRotation(t *testing.T) {
	k, dir := newKeys(t)
	old, err := k.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := old.Seal([]byte("planted"), "row/1")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(issuer.Data); err != nil {
		t.Fatal(err)
	}
	if k, err = issuer.OpenKeys(dir, issuer.OpenOptions{}); err != nil {
		t.Fatal(err)
	}
	s, err := k.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := s.Open(sealed, "row/1"); err != nil || string(plain) != "planted" {
		t.Errorf("%q %v", plain, err)
	}
	fresh, err := s.Seal([]byte("planted"), "row/1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open(fresh, "row/1"); err == nil {
		t.Error("the former key still seals")
	}
}

// TestCreateOnlyInAnEmptyFolder ensures that keys are made when asked for, in a
// folder that holds nothing of others, and are for our eyes only.
func TestCreateOnlyInAnEmptyFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("README.md")
	put(".gitignore")
	if _, err := issuer.OpenKeys(dir, issuer.OpenOptions{}); err == nil || !strings.Contains(err.Error(), "rolegate keys new") {
		t.Errorf("without Create: %v", err)
	}
	put("server.key")
	if _, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true}); err == nil || !strings.Contains(err.Error(), "server.key") {
		t.Errorf("with a foreign file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "server.key")); err != nil {
		t.Fatal(err)
	}
	k, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true, Now: func() time.Time { return fixed }})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v", info.Mode(), err)
	}
	cert := k.Active(issuer.AWSSAML).Certificate
	if cert.NotBefore.After(fixed) || cert.NotAfter.Before(fixed.AddDate(9, 11, 0)) || k.Active(issuer.AWSSAML).RSA().N.BitLen() < 2048 {
		t.Errorf("certificate from %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if k.Active(issuer.Data).Signer() != nil || k.Active(issuer.AWSOIDC).RSA() != nil {
		t.Error("a key serves what it is not for")
	}
	again, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true})
	if err != nil || again.Active(issuer.AWSSAML).ID != k.Active(issuer.AWSSAML).ID {
		t.Errorf("the second start made new keys: %v", err)
	}
}

// TestKeysRefuse ensures that a folder that is not whole is never healed by
// making a new identity.
func TestKeysRefuse(t *testing.T) {
	one := func(t *testing.T, dir, glob string) string {
		m, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil || len(m) == 0 {
			t.Fatal(m, err)
		}
		return m[0]
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string) error
		says  string
	}{
		{"missing index", func(_ *testing.T, d string) error { return os.Remove(filepath.Join(d, "keys.yaml")) }, "keys.yaml"},
		{"missing key", func(t *testing.T, d string) error { return os.Remove(one(t, d, "data.*.pem")) }, "the active data key is missing"},
		{"missing next key", func(t *testing.T, d string) error {
			k, err := issuer.OpenKeys(d, issuer.OpenOptions{})
			if err != nil {
				return err
			}
			return os.Remove(filepath.Join(d, "aws-saml."+k.Published(issuer.AWSSAML)[1].ID+".pem"))
		}, "the next aws-saml key is missing"},
		{"readable by others", func(t *testing.T, d string) error { return os.Chmod(one(t, d, "aws-saml.*.pem"), 0o640) }, "chmod 600"},
		{"renamed", func(t *testing.T, d string) error {
			return os.Rename(one(t, d, "aws-saml.*.pem"), filepath.Join(d, "aws-saml.abc.pem"))
		}, "file name"},
		{"garbage", func(t *testing.T, d string) error {
			return os.WriteFile(one(t, d, "aws-oidc.*.pem"), []byte("x"), 0o600)
		}, "no key inside"},
		{"others may choose the key", func(_ *testing.T, d string) error { return os.Chmod(filepath.Join(d, "keys.yaml"), 0o620) }, "chmod 600"},
		{"everybody may write the folder", func(_ *testing.T, d string) error { return os.Chmod(d, 0o777) }, "chmod 700"},
		{"EC key for assertions", func(t *testing.T, d string) error {
			from := one(t, d, "aws-oidc.*.pem")
			return os.Rename(from, strings.Replace(from, "aws-oidc", "aws-saml", 1))
		}, "not the kind of key"},
		{"one key for two purposes", func(t *testing.T, d string) error {
			from := one(t, d, "sp-signing.*.pem")
			return os.Link(from, strings.Replace(from, "sp-signing", "aws-saml", 1))
		}, "one purpose only"},
		{"another key's certificate", func(t *testing.T, d string) error {
			m, err := filepath.Glob(filepath.Join(d, "aws-saml.*.pem"))
			if err != nil {
				return err
			}
			return os.WriteFile(m[0], append(block(t, m[0], "PRIVATE KEY"), block(t, m[1], "CERTIFICATE")...), 0o600)
		}, "belongs to another key"},
		{"two keys in a file", func(t *testing.T, d string) error {
			m := one(t, d, "aws-saml.*.pem")
			b := block(t, m, "PRIVATE KEY")
			return os.WriteFile(m, append(b, b...), 0o600)
		}, "more than one"},
		{"two certificates in a file", func(t *testing.T, d string) error {
			m := one(t, d, "aws-saml.*.pem")
			c := block(t, m, "CERTIFICATE")
			return os.WriteFile(m, slices.Concat(block(t, m, "PRIVATE KEY"), c, c), 0o600)
		}, "more than one"},
		{"a key without its certificate", func(t *testing.T, d string) error {
			m := one(t, d, "aws-saml.*.pem")
			return os.WriteFile(m, block(t, m, "PRIVATE KEY"), 0o600)
		}, "is missing or belongs to another key"},
		{"something after the key", func(t *testing.T, d string) error {
			m := one(t, d, "data.*.pem")
			return os.WriteFile(m, append(block(t, m, "ROLEGATE DATA KEY"), "x"...), 0o600)
		}, "something follows"},
		{"data key of 31 bytes", func(t *testing.T, d string) error {
			return os.WriteFile(one(t, d, "data.*.pem"), pem.EncodeToMemory(&pem.Block{Type: "ROLEGATE DATA KEY", Bytes: make([]byte, 31)}), 0o600)
		}, "has 32 bytes"},
		{"a file of 65 KiB", func(t *testing.T, d string) error {
			m := one(t, d, "data.*.pem")
			return os.WriteFile(m, append(block(t, m, "ROLEGATE DATA KEY"), strings.Repeat("\n", 65<<10)...), 0o600)
		}, "is no key file"},
		{"name without a purpose", func(t *testing.T, d string) error {
			m := one(t, d, "data.*.pem")
			return os.Rename(m, strings.Replace(m, "data.", "data-", 1))
		}, "file name"},
		{"purpose that nobody knows", func(t *testing.T, d string) error {
			m := one(t, d, "data.*.pem")
			return os.Rename(m, strings.Replace(m, "data.", "other.", 1))
		}, "file name"},
		{"data key for assertions", func(t *testing.T, d string) error {
			m := one(t, d, "data.*.pem")
			return os.Rename(m, strings.Replace(m, "data.", "aws-saml.", 1))
		}, "not the kind of key"},
		{"index that is no YAML", func(_ *testing.T, d string) error {
			return os.WriteFile(filepath.Join(d, "keys.yaml"), []byte("{"), 0o600)
		}, "keys.yaml: "},
		{"short RSA key", func(t *testing.T, d string) error { return weak(t, d) }, "too short"},
		{"folder instead of a key", func(_ *testing.T, d string) error { return os.Mkdir(filepath.Join(d, "x.pem"), 0o700) }, "no key file"},
		{"index names one key twice", func(_ *testing.T, d string) error {
			path := filepath.Join(d, "keys.yaml")
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			_, active, _ := strings.Cut(string(b), "aws-oidc: ")
			active, _, _ = strings.Cut(active, "\n")
			head, next, _ := strings.Cut(string(b), "next:")
			before, after, _ := strings.Cut(next, "aws-oidc: ")
			_, after, _ = strings.Cut(after, "\n")
			return os.WriteFile(path, []byte(head+"next:"+before+"aws-oidc: "+active+"\n"+after), 0o600)
		}, "as active and next"},
		{"empty index", func(_ *testing.T, d string) error {
			return os.WriteFile(filepath.Join(d, "keys.yaml"), []byte("active: {}\n"), 0o600)
		}, "names no"},
		{"unknown field in the index", func(_ *testing.T, d string) error {
			return os.WriteFile(filepath.Join(d, "keys.yaml"), []byte("activ: {}\n"), 0o600)
		}, "keys.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, dir := newKeys(t)
			if err := tt.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			_, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
			if _, checked := issuer.CheckKeys(dir); checked == nil || checked.Error() != err.Error() {
				t.Errorf("the check says %v", checked)
			}
		})
	}
	empty := t.TempDir()
	if _, err := issuer.OpenKeys(empty, issuer.OpenOptions{}); err == nil {
		t.Error("an empty folder opened without Create")
	}
	for _, dir := range []string{empty, filepath.Join(empty, "absent")} {
		if held, err := issuer.CheckKeys(dir); held || err != nil {
			t.Errorf("%s: %t %v", dir, held, err)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) != 0 {
		t.Errorf("a check made %v %v", entries, err)
	}
	if err := os.WriteFile(filepath.Join(empty, "diary.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.CheckKeys(empty); err == nil || !strings.Contains(err.Error(), "diary.txt") {
		t.Errorf("a folder of something else: %v", err)
	}
	_, dir := newKeys(t)
	if held, err := issuer.CheckKeys(dir); !held || err != nil {
		t.Errorf("good keys: %t %v", held, err)
	}
}

func TestKeyFilesAreOursAlone(t *testing.T) {
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 10 {
		t.Errorf("%d files", len(entries))
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestSealer(t *testing.T) {
	k, dir := newKeys(t)
	s, err := k.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte("planted"), "row/1")
	if err != nil || bytes.Contains(sealed, []byte("planted")) {
		t.Fatalf("%q %v", sealed, err)
	}
	again, err := issuer.OpenKeys(dir, issuer.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s2, err := again.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := s2.Open(sealed, "row/1"); err != nil || string(plain) != "planted" {
		t.Errorf("%q %v", plain, err)
	}
	other, err := issuer.OpenKeys(t.TempDir(), issuer.OpenOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s3, err := other.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another row": func() ([]byte, error) { return s.Open(sealed, "row/2") },
		"another key": func() ([]byte, error) { return s3.Open(sealed, "row/1") },
		"changed":     func() ([]byte, error) { c := bytes.Clone(sealed); c[len(c)-1]++; return s.Open(c, "row/1") },
		"cut":         func() ([]byte, error) { return s.Open(sealed[:5], "row/1") },
		"empty":       func() ([]byte, error) { return s.Open(nil, "row/1") },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("%s opened to %q", name, plain)
		}
	}
}

// block returns the PEM block of the type in the file.
func block(t *testing.T, path, kind string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if p.Type == kind {
			return pem.EncodeToMemory(p)
		}
	}
	t.Fatalf("%s holds no %s", path, kind)
	return nil
}

// weak adds an aws-saml key of 1024 bits that is otherwise in order.
func weak(t *testing.T, dir string) error {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: fixed}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	jwk := jose.JSONWebKey{Key: key.Public()}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	b := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return os.WriteFile(filepath.Join(dir, "aws-saml."+base64.RawURLEncoding.EncodeToString(sum)+".pem"), b, 0o600)
}

// FuzzOpen: no bytes open but those that were sealed, for the row that they
// were sealed for.
func FuzzOpen(f *testing.F) {
	k, _ := newKeys(f)
	s, err := k.Sealer()
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := s.Seal([]byte("planted"), "row/1")
	if err != nil {
		f.Fatal(err)
	}
	// Each process has a key of its own, so a seed says what to change in the
	// value that this one sealed.
	f.Add(uint16(0), byte(0), uint16(len(sealed)), "row/1")
	f.Add(uint16(0), byte(1), uint16(len(sealed)), "row/1")
	f.Add(uint16(5), byte(0xff), uint16(len(sealed)), "row/1")
	f.Add(uint16(12), byte(1), uint16(len(sealed)), "row/1")
	f.Add(uint16(0), byte(0), uint16(8), "row/1")
	f.Add(uint16(0), byte(0), uint16(9), "row/1")
	f.Add(uint16(0), byte(0), uint16(len(sealed)), "row/2")
	f.Fuzz(func(t *testing.T, at uint16, flip byte, length uint16, row string) {
		b := bytes.Clone(sealed)
		b[int(at)%len(b)] ^= flip
		b = b[:min(int(length), len(b))]
		same := bytes.Equal(b, sealed) && row == "row/1"
		plain, err := s.Open(b, row)
		if (err == nil) != same || same && string(plain) != "planted" || !same && plain != nil {
			t.Errorf("%x for %q opened to %q, %v", b, row, plain, err)
		}
	})
}
