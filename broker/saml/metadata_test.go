package saml_test

import (
	"context"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

var update = flag.Bool("update", false, "write golden files")

// TestOurMetadata ensures that another library reads it and finds all keys, and
// that nobody changes a word of it unseen: identity providers are set up with it.
func TestOurMetadata(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) {
		c.Signing = append(c.Signing, idpKey2())
		c.EmailDomains = []string{"example.com"}
	})
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
	got := string(raw)
	for name, k := range map[string]saml.KeyPair{"SIGNING-1": spSign(), "SIGNING-2": idpKey2(), "ENCRYPTION": spCrypt()} {
		got = strings.Replace(got, base64.StdEncoding.EncodeToString(k.Certificate.Raw), name, 1)
	}
	const golden = "testdata/sp-metadata.xml"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
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
		"plain http":     func() { body = strings.ReplaceAll(valid, "https://idp.example.com/sso", "http://idp.example.com/sso") },
		"wants signed requests": func() {
			body = strings.Replace(valid, "<IDPSSODescriptor ", `<IDPSSODescriptor WantAuthnRequestsSigned="true" `, 1)
		},
		"role is over": func() {
			body = strings.Replace(valid, "<IDPSSODescriptor ", `<IDPSSODescriptor validUntil="2020-01-01T00:00:00Z" `, 1)
		},
		"aggregate is over": func() { body = aggregate(`validUntil="2020-01-01T00:00:00Z"`, valid) },
		"outer aggregate is over": func() {
			body = aggregate(`validUntil="2020-01-01T00:00:00Z"`, aggregate("", valid))
		},
		"certificate for encryption only": func() { body = strings.Replace(valid, `use="signing"`, `use="encryption"`, 1) },
		"UTF-16":                          func() { body = "\xff\xfe<\x00x\x00/\x00>\x00" },
		"too large":                       func() { body = valid + strings.Repeat(" ", 21<<20) },
		"weak curve":                      func() { body = metadata(ecPair(elliptic.P224())()) },
		"Ed25519":                         func() { body = metadata(certify(ed25519.NewKeyFromSeed(make([]byte, 32)))) },
		"no host":                         func() { body = strings.ReplaceAll(valid, "https://idp.example.com/sso", "https:sso") },
		"with a fragment":                 func() { body = strings.NewReplacer("tenant=1", "tenant=1#x", `/sso"`, `/sso#x"`).Replace(valid) },
		"javascript URL":                  func() { body = strings.ReplaceAll(valid, "https://idp.example.com/sso", "javascript:alert(1)") },
		"an SP":                           func() { body = strings.ReplaceAll(valid, "IDPSSODescriptor", "SPSSODescriptor") },
		"status 500":                      func() { status = 500 },
		"deep":                            func() { body = strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) },
		"two providers": func() {
			body = `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + valid + valid + `</EntitiesDescriptor>`
		},
		"base64 that breaks off": func() { body = strings.Replace(valid, "</X509Certificate>", "%</X509Certificate>", 1) },
		"broken base64":          func() { body = strings.Replace(valid, "<X509Certificate>", "<X509Certificate>%%", 1) },
		"empty entity ID":        func() { body = strings.Replace(valid, idpEntity, "", 1) },
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

// TestMetadataEnds ensures that metadata is not used after its end, whichever
// document around it says so.
func TestMetadataEnds(t *testing.T) {
	until := func(d time.Duration) string { return `validUntil="` + at(d) + `"` }
	valid := metadata(idpKey())
	for name, meta := range map[string]string{
		"entity":                             strings.Replace(valid, "entityID=", until(time.Hour)+" entityID=", 1),
		"role":                               strings.Replace(valid, "<IDPSSODescriptor ", "<IDPSSODescriptor "+until(time.Hour)+" ", 1),
		"aggregate":                          aggregate(until(time.Hour), valid),
		"outer aggregate":                    aggregate(until(time.Hour), aggregate(until(2*time.Hour), valid)),
		"inner aggregate":                    aggregate(until(2*time.Hour), aggregate(until(time.Hour), valid)),
		"entity, the aggregate lives longer": aggregate(until(2*time.Hour), strings.Replace(valid, "entityID=", until(time.Hour)+" entityID=", 1)),
	} {
		now := fixed
		sp := newSP(t, meta, func(c *saml.Config) { c.Now = func() time.Time { return now } })
		now = fixed.Add(time.Hour - time.Second)
		if _, err := sp.Begin(t.Context(), request()); err != nil {
			t.Errorf("%s: before the end: %v", name, err)
		}
		now = fixed.Add(time.Hour)
		if _, err := sp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%s: at the end: %v", name, err)
		}
		if _, err := sp.Finish(t.Context(), request(), form(good().build(t))); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%s: answer at the end: %v", name, err)
		}
	}
}

// TestOtherEntity ensures that metadata about somebody else is not taken for
// the provider that is configured.
func TestOtherEntity(t *testing.T) {
	body := metadata(idpKey())
	sp, err := saml.New(saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", IDPEntityID: "https://other.example",
		Now: func() time.Time { return fixed },
		HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{body, aggregate("", body)} {
		body = b
		if err := sp.Refresh(t.Context()); err == nil || sp.Status().EntityID != "" {
			t.Errorf("%.100q: taken", body)
		}
	}
}

// TestCertificateTimes ensures that a signature by a certificate past its end,
// or before its beginning, is refused and that the reason says so.
func TestCertificateTimes(t *testing.T) {
	key := idpKey2().Key
	for name, pair := range map[string]saml.KeyPair{
		"over": expired(key), "not good yet": certifyFrom(key, fixed.Add(24*time.Hour), fixed.Add(48*time.Hour)),
	} {
		a := good()
		a.signAssertion = &pair
		_, err := newSP(t, metadata(idpKey(), pair), nil).Finish(t.Context(), request(), form(a.build(t)))
		if broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(err.Error(), "is valid from") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestExpiredCertificateTaken ensures the way out for the day on which a
// provider's certificate has ended: it is the key that counts then.
func TestExpiredCertificateTaken(t *testing.T) {
	old := expired(idpKey2().Key)
	sp := newSP(t, metadata(idpKey(), old), func(c *saml.Config) { c.InsecureExpired = true })
	a := good()
	a.signAssertion = &old
	if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); err != nil {
		t.Error(err)
	}
	if c := sp.Status().Certificates; len(c) != 2 || !c[1].NotAfter.Equal(old.Certificate.NotAfter) {
		t.Error("the end of the certificate is not shown")
	}
	evil := evilKey()
	a.signAssertion = &evil
	if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("another key: %v", err)
	}
}

// TestEncryptionCertificate ensures that a certificate that is for encryption
// does not sign.
func TestEncryptionCertificate(t *testing.T) {
	one, two := idpKey(), idpKey2()
	sp := newSP(t, strings.Replace(metadata(two, one), `use="signing"`, `use="encryption"`, 1), nil)
	a := good()
	a.signAssertion, a.noKeyInfo = &two, true
	if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("error %v", err)
	}
	if n := len(sp.Status().Certificates); n != 1 {
		t.Errorf("%d certificates", n)
	}
}

// TestRun ensures when metadata is fetched again, that a failure keeps the last
// good copy, and that Run ends with its context.
func TestRun(t *testing.T) {
	valid := metadata(idpKey())
	cache := func(d string) string {
		return strings.Replace(valid, "entityID=", `cacheDuration="`+d+`" entityID=`, 1)
	}
	tests := []struct {
		name string
		body func(fetch int) string
		want []time.Duration // of the fetches, since the start
	}{
		{"nothing said", func(int) string { return valid }, []time.Duration{0, time.Hour, 2 * time.Hour}},
		{"cacheDuration", func(int) string { return cache("PT2H") }, []time.Duration{0, 2 * time.Hour, 4 * time.Hour}},
		{"too short", func(int) string { return cache("PT1S") }, []time.Duration{0, 5 * time.Minute, 10 * time.Minute}},
		{"too long", func(int) string { return cache("P30D") }, []time.Duration{0, 24 * time.Hour}},
		{"of the aggregate", func(int) string { return aggregate(`cacheDuration="PT2H"`, cache("PT3H")) }, []time.Duration{0, 2 * time.Hour}},
		{"failing at first", func(n int) string {
			if n < 3 {
				return "down"
			}
			return valid
		}, []time.Duration{0, time.Minute, 2 * time.Minute, time.Hour + 2*time.Minute}},
		{"failing later", func(n int) string {
			if n == 2 {
				return "down"
			}
			return valid
		}, []time.Duration{0, time.Hour, time.Hour + time.Minute, 2*time.Hour + time.Minute}},
		{"running out", func(int) string {
			return strings.Replace(valid, "entityID=", `validUntil="2000-01-01T00:40:00Z" entityID=`, 1)
		}, []time.Duration{0, 20 * time.Minute, 30 * time.Minute, 35 * time.Minute}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now() // the bubble's clock: the first moment of 2000
				var got []time.Duration
				sp, err := saml.New(saml.Config{
					ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", Now: time.Now,
					HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
						got = append(got, time.Since(began))
						return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(tt.body(len(got))))}, nil
					})},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { sp.Run(ctx); close(done) }()
				time.Sleep(tt.want[len(tt.want)-1] + time.Second)
				if _, err := sp.Begin(t.Context(), request()); err != nil {
					t.Error(err)
				}
				cancel()
				<-done
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

// TestRefreshTellsNoSecret ensures that the error of a refresh, which pages and
// logs show, holds no secret of the address.
func TestRefreshTellsNoSecret(t *testing.T) {
	moved := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/elsewhere?token=hunter3", http.StatusFound))
	defer moved.Close()
	for _, address := range []string{"https://127.0.0.1:1/metadata?token=hunter2", moved.URL + "/metadata?token=hunter2"} {
		sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: address, HTTP: &http.Client{}})
		if err != nil {
			t.Fatal(err)
		}
		err = sp.Refresh(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: %v", address, err)
		}
		if shown := sp.ProviderStatus().Err; shown == nil || strings.Contains(shown.Error(), "hunter") {
			t.Errorf("%s: the status shows %v", address, shown)
		}
	}
}
