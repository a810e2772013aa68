package saml

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"

	"github.com/crewjam/saml"
)

// Metadata returns our metadata for this identity provider
// (saml-metadata-2.0): every published certificate, the ACS, and only
// algorithms that we take. Written by our own types: the library's would offer
// CBC and a single certificate.
func (sp *ServiceProvider) Metadata() ([]byte, error) {
	d := spDescriptor{EntityID: sp.entityID}
	d.SP.Protocols = nsProtocol
	d.SP.RequestsSigned = sp.c.SignRequests
	d.SP.WantSigned = sp.c.Signature == SignedAssertion || sp.c.Signature == SignedBoth
	for _, k := range sp.c.Signing {
		d.SP.Keys = append(d.SP.Keys, keyDescriptor("signing", k))
	}
	for _, k := range sp.c.Decryption {
		x := keyDescriptor("encryption", k)
		for _, alg := range []string{nsEnc11 + "aes256-gcm", nsEnc11 + "aes128-gcm", nsEnc + "rsa-oaep-mgf1p"} {
			x.EncryptionMethods = append(x.EncryptionMethods, saml.EncryptionMethod{Algorithm: alg})
		}
		d.SP.Keys = append(d.SP.Keys, x)
	}
	d.SP.NameIDFormats = []string{nameIDPersistent}
	if len(sp.c.EmailDomains) > 0 {
		d.SP.NameIDFormats = append(d.SP.NameIDFormats, nameIDEmail)
	}
	if len(sp.c.Signing) > 0 { // without a key we could not answer
		d.SP.Logout = []saml.Endpoint{{Binding: saml.HTTPRedirectBinding, Location: sp.slo}, {Binding: saml.HTTPPostBinding, Location: sp.slo}}
	}
	def := true
	d.SP.ACS = []saml.IndexedEndpoint{{Binding: saml.HTTPPostBinding, Location: sp.acs, Index: 0, IsDefault: &def}}
	body, err := xml.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("saml: encode metadata: %w", err)
	}
	return append([]byte(xml.Header), append(body, '\n')...), nil
}

type spDescriptor struct {
	XMLName  xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
	EntityID string   `xml:"entityID,attr"`
	SP       struct {
		RequestsSigned bool                   `xml:"AuthnRequestsSigned,attr"`
		WantSigned     bool                   `xml:"WantAssertionsSigned,attr"`
		Protocols      string                 `xml:"protocolSupportEnumeration,attr"`
		Keys           []saml.KeyDescriptor   `xml:"KeyDescriptor"`
		Logout         []saml.Endpoint        `xml:"SingleLogoutService"`
		NameIDFormats  []string               `xml:"NameIDFormat"`
		ACS            []saml.IndexedEndpoint `xml:"AssertionConsumerService"`
	} `xml:"SPSSODescriptor"`
}

func keyDescriptor(use string, k KeyPair) saml.KeyDescriptor {
	return saml.KeyDescriptor{Use: use, KeyInfo: saml.KeyInfo{X509Data: saml.X509Data{
		X509Certificates: []saml.X509Certificate{{Data: base64.StdEncoding.EncodeToString(k.Certificate.Raw)}},
	}}}
}
