package issuer_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
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

// verified returns the assertion that an XML signature library vouches for
// under the active key.
func verified(t testing.TB, doc []byte, k *issuer.Keys) saml.Assertion {
	t.Helper()
	tree := etree.NewDocument()
	if err := tree.ReadFromBytes(doc); err != nil {
		t.Fatal(err)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{k.Active(issuer.AWSSAML).Certificate}})
	good, err := ctx.Validate(tree.FindElement("//Assertion"))
	if err != nil {
		t.Fatal(err)
	}
	out := etree.NewDocument()
	out.SetRoot(good)
	raw, err := out.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	var a saml.Assertion
	if err := xml.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// attributes returns the values by AWS attribute name without its prefix.
func attributes(a saml.Assertion) map[string][]string {
	out := map[string][]string{}
	for _, at := range a.AttributeStatements[0].Attributes {
		name := strings.TrimPrefix(at.Name, "https://aws.amazon.com/SAML/Attributes/")
		for _, v := range at.Values {
			out[name] = append(out[name], v.Value)
		}
	}
	return out
}

// TestSAMLVerifies ensures that a minted response verifies with an XML
// signature library and says what was asked.
func TestSAMLVerifies(t *testing.T) {
	i, k := newIssuer(t, nil)
	a, err := i.Assert(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	got := verified(t, response(t, a), k)
	want := map[string][]string{
		"Role":                    {"arn:aws:iam::111122223333:role/Admin,arn:aws:iam::111122223333:saml-provider/rolegate"},
		"RoleSessionName":         {"alice@example.com"},
		"SessionDuration":         {"3600"},
		"SourceIdentity":          {"alice"},
		"PrincipalTag:Team":       {"platform ops"},
		"PrincipalTag:CostCenter": {"a=b/c"},
		"TransitiveTagKeys":       {"Team"},
	}
	if d := cmp.Diff(want, attributes(got)); d != "" {
		t.Error(d)
	}
	conf := got.Subject.SubjectConfirmations
	switch {
	case got.ID != a.ID, got.Issuer.Value != "https://sso.example.com/aws/saml/metadata",
		got.Subject.NameID.Value != a.Subject, got.Subject.NameID.Format != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		!strings.HasPrefix(a.Subject, "u-"), len(a.Subject) != 28, a.Subject != request().Subject.Opaque(),
		len(conf) != 1, conf[0].SubjectConfirmationData.Recipient != "https://signin.aws.amazon.com/saml",
		got.Conditions.AudienceRestrictions[0].Audience.Value != "urn:amazon:webservices",
		got.Conditions.NotOnOrAfter.Sub(got.IssueInstant) > 5*time.Minute,
		!got.Conditions.NotBefore.Before(got.IssueInstant):
		t.Errorf("%+v", got)
	}
}

// TestPartitionsAndSettings ensures that each partition gets its own audience
// and recipient, and that the settings win.
func TestPartitionsAndSettings(t *testing.T) {
	i, k := newIssuer(t, func(c *issuer.Config) {
		c.EntityID = `urn:example:<rolegate>&"co"`
		c.Audiences = map[broker.Partition]issuer.Audience{broker.PartitionChina: {Recipient: "https://cn-northwest-1.signin.amazonaws.cn/saml"}}
	})
	for p, want := range map[broker.Partition]issuer.Audience{
		broker.PartitionAWS:      {Audience: "urn:amazon:webservices", Recipient: "https://signin.aws.amazon.com/saml"},
		broker.PartitionGovCloud: {Audience: "urn:amazon:webservices:govcloud", Recipient: "https://signin.amazonaws-us-gov.com/saml"},
		broker.PartitionChina:    {Audience: "urn:amazon:webservices:cn-north-1", Recipient: "https://cn-northwest-1.signin.amazonaws.cn/saml"},
		broker.PartitionEUSC:     {Audience: "urn:amazon:webservices", Recipient: "https://eusc-de-east-1.signin.amazonaws-eusc.eu/saml"},
	} {
		r := request()
		r.Account.Partition = p
		r.RoleARN = broker.RoleARN(strings.Replace(string(r.RoleARN), "arn:aws:", "arn:"+string(p)+":", 1))
		r.ProviderARN = broker.ProviderARN(strings.Replace(string(r.ProviderARN), "arn:aws:", "arn:"+string(p)+":", 1))
		a, err := i.Assert(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		x := verified(t, response(t, a), k)
		got := issuer.Audience{Audience: x.Conditions.AudienceRestrictions[0].Audience.Value,
			Recipient: x.Subject.SubjectConfirmations[0].SubjectConfirmationData.Recipient}
		if got != want || a.Audience != want.Recipient || x.Issuer.Value != `urn:example:<rolegate>&"co"` {
			t.Errorf("%s: %+v, issuer %s", p, got, x.Issuer.Value)
		}
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
		"one letter":                  func(r *broker.AssertionRequest) { r.SessionName = "a" },
		"Identity Center role": func(r *broker.AssertionRequest) {
			r.RoleARN = "arn:aws:iam::111122223333:role/aws-reserved/sso/AWSReservedSSO_x_1"
		},
		"comma in the role":      func(r *broker.AssertionRequest) { r.RoleARN = "arn:aws:iam::111122223333:role/a,b" },
		"role without a name":    func(r *broker.AssertionRequest) { r.RoleARN = "arn:aws:iam::111122223333:role/path/" },
		"long role name":         func(r *broker.AssertionRequest) { r.RoleARN += broker.RoleARN(strings.Repeat("a", 64)) },
		"user instead of a role": func(r *broker.AssertionRequest) { r.RoleARN = "arn:aws:iam::111122223333:user/Admin" },
		"provider with a path":   func(r *broker.AssertionRequest) { r.ProviderARN += "/x" },
		"no partition":           func(r *broker.AssertionRequest) { r.Account.Partition = "" },
		"long tag key":           func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{strings.Repeat("k", 129): "v"} },
		"long tag value":         func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"Team": strings.Repeat("é", 257)} },
		"empty tag key":          func(r *broker.AssertionRequest) { r.SessionTags[""] = "v" },
		"tag that is no UTF-8":   func(r *broker.AssertionRequest) { r.SessionTags["Team"] = "a\xffb" },
		"transitive key twice":   func(r *broker.AssertionRequest) { r.TransitiveTagKeys = []string{"Team", "Team"} },
		"more than STS reads": func(r *broker.AssertionRequest) {
			r.SessionTags, r.TransitiveTagKeys = manyTags(50, "\U0002070e", strings.Repeat("\U0002070e", 250)), nil
		},
		"no source identity":         func(r *broker.AssertionRequest) { r.SourceIdentity = "" },
		"source identity aws:":       func(r *broker.AssertionRequest) { r.SourceIdentity = "aws:root" },
		"no subject":                 func(r *broker.AssertionRequest) { r.Subject = broker.Subject{} },
		"13 hours":                   func(r *broker.AssertionRequest) { r.Duration = 13 * time.Hour },
		"a minute":                   func(r *broker.AssertionRequest) { r.Duration = time.Minute },
		"markup in a tag":            func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"x": "<y>"} },
		"aws: tag":                   func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"AWS:x": "y"} },
		"tags equal but for case":    func(r *broker.AssertionRequest) { r.SessionTags = map[string]string{"x": "1", "X": "2"} },
		"transitive key without tag": func(r *broker.AssertionRequest) { r.TransitiveTagKeys = []string{"Other"} },
		"51 tags": func(r *broker.AssertionRequest) {
			r.SessionTags, r.TransitiveTagKeys = manyTags(51, "k", "v"), nil
		},
		"via the corporate token": func(r *broker.AssertionRequest) { r.Via = broker.ViaIDPToken },
	}
	i, _ := newIssuer(t, nil)
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := request()
			change(&r)
			a, err := i.Assert(t.Context(), r)
			if err == nil || !a.Raw.IsZero() {
				t.Errorf("minted, error %v", err)
			}
			if r.Via != broker.ViaIDPToken && (broker.CodeOf(err) != broker.CodeDenied || broker.Remedy(err) == "") {
				t.Errorf("code %s, remedy %q", broker.CodeOf(err), broker.Remedy(err))
			}
		})
	}
}

