package saml_test

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestOurMetadata ensures that another library reads it and finds all keys.
func TestOurMetadata(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Signing = append(c.Signing, idpKey2()) })
	raw, err := sp.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	var d crewjam.EntityDescriptor
	if err := xml.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	s := d.SPSSODescriptors[0]
	if d.EntityID != spEntity || len(s.KeyDescriptors) != 3 || s.AssertionConsumerServices[0].Location != acs || strings.Contains(string(raw), "cbc") {
		t.Errorf("%s", raw)
	}
}

// TestMetadataRefused ensures that bad metadata is named and the last good copy
// stays in use.
func TestMetadataRefused(t *testing.T) {
	body, status := metadata(idpKey()), 200
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer srv.Close()
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: srv.URL, HTTP: srv.Client(), Now: func() time.Time { return fixed }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("before the first metadata: %v", err)
	}
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	valid := body
	for name, bad := range map[string]func(){
		"not XML":        func() { body = "x" },
		"DOCTYPE":        func() { body = "<!DOCTYPE x>" + valid },
		"no certificate": func() { body = metadata() },
		"weak key":       func() { body = metadata(weakKey()) },
		"over":           func() { body = strings.Replace(valid, "entityID=", `validUntil="2020-01-01T00:00:00Z" entityID=`, 1) },
		"no sign-in":     func() { body = strings.ReplaceAll(valid, "SingleSignOnService", "Other") },
		"javascript URL": func() { body = strings.ReplaceAll(valid, "https://idp.example.com/sso", "javascript:alert(1)") },
		"an SP":          func() { body = strings.ReplaceAll(valid, "IDPSSODescriptor", "SPSSODescriptor") },
		"status 500":     func() { status = 500 },
		"deep":           func() { body = strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) },
		"two providers": func() {
			body = `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + valid + valid + `</EntitiesDescriptor>`
		},
		"broken base64":   func() { body = strings.Replace(valid, "<X509Certificate>", "<X509Certificate>%%", 1) },
		"empty entity ID": func() { body = strings.Replace(valid, idpEntity, "", 1) },
	} {
		body, status = valid, 200
		bad()
		if err := sp.Refresh(t.Context()); err == nil || sp.Status().Err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := sp.Begin(t.Context(), request()); err != nil {
			t.Errorf("%s: the last good copy was lost: %v", name, err)
		}
	}
}

// TestPinnedMetadata ensures that metadata needs the pinned signature, and that
// nothing outside it is read.
func TestPinnedMetadata(t *testing.T) {
	pin, evil := idpKey2(), evilKey()
	signed := func(k saml.KeyPair) string {
		el := parse(metadata(idpKey()))
		el.CreateAttr("ID", "_m")
		ctx, err := dsig.NewSigningContext(k.Key, [][]byte{k.Certificate.Raw})
		if err != nil {
			t.Fatal(err)
		}
		ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
		out, err := ctx.SignEnveloped(el)
		if err != nil {
			t.Fatal(err)
		}
		s, err := etree.NewDocumentWithRoot(out).WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	newSP(t, signed(pin), func(c *saml.Config) { c.MetadataCertificate = pin.Certificate })
	for name, meta := range map[string]string{
		"unsigned": metadata(idpKey()), "signed by another": signed(evil), "changed": strings.Replace(signed(pin), idpEntity, "https://evil.example", 1),
	} {
		if err := tryMetadata(t, meta, pin); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// aggregate puts metadata into an EntitiesDescriptor with the attributes given.
func aggregate(attributes string, entities ...string) string {
	return `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ` + attributes + `>` + strings.Join(entities, "") + `</EntitiesDescriptor>`
}

func tryMetadata(t *testing.T, meta string, pin saml.KeyPair) error {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, meta) }))
	defer srv.Close()
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: srv.URL, HTTP: srv.Client(),
		MetadataCertificate: pin.Certificate, Now: func() time.Time { return fixed }})
	if err != nil {
		t.Fatal(err)
	}
	return sp.Refresh(t.Context())
}
