package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker/saml"
)

// TestRedirectRequest ensures that the query signature covers exactly what
// bindings 3.4.4.1 says, and that the request asks what we want.
func TestRedirectRequest(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	r := request()
	r.ForceAuthn, r.RequestedContext = true, []string{"urn:mfa"}
	ch, err := sp.Begin(t.Context(), r)
	if err != nil || ch.Form != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(ch.URL, "?")
	query, ok := strings.CutPrefix(query, "tenant=1&")
	signed, sig64, ok2 := strings.Cut(query, "&Signature=")
	if !ok || !ok2 || !strings.HasPrefix(ch.URL, "https://idp.example.com/sso?") {
		t.Fatal(ch.URL)
	}
	sig64, err = url.QueryUnescape(sig64)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(sig64)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(signed))
	if err := rsa.VerifyPKCS1v15(spSign().Key.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
		t.Error(err)
	}
	q, err := url.ParseQuery(signed)
	if err != nil || q.Get("RelayState") != "state-1" {
		t.Fatal(q, err)
	}
	packed, err := base64.StdEncoding.DecodeString(q.Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	checkRequest(t, raw, "https://idp.example.com/sso?tenant=1")
}

// TestPOSTRequest ensures that the document itself is signed.
func TestPOSTRequest(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Binding = saml.BindingPOST })
	r := request()
	r.ForceAuthn, r.RequestedContext = true, []string{"urn:mfa"}
	ch, err := sp.Begin(t.Context(), r)
	if err != nil || ch.URL != "https://idp.example.com/sso" || ch.Form.Get("RelayState") != "state-1" {
		t.Fatal(ch, err)
	}
	raw, err := base64.StdEncoding.DecodeString(ch.Form.Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{spSign().Certificate}})
	ctx.Clock = dsig.NewFakeClockAt(fixed)
	if _, err := ctx.Validate(doc.Root()); err != nil {
		t.Error(err)
	}
	checkRequest(t, raw, "https://idp.example.com/sso")
}

func checkRequest(t *testing.T, raw []byte, destination string) {
	t.Helper()
	var got crewjam.AuthnRequest
	if err := xml.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != requestID || got.Issuer.Value != spEntity || got.AssertionConsumerServiceURL != acs || got.Destination != destination ||
		got.ForceAuthn == nil || !*got.ForceAuthn || *got.NameIDPolicy.Format != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" ||
		got.RequestedAuthnContext.Comparison != "exact" {
		t.Errorf("%s", raw)
	}
	if err := saml.Prepass(raw); err != nil {
		t.Errorf("our own request: %v", err)
	}
	refs := parse(string(raw)).FindElements("./RequestedAuthnContext/AuthnContextClassRef")
	if len(refs) != 1 || refs[0].NamespaceURI() != "urn:oasis:names:tc:SAML:2.0:assertion" || refs[0].Text() != "urn:mfa" {
		t.Errorf("the contexts asked for: %s", raw)
	}
}

// TestRequestFollowsMetadata ensures that requests are signed where the
// provider wants it, and that no NameID is asked for that it does not have.
func TestRequestFollowsMetadata(t *testing.T) {
	meta := metadata(idpKey())
	format := func(formats ...string) string {
		s := ""
		for _, f := range formats {
			s += "<NameIDFormat>urn:oasis:names:tc:SAML:" + f + "</NameIDFormat>"
		}
		return strings.Replace(meta, "<SingleSignOnService", s+"<SingleSignOnService", 1)
	}
	const persistent, email = "2.0:nameid-format:persistent", "1.1:nameid-format:emailAddress"
	tests := []struct {
		name, meta string
		domains    []string
		format     bool
		signed     bool
	}{
		{"nothing said", meta, nil, true, false},
		{"persistent among others", format(email, persistent), nil, true, false},
		{"e-mail only", format(email), nil, false, false},
		{"authoritative for e-mail", format(email, persistent), []string{"example.com"}, false, false},
		{"wants signatures", strings.Replace(meta, "<IDPSSODescriptor ", `<IDPSSODescriptor WantAuthnRequestsSigned="true" `, 1), nil, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sp := newSP(t, tt.meta, func(c *saml.Config) { c.SignRequests, c.EmailDomains, c.Binding = false, tt.domains, saml.BindingPOST })
			ch, err := sp.Begin(t.Context(), request())
			if err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(ch.Form.Get("SAMLRequest"))
			if err != nil {
				t.Fatal(err)
			}
			el := parse(string(raw))
			if got := el.FindElement("./NameIDPolicy").SelectAttr("Format") != nil; got != tt.format {
				t.Errorf("format asked for: %t", got)
			}
			if got := el.FindElement("./Signature") != nil; got != tt.signed {
				t.Errorf("signed: %t", got)
			}
		})
	}
}