// manyTags have long keys, to be as large as AWS's limits allow.
func manyTags(n int, letter, value string) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags[fmt.Sprint(strings.Repeat(letter, 120), i)] = value
	}
	return tags
}

// TestNeverMintTokens holds what is particular to ID tokens.
func TestNeverMintTokens(t *testing.T) {
	r := request()
	r.Via, r.SessionTags, r.TransitiveTagKeys = broker.ViaOIDC, manyTags(50, "k", strings.Repeat("v", 256)), nil
	i, _ := newIssuer(t, nil)
	if a, err := i.Assert(t.Context(), r); broker.CodeOf(err) != broker.CodeDenied || !a.Raw.IsZero() {
		t.Errorf("a token longer than STS reads: %v", err)
	}
	for _, public := range []string{"http://localhost:8080", "https://sso.example.com:8443"} {
		i, _ := newIssuer(t, func(c *issuer.Config) { c.PublicURL = public })
		r := request()
		if _, err := i.Assert(t.Context(), r); err != nil {
			t.Errorf("%s: SAML needs no public issuer: %v", public, err)
		}
		r.Via = broker.ViaOIDC
		if a, err := i.Assert(t.Context(), r); broker.CodeOf(err) != broker.CodeUnavailable || !a.Raw.IsZero() {
			t.Errorf("%s: minted for an issuer that IAM cannot hold: %v", public, err)
		}
	}
}

