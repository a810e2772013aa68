package issuer_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
)

var update = flag.Bool("update", false, "rewrite golden files")

var fixed = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// made is one set of keys for the run: making RSA keys is slow.
var made = sync.OnceValues(func() (string, error) {
	root, err := os.MkdirTemp("", "rolegate-issuer")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "certs")
	_, err = issuer.OpenKeys(dir, issuer.OpenOptions{Create: true})
	return dir, err
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if dir, err := made(); err == nil {
		_ = os.RemoveAll(filepath.Dir(dir))
	}
	os.Exit(code)
}

// newKeys opens a copy of the keys of the run.
func newKeys(t testing.TB) (*issuer.Keys, string) {
	t.Helper()
	from, err := made()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "certs")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(dir, e.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k, err := issuer.OpenKeys(dir, issuer.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return k, dir
}

func newIssuer(t testing.TB, change func(*issuer.Config)) (*issuer.Issuer, *issuer.Keys) {
	t.Helper()
	k, _ := newKeys(t)
	c := issuer.Config{PublicURL: "https://sso.example.com", Keys: k}
	if change != nil {
		change(&c)
	}
	i, err := issuer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return i, k
}

func request() broker.AssertionRequest {
	return broker.AssertionRequest{
		Via: broker.ViaSAML, Subject: broker.Subject{Provider: "okta", ID: "00u1"},
		Account: broker.Account{ID: "111122223333", Partition: broker.PartitionAWS},
		RoleARN: "arn:aws:iam::111122223333:role/Admin", ProviderARN: "arn:aws:iam::111122223333:saml-provider/rolegate",
		SessionName: "alice@example.com", SourceIdentity: "alice", Duration: time.Hour,
		SessionTags: map[string]string{"Team": "platform ops", "CostCenter": "a=b/c"}, TransitiveTagKeys: []string{"Team"},
	}
}

func response(t testing.TB, a broker.Assertion) []byte {
	t.Helper()
	doc, err := base64.StdEncoding.DecodeString(a.Raw.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestSAMLVerifies ensures that a minted response verifies with an XML
// signature library and says what was asked.
func TestSAMLVerifies(t *testing.T) {
	i, k := newIssuer(t, nil)
	a, err := i.Assert(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(response(t, a)); err != nil {
		t.Fatal(err)
	}
	el := doc.FindElement("//Assertion")
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{k.Active(issuer.AWSSAML).Certificate}})
	good, err := ctx.Validate(el)
	if err != nil {
		t.Fatal(err)
	}
	verified := etree.NewDocument()
	verified.SetRoot(good)
	raw, err := verified.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	var got saml.Assertion
	if err := xml.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	for _, at := range got.AttributeStatements[0].Attributes {
		for _, v := range at.Values {
			name := strings.TrimPrefix(at.Name, "https://aws.amazon.com/SAML/Attributes/")
			values[name] = append(values[name], v.Value)
		}
	}
	want := map[string][]string{
		"Role":                    {"arn:aws:iam::111122223333:role/Admin,arn:aws:iam::111122223333:saml-provider/rolegate"},
		"RoleSessionName":         {"alice@example.com"},
		"SessionDuration":         {"3600"},
		"SourceIdentity":          {"alice"},
		"PrincipalTag:Team":       {"platform ops"},
		"PrincipalTag:CostCenter": {"a=b/c"},
		"TransitiveTagKeys":       {"Team"},
	}
	if d := cmp.Diff(want, values); d != "" {
		t.Error(d)
	}
	conf := got.Subject.SubjectConfirmations
	switch {
	case got.ID != a.ID, got.Issuer.Value != "https://sso.example.com/aws/saml/metadata",
		got.Subject.NameID.Value != a.Subject, !strings.HasPrefix(a.Subject, "u-"), len(a.Subject) != 28,
		len(conf) != 1, conf[0].SubjectConfirmationData.Recipient != "https://signin.aws.amazon.com/saml",
		got.Conditions.AudienceRestrictions[0].Audience.Value != "urn:amazon:webservices",
		got.Conditions.NotOnOrAfter.Sub(got.IssueInstant) > 5*time.Minute:
		t.Errorf("%+v", got)
	}
}

// TestSAMLByXMLSec ensures that another implementation agrees.
func TestSAMLByXMLSec(t *testing.T) {
	tool, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("xmlsec1 is missing: in CI every peer is needed")
		}
		t.Skip("xmlsec1 is missing: left out")
	}
	i, k := newIssuer(t, nil)
	a, err := i.Assert(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	doc, cert := filepath.Join(dir, "r.xml"), filepath.Join(dir, "c.der")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, k.Active(issuer.AWSSAML).Certificate.Raw)
	verify := func(b []byte) error {
		write(doc, b)
		out, err := exec.CommandContext(t.Context(), tool, "--verify", "--id-attr:ID",
			"urn:oasis:names:tc:SAML:2.0:assertion:Assertion", "--pubkey-cert-der", cert, doc).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := verify(response(t, a)); err != nil {
		t.Error(err)
	}
	if verify(bytes.Replace(response(t, a), []byte("alice@example.com"), []byte("mallory@example.co"), 1)) == nil {
		t.Error("a changed document verifies: the check cannot fail")
	}
}

// TestTokenVerifies ensures that an ID token verifies under the published keys
// and has AWS's form.
func TestTokenVerifies(t *testing.T) {
	i, k := newIssuer(t, func(c *issuer.Config) { c.SourceIdentity = true })
	r := request()
	r.Via = broker.ViaOIDC
	a, err := i.Assert(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := i.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || strings.Contains(string(b), `"d"`) {
		t.Fatalf("JWKS %s", b)
	}
	tok, err := jwt.ParseSigned(a.Raw.Reveal(), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if tok.Headers[0].KeyID != k.Active(issuer.AWSOIDC).ID {
		t.Errorf("kid %q", tok.Headers[0].KeyID)
	}
	var claims map[string]any
	if err := tok.Claims(set.Key(tok.Headers[0].KeyID)[0].Key, &claims); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"iat", "exp", "jti"} {
		delete(claims, key)
	}
	want := map[string]any{
		"iss": "https://sso.example.com", "aud": "sts.amazonaws.com", "sub": a.Subject,
		"https://aws.amazon.com/source_identity": "alice",
		"https://aws.amazon.com/tags": map[string]any{
			"principal_tags":      map[string]any{"Team": []any{"platform ops"}, "CostCenter": []any{"a=b/c"}},
			"transitive_tag_keys": []any{"Team"},
		},
	}
	if d := cmp.Diff(want, claims); d != "" {
		t.Error(d)
	}
}

// TestTokenByNode ensures that another language's cryptography agrees.
func TestTokenByNode(t *testing.T) {
	tool, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("node is missing: in CI every peer is needed")
		}
		t.Skip("node is missing: left out")
	}
	i, _ := newIssuer(t, nil)
	r := request()
	r.Via = broker.ViaOIDC
	a, err := i.Assert(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	set, err := i.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	const script = `
const crypto = require("crypto");
const { token, jwks } = JSON.parse(require("fs").readFileSync(0));
const [h, p, s] = token.split(".");
const { kid, alg } = JSON.parse(Buffer.from(h, "base64url"));
const jwk = jwks.keys.find(k => k.kid === kid && k.alg === alg);
const key = crypto.createPublicKey({ key: jwk, format: "jwk" });
const ok = crypto.verify("sha256", Buffer.from(h + "." + p), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(s, "base64url"));
process.stdout.write(ok ? "verified" : "refused");`
	verify := func(token string) string {
		in, err := json.Marshal(map[string]any{"token": token, "jwks": json.RawMessage(set)})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), tool, "-e", script)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), t.Output()
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	raw := a.Raw.Reveal()
	if got := verify(raw); got != "verified" {
		t.Errorf("node says %q", got)
	}
	parts := strings.Split(raw, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"mallory"}`))
	if got := verify(strings.Join(parts, ".")); got != "refused" {
		t.Errorf("node says %q of a changed token", got)
	}
}

// TestNeverMint ensures that what AWS would refuse, or what would change the
// document, is never signed.
func TestNeverMint(t *testing.T) {
	tests := map[string]func(*broker.AssertionRequest){
		"role of another account":     func(r *broker.AssertionRequest) { r.RoleARN = "arn:aws:iam::999999999999:role/Admin" },
		"role of another partition":   func(r *broker.AssertionRequest) { r.RoleARN = "arn:aws-cn:iam::111122223333:role/Admin" },
		"two roles in one":            func(r *broker.AssertionRequest) { r.RoleARN += ",arn:aws:iam::1:role/x" },
		"markup in the role":          func(r *broker.AssertionRequest) { r.RoleARN = "arn:aws:iam::111122223333:role/<x>" },
		"provider of another account": func(r *broker.AssertionRequest) { r.ProviderARN = "arn:aws:iam::999999999999:saml-provider/rolegate" },
		"OIDC provider for SAML":      func(r *broker.AssertionRequest) { r.ProviderARN = "arn:aws:iam::111122223333:oidc-provider/x" },
		"space in the session name":   func(r *broker.AssertionRequest) { r.SessionName = "alice smith" },
		"long session name":           func(r *broker.AssertionRequest) { r.SessionName = strings.Repeat("a", 65) },
		"newline in session name":     func(r *broker.AssertionRequest) { r.SessionName = "alice\n" },
		"no source identity":          func(r *broker.AssertionRequest) { r.SourceIdentity = "" },
		"source identity aws:":        func(r *broker.AssertionRequest) { r.SourceIdentity = "aws:root" },
		"no subject":                  func(r *broker.AssertionRequest) { r.Subject = broker.Subject{} },
		"13 hours":                    func(r *broker.AssertionRequest) { r.Duration = 13 * time.Hour },
		"a minute":                    func(r *broker.AssertionRequest) { r.Duration = time.Minute },
		"markup in a tag":             func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"x": "<y>"} },
		"aws: tag":                    func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"AWS:x": "y"} },
		"tags equal but for case":     func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"x": "1", "X": "2"} },
		"transitive key without tag":  func(r *broker.AssertionRequest) { r.TransitiveTagKeys = []string{"Other"} },
		"51 tags": func(r *broker.AssertionRequest) {
			r.SessionTags, r.TransitiveTagKeys = map[string]string{}, nil
			for n := range 51 {
				r.SessionTags[fmt.Sprint("k", n)] = "v"
			}
		},
		"via the corporate token": func(r *broker.AssertionRequest) { r.Via = broker.ViaIDPToken },
	}
	i, _ := newIssuer(t, nil)
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := request()
			change(&r)
			if a, err := i.Assert(t.Context(), r); err == nil || !a.Raw.IsZero() {
				t.Errorf("minted, error %v", err)
			}
		})
	}
}

// TestEachCallMintsAnew ensures that ids never repeat.
func TestEachCallMintsAnew(t *testing.T) {
	i, _ := newIssuer(t, nil)
	seen := map[string]bool{}
	for range 20 {
		a, err := i.Assert(t.Context(), request())
		if err != nil || seen[a.ID] {
			t.Fatalf("id %s again, error %v", a.ID, err)
		}
		seen[a.ID] = true
	}
}

func TestMetadataForIAM(t *testing.T) {
	i, k := newIssuer(t, nil)
	b, err := i.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 1000 || bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		t.Errorf("%d bytes", len(b))
	}
	var d saml.EntityDescriptor
	if err := xml.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	keys := d.IDPSSODescriptors[0].KeyDescriptors
	if d.EntityID != "https://sso.example.com/aws/saml/metadata" || len(keys) != 2 ||
		keys[0].KeyInfo.X509Data.X509Certificates[0].Data != base64.StdEncoding.EncodeToString(k.Active(issuer.AWSSAML).Certificate.Raw) {
		t.Errorf("%s", b)
	}
}

// TestGolden pins the published discovery document and the unsigned part of
// the minted forms, which trust policies depend on.
func TestGolden(t *testing.T) {
	i, _ := newIssuer(t, func(c *issuer.Config) {
		c.Now = func() time.Time { return fixed }
		c.Rand = bytes.NewReader(bytes.Repeat([]byte{7}, 400))
	})
	a, err := i.Assert(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(response(t, a)); err != nil {
		t.Fatal(err)
	}
	el := doc.FindElement("//Assertion")
	el.RemoveChild(el.FindElement("./Signature"))
	doc.Indent(2)
	out, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	discovery, err := i.Discovery()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"response.xml": out, "openid-configuration.json": discovery} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestRotationHasNoGap ensures that what is signed after a rotation verifies
// under the keys published before it.
func TestRotationHasNoGap(t *testing.T) {
	k, dir := newKeys(t)
	before := k.Published(issuer.AWSSAML)
	if err := k.Rotate(issuer.AWSSAML); err != nil {
		t.Fatal(err)
	}
	k, err := issuer.OpenKeys(dir, issuer.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after := k.Published(issuer.AWSSAML)
	if after[0].ID != before[1].ID || len(after) != 2 || after[1].ID == before[0].ID {
		t.Errorf("before %v, after %v", before[0].ID, after[0].ID)
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
		})
	}
	if _, err := issuer.OpenKeys(t.TempDir(), issuer.OpenOptions{}); err == nil {
		t.Error("an empty folder opened without Create")
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

// FuzzTags: whatever is minted has exactly the structure of a harmless one.
func FuzzTags(f *testing.F) {
	i, _ := newIssuer(f, nil)
	f.Add("Team", "x")
	f.Add("a&b", "</saml:AttributeValue>")
	f.Add("\"", "\x00\r\n")
	f.Fuzz(func(t *testing.T, key, val string) {
		r := request()
		r.SessionTags, r.TransitiveTagKeys = map[string]string{key: val}, nil
		a, err := i.Assert(t.Context(), r)
		if err != nil {
			return
		}
		var got saml.Response
		if err := xml.Unmarshal(response(t, a), &got); err != nil {
			t.Fatalf("%q=%q: %v", key, val, err)
		}
		attrs := got.Assertion.AttributeStatements[0].Attributes
		if len(attrs) != 5 || attrs[4].Name != "https://aws.amazon.com/SAML/Attributes/PrincipalTag:"+key || attrs[4].Values[0].Value != val {
			t.Errorf("%q=%q became %+v", key, val, attrs)
		}
	})
}

// Benchmarks: minting beside the bare signature of the same run.

func BenchmarkMint(b *testing.B) {
	i, k := newIssuer(b, nil)
	digest := sha256.Sum256([]byte("x"))
	b.Run("bare-rsa-2048", func(b *testing.B) {
		key := k.Active(issuer.AWSSAML).RSA()
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare-p256", func(b *testing.B) {
		key := k.Active(issuer.AWSOIDC).Signer().(*ecdsa.PrivateKey)
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, tags := range []int{0, 20} {
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
			})
		}
	}
}
