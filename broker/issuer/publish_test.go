package issuer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
)

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

// TestGolden pins the published documents and the unsigned part of
// the minted forms, which trust policies depend on.
func TestGolden(t *testing.T) {
	i, k := newIssuer(t, func(c *issuer.Config) {
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
	metadata, err := i.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	// Keys differ in every run.
	for n, key := range k.Published(issuer.AWSSAML) {
		metadata = bytes.Replace(metadata, []byte(base64.StdEncoding.EncodeToString(key.Certificate.Raw)), fmt.Appendf(nil, "CERTIFICATE-%d", n+1), 1)
	}
	for name, got := range map[string][]byte{"response.xml": out, "openid-configuration.json": discovery, "metadata.xml": metadata} {
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

// TestConfig ensures that a configuration that AWS would not take stops the
// start, with all problems at once.
func TestConfig(t *testing.T) {
	k, _ := newKeys(t)
	good := issuer.Config{PublicURL: "https://sso.example.com/", Keys: k, OIDCIssuer: "https://issuer.example.com/x"}
	if _, err := issuer.New(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*issuer.Config){
		"no keys":               func(c *issuer.Config) { c.Keys = nil },
		"no public URL":         func(c *issuer.Config) { c.PublicURL = "" },
		"public URL, path":      func(c *issuer.Config) { c.PublicURL += "/x" },
		"public URL, user":      func(c *issuer.Config) { c.PublicURL = "https://a@b" },
		"public URL, scheme":    func(c *issuer.Config) { c.PublicURL = "javascript://x" },
		"issuer, http":          func(c *issuer.Config) { c.OIDCIssuer = "http://issuer.example.com" },
		"issuer, port":          func(c *issuer.Config) { c.OIDCIssuer = "https://issuer.example.com:8443" },
		"issuer, query":         func(c *issuer.Config) { c.OIDCIssuer = "https://issuer.example.com?x" },
		"issuer, slash":         func(c *issuer.Config) { c.OIDCIssuer = "https://issuer.example.com/" },
		"issuer, long":          func(c *issuer.Config) { c.OIDCIssuer = "https://issuer.example.com/" + strings.Repeat("x", 255) },
		"entity ID, newline":    func(c *issuer.Config) { c.EntityID = "a\nb" },
		"entity ID, not UTF-8":  func(c *issuer.Config) { c.EntityID = "a\xff" },
		"OIDC audience, spaces": func(c *issuer.Config) { c.OIDCAudience = "a b" },
		"issuer, secret":        func(c *issuer.Config) { c.OIDCIssuer = "https://a:b@issuer.example.com" },
		"default issuer, port":  func(c *issuer.Config) { c.PublicURL, c.OIDCIssuer, c.Tokens = "https://sso.example.com:8443", "", true },
		"unknown partition":     func(c *issuer.Config) { c.Audiences = map[broker.Partition]issuer.Audience{"aws-moon": {}} },
		"audience, spaces": func(c *issuer.Config) {
			c.Audiences = map[broker.Partition]issuer.Audience{broker.PartitionAWS: {Audience: "a b"}}
		},
		"recipient, http": func(c *issuer.Config) {
			c.Audiences = map[broker.Partition]issuer.Audience{broker.PartitionAWS: {Recipient: "http://signin.aws.amazon.com/saml"}}
		},
	} {
		c := good
		change(&c)
		if _, err := issuer.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, err := issuer.New(issuer.Config{OIDCIssuer: "http://x"})
	for _, want := range []string{"PublicURL: ", "OIDCIssuer: ", "Keys: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