// TestNoRandomness ensures that an id is never half made.
func TestNoRandomness(t *testing.T) {
	i, _ := newIssuer(t, func(c *issuer.Config) { c.Rand = strings.NewReader("short") })
	for _, via := range []broker.Via{broker.ViaSAML, broker.ViaOIDC} {
		r := request()
		r.Via = via
		if a, err := i.Assert(t.Context(), r); err == nil || !a.Raw.IsZero() {
			t.Errorf("%s: minted without randomness", via)
		}
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

// structure is what a harmless request becomes: the structure that no input may
// change.
func structure(t testing.TB, doc []byte) string {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	var out strings.Builder
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch x := tok.(type) {
		case xml.StartElement:
			fmt.Fprintf(&out, "<%s %d>", x.Name.Local, len(x.Attr))
		case xml.EndElement:
			fmt.Fprintf(&out, "</%s>", x.Name.Local)
		case xml.Comment, xml.Directive, xml.ProcInst:
			t.Fatalf("%T in the document", x)
		}
	}
}

// FuzzMint: whatever is minted has exactly the structure of a harmless one, and
// its attributes read back as they were asked for.
func FuzzMint(f *testing.F) {
	i, k := newIssuer(f, nil)
	harmless := func() broker.AssertionRequest {
		r := request()
		r.SessionTags, r.TransitiveTagKeys = map[string]string{"k": "v"}, []string{"k"}
		return r
	}
	plain, err := i.Assert(f.Context(), harmless())
	if err != nil {
		f.Fatal(err)
	}
	want := structure(f, response(f, plain))
	f.Add("alice@example.com", "alice", "Admin", "Team", "x", "00u1")
	f.Add("a&b", "<x>", "a,b", "a&b", "</saml:AttributeValue>", "\x00")
	f.Add("]]>", "--", "role/<!--", "\"", "\x00\r\n", "]]>")
	f.Add("al\u00a0", "\u2028", "A", "\u00a0\u2028", "\ufffd\xff\u3000", "é")
	f.Fuzz(func(t *testing.T, name, source, role, key, val, subject string) {
		r := harmless()
		r.SessionName, r.SourceIdentity = name, source
		r.RoleARN = broker.RoleARN("arn:aws:iam::111122223333:role/" + role)
		r.SessionTags, r.TransitiveTagKeys = map[string]string{key: val}, []string{key}
		r.Subject.ID = subject
		a, err := i.Assert(t.Context(), r)
		if err != nil {
			if broker.CodeOf(err) != broker.CodeDenied {
				t.Errorf("code %s: %v", broker.CodeOf(err), err)
			}
			return
		}
		doc := response(t, a)
		if got := structure(t, doc); got != want {
			t.Fatalf("structure %s, want %s", got, want)
		}
		attrs := attributes(verified(t, doc, k))
		for attr, v := range map[string]string{
			"RoleSessionName": name, "SourceIdentity": source, "PrincipalTag:" + key: val, "TransitiveTagKeys": key,
			"Role": string(r.RoleARN) + "," + string(r.ProviderARN),
		} {
			if got := attrs[attr]; len(got) != 1 || got[0] != v {
				t.Errorf("%s: %q became %q", attr, v, got)
			}
		}
		r.Via = broker.ViaOIDC
		tok, err := i.Assert(t.Context(), r)
		if err != nil {
			t.Fatalf("minted as SAML but not as a token: %v", err)
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tok.Raw.Reveal(), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var claims struct {
			Tags struct {
				Principal map[string][]string `json:"principal_tags"`
			} `json:"https://aws.amazon.com/tags"`
		}
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string][]string{key: {val}}, claims.Tags.Principal); d != "" {
			t.Error(d)
		}
	})
}
