package saml_test

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker/saml"
)

// TestKeysOfMetadata ensures which keys are taken from metadata: none that is
// made so that anybody can sign for it, and none that stands in the way of a
// good one. Where the key is not taken, the metadata holds a good one besides.
func TestKeysOfMetadata(t *testing.T) {
	one, two := idpKey(), idpKey2()
	n := two.Key.Public().(*rsa.PublicKey).N.Bytes()
	padded := func(size int) []byte { return append(make([]byte, size-len(n)), n...) }
	element := func(tag string, value []byte) string {
		return "<" + tag + ">" + base64.StdEncoding.EncodeToString(value) + "</" + tag + ">"
	}
	bare := func(modulus, exponent string) string {
		return `<KeyValue><RSAKeyValue>` + modulus + exponent + `</RSAKeyValue></KeyValue>`
	}
	exponent := func(e ...byte) string { return bare(element("Modulus", n), element("Exponent", e)) }
	modulus := func(m []byte) string { return bare(element("Modulus", m), element("Exponent", []byte{1, 0, 1})) }
	der := func(b []byte) string { return x509Data(base64.StdEncoding.EncodeToString(b)) }
	negative := negativeSerial(two.Certificate.Raw)
	for _, tt := range []struct {
		name, key string
		taken     bool   // it stands among the keys
		signs     bool   // and an answer that is signed with it is taken
		leftOut   string // what is said of it
	}{
		// Bare keys.
		{name: "a bare key", key: modulus(n), taken: true, signs: true},
		{name: "an exponent in four bytes", key: exponent(0, 1, 0, 1), taken: true, signs: true},
		{name: "a modulus in 2,048 bytes", key: modulus(padded(2048)), taken: true, signs: true},
		{name: "the exponent 3", key: exponent(3), taken: true},
		{name: "the exponent 1, of which anything is a signature", key: exponent(1), leftOut: "a bare key with an odd exponent"},
		{name: "the exponent 0", key: exponent(0), leftOut: "a bare key with an odd exponent"},
		{name: "the exponent 2", key: exponent(2), leftOut: "a bare key with an odd exponent"},
		{name: "the exponent 4", key: exponent(4), leftOut: "a bare key with an odd exponent"},
		{name: "an exponent in five bytes", key: exponent(1, 0, 0, 0, 1), leftOut: "a bare key of an odd size"},
		{name: "the exponent 1, once round 64 bits", key: exponent(1, 0, 0, 0, 0, 0, 0, 0, 1), leftOut: "a bare key of an odd size"},
		{name: "an exponent that is not base64", key: bare(element("Modulus", n), "<Exponent>%</Exponent>"), leftOut: "a bare key of an odd size"},
		{name: "a modulus in 2,049 bytes", key: modulus(padded(2049)), leftOut: "a bare key of an odd size"},
		{name: "a modulus that is not base64", key: bare("<Modulus>%</Modulus>", element("Exponent", []byte{1, 0, 1})), leftOut: "Modulus is not base64"},
		{name: "a modulus of nothing", key: modulus(nil), leftOut: "with a weak key"},
		{name: "a short modulus", key: modulus(n[:255]), leftOut: "with a weak key"},
		{name: "no modulus", key: bare("", element("Exponent", []byte{1, 0, 1})), leftOut: "a key that is no RSA key and has no certificate"},
		{name: "no exponent", key: bare(element("Modulus", n), ""), leftOut: "a key that is no RSA key and has no certificate"},
		{name: "a bare key of another kind", key: `<KeyValue><DSAKeyValue/></KeyValue>`, leftOut: "a key that is no RSA key and has no certificate"},

		// Certificates.
		{name: "a certificate", key: der(two.Certificate.Raw), taken: true, signs: true},
		{name: "a negative serial number", key: der(negative), taken: true, signs: true},
		{name: "an empty certificate", key: x509Data(" "), leftOut: "a certificate: empty"},
		{name: "a certificate that breaks off", key: der(two.Certificate.Raw[:100]), leftOut: "a certificate: not a certificate: "},
		{name: "a certificate and a byte", key: der(append(slices.Clone(two.Certificate.Raw), 0x30)), taken: true, signs: true, leftOut: "a certificate: not a certificate: "},
		{name: "a sequence that is no certificate", key: der([]byte{0x30, 3, 2, 1, 1}), leftOut: "a certificate: "},
		{name: "a sequence with nothing of a certificate in it", key: der([]byte{0x30, 13, 0x30, 3, 2, 1, 1, 0x30, 1, 5, 3, 2, 0, 0, 0}), leftOut: "a certificate: "},
		{name: "a negative serial number and no key", key: der(withoutKey(t, negative)), leftOut: "a certificate: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			meta := strings.Replace(metadata(one), "<SingleSignOnService", keyDescriptor(tt.key)+"<SingleSignOnService", 1)
			sp := newSP(t, meta, nil)
			status := sp.Status()
			if got := len(status.Certificates) == 2; got != tt.taken || len(status.Certificates) == 0 {
				t.Errorf("%d keys", len(status.Certificates))
			}
			if left := strings.Join(status.LeftOut, "; "); !strings.Contains(left, tt.leftOut) || tt.leftOut == "" && left != "" {
				t.Errorf("left out: %q", left)
			}
			for _, k := range []saml.KeyPair{one, two} {
				a := good()
				a.signAssertion, a.noKeyInfo = &k, true
				_, err := sp.Finish(t.Context(), request(), form(a.build(t)))
				if want := tt.signs || k.Certificate == one.Certificate; (err == nil) != want {
					t.Errorf("an answer signed with it, or with the good one: %v", err)
				}
			}
		})
	}
}

// withoutKey makes the algorithm of a certificate's key one that is none.
func withoutKey(t *testing.T, der []byte) []byte {
	t.Helper()
	rsaKey := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01} // 1.2.840.113549.1.1.1
	out := bytes.Replace(der, append(rsaKey, 5, 0), append(slices.Clone(rsaKey), 2, 0), 1)
	if bytes.Equal(out, der) {
		t.Fatal("no key to take away")
	}
	return out
}

// TestFirstTransform ensures that two transforms are not enough: the first takes
// the signature out.
func TestFirstTransform(t *testing.T) {
	a := good()
	a.after = func(r *etree.Element) {
		for _, transform := range r.FindElements(".//Transform")[:1] {
			transform.CreateAttr("Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#")
		}
	}
	_, err := newSP(t, metadata(idpKey()), nil).Finish(t.Context(), request(), form(a.build(t)))
	if err == nil || !strings.Contains(err.Error(), "transforms [") {
		t.Error(err)
	}
}

// TestSettings ensures that the settings can be held up to the light without
// what the program adds to them.
func TestSettings(t *testing.T) {
	fine := saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", SignRequests: true}
	if err := fine.Validate(); err != nil {
		t.Error(err)
	}
	bad := fine
	bad.MetadataURL, bad.Binding = "http://idp.example.com/metadata", "artifact"
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "must be https") || !strings.Contains(err.Error(), "Binding: ") {
		t.Error(err)
	}
}
