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
	"net/url"
	"strings"
	"testing"

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
		!strings.Contains(string(raw), "urn:mfa") {
		t.Errorf("%s", raw)
	}
}