// TestConfig ensures that each mistake is named.
func TestConfig(t *testing.T) {
	weak := weakKey()
	stray := saml.KeyPair{Certificate: idpKey().Certificate, Key: spSign().Key}
	tests := []struct {
		want   string
		change func(*saml.Config)
	}{
		{"ID: ", func(c *saml.Config) { c.ID = "A/b" }},
		{"PublicURL: ", func(c *saml.Config) { c.PublicURL = "https://sso.example.com/path" }},
		{"one of metadata_url", func(c *saml.Config) { c.MetadataFile = "" }},
		{"one of metadata_url", func(c *saml.Config) { c.MetadataURL = "https://idp.example.com" }},
		{"PublicURL: ", func(c *saml.Config) { c.PublicURL = "https:" }},
		{"PublicURL: ", func(c *saml.Config) { c.PublicURL = "https://[::1" }},
		{"HTTP client", func(c *saml.Config) { c.MetadataFile, c.MetadataURL = "", "https://idp.example.com" }},
		{"must be https", func(c *saml.Config) {
			c.MetadataFile, c.MetadataURL, c.HTTP = "", "http://idp.example.com", http.DefaultClient
		}},
		{"is no address", func(c *saml.Config) {
			c.MetadataFile, c.MetadataURL, c.HTTP = "", "file:///etc/passwd", http.DefaultClient
		}},
		{"must be https", fetched("http://192.0.2.1", nil)},
		{"is no address", fetched("https://[::1", nil)},
		{"is no address", fetched("ftp://localhost", nil)},
		{"is no address", fetched("ftp://idp.example.com", idpKey().Certificate)},
		{"is no address", fetched("http:///metadata", idpKey().Certificate)},
		{"must be https", func(c *saml.Config) { // which only browsers keep on this machine
			c.MetadataFile, c.MetadataURL, c.HTTP = "", "http://idp.localhost/metadata", http.DefaultClient
		}},
		{`"https://…@idp.example.com/?…" has a user name`, func(c *saml.Config) {
			c.MetadataFile, c.MetadataURL, c.HTTP = "", "https://svc:hunter2@idp.example.com/?token=hunter2", http.DefaultClient
		}},
		{"MaxNodes: ", func(c *saml.Config) { c.MaxNodes = -1 }},
		{"too weak", func(c *saml.Config) { c.MetadataCertificate = weak.Certificate }},
		{"Binding: ", func(c *saml.Config) { c.Binding = "artifact" }},
		{"Signature: ", func(c *saml.Config) { c.Signature = "neither" }},
		{"ClockSkew: ", func(c *saml.Config) { c.ClockSkew = 6 * time.Minute }},
		{"ClockSkew: ", func(c *saml.Config) { c.ClockSkew = -time.Second }},
		{"MaxResponse: ", func(c *saml.Config) { c.MaxResponse = -1 }},
		{"to sign requests", func(c *saml.Config) { c.SignRequests = true }},
		{"decryption key is needed", func(c *saml.Config) { c.WantEncrypted = true }},
		{"signing key is", func(c *saml.Config) { c.Signing = []saml.KeyPair{weak} }},
		{"signing key is", func(c *saml.Config) { c.Signing = []saml.KeyPair{{}} }},
		{"signing key is", func(c *saml.Config) { c.Signing = []saml.KeyPair{{Certificate: spSign().Certificate}} }},
		{"signing key is", func(c *saml.Config) { c.Signing = []saml.KeyPair{stray} }},
		{"signing key is", func(c *saml.Config) { c.Signing = []saml.KeyPair{idpP256()} }},
		{"decryption key is", func(c *saml.Config) { c.Decryption = []saml.KeyPair{weak} }},
		{"decryption key is", func(c *saml.Config) {
			c.Decryption = []saml.KeyPair{{Key: elsewhere{spCrypt().Key}, Certificate: spCrypt().Certificate}}
		}},
		{"decryption key is", func(c *saml.Config) { c.Decryption = []saml.KeyPair{{Key: spCrypt().Key}} }},
	}
	fine := saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataFile: "idp.xml"}
	if _, err := saml.New(fine); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*saml.Config){
		"plain http with a pinned certificate": fetched("http://idp.example.com", idpKey().Certificate),
		"plain http on localhost":              fetched("http://localhost:8080/metadata", nil),
		"plain http on loopback":               fetched("http://[::1]:8080/metadata", nil),
		"the largest clock skew":               func(c *saml.Config) { c.ClockSkew = 5 * time.Minute },
	} {
		c := fine
		change(&c)
		if _, err := saml.New(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tt := range tests {
		c := fine
		tt.change(&c)
		if _, err := saml.New(c); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", tt.want, err)
		}
	}
}

// fetched has metadata come from an address.
func fetched(address string, pin *x509.Certificate) func(*saml.Config) {
	return func(c *saml.Config) {
		c.MetadataFile, c.MetadataURL, c.MetadataCertificate, c.HTTP = "", address, pin, http.DefaultClient
	}
}

// elsewhere is a key that is not in memory, such as one in a module.
type elsewhere struct{ crypto.Signer }
