package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// testPair returns a key and its certificate, in one file.
func testPair(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// TestCheckLiveWarnsOfCertificates ensures that check --live tells which
// certificates end within 60 days, and of no other, and makes no keys.
func TestCheckLiveWarnsOfCertificates(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(days int) []byte {
		x := &x509.Certificate{SerialNumber: big.NewInt(int64(days) + 1000), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-99 * 24 * time.Hour), NotAfter: time.Now().Add(time.Duration(days)*24*time.Hour + time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	var metadata strings.Builder
	for _, days := range []int{20, 400} {
		metadata.WriteString(`<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
			base64.StdEncoding.EncodeToString(certificate(days)) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`)
	}
	for name, text := range map[string]string{
		"idp.xml": `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example.com"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + metadata.String() +
			`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/></IDPSSODescriptor></EntityDescriptor>`,
		"tls.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(-3)})),
		"tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})),
		"rolegate.yaml": `public_url: https://sso.example.com
tls: {cert_file: tls.pem, key_file: tls.key}
identity_providers:
  - {id: corp, saml: {metadata_file: idp.xml}, identity: {groups: claims.groups}}
accounts:
  - {id: "111122223333", name: prod}
roles:
  - {name: Admin, iam_role: RolegateAdmin}
rules:
  - {name: platform, groups: [aws-platform], accounts: [prod], roles: [Admin]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"check", "--live", "-c", filepath.Join(dir, "rolegate.yaml")}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	if code != exitOK {
		t.Errorf("exit %d\n%s", code, errs.String())
	}
	warnings := regexp.MustCompile(`(?m)^warning: .*$`).FindAllString(errs.String(), -1)
	if len(warnings) != 2 || !strings.Contains(warnings[0], "the certificate tls has ended, on ") || !strings.Contains(warnings[1], "the certificate idp-signing of corp ends in 20 days, on ") {
		t.Errorf("%s", errs.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "certs")); err == nil {
		t.Error("check made keys")
	}
}
