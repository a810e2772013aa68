package issuer

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"

	"github.com/crewjam/saml"
	"github.com/go-jose/go-jose/v4"
)

// metadataMinimum is the shortest SAMLMetadataDocument that IAM takes.
const metadataMinimum = 1000

// The paths of the two documents under the issuer URL.
const (
	discoveryPath = ".well-known/openid-configuration"
	jwksPath      = "aws/jwks.json"
)

// Metadata returns our SAML IdP metadata for CreateSAMLProvider: UTF-8 without
// BOM, at least 1,000 characters, both published certificates.
func (i *Issuer) Metadata() ([]byte, error) {
	var keys []saml.KeyDescriptor
	for _, k := range i.samlKeys {
		keys = append(keys, saml.KeyDescriptor{Use: "signing", KeyInfo: saml.KeyInfo{X509Data: saml.X509Data{
			X509Certificates: []saml.X509Certificate{{Data: base64.StdEncoding.EncodeToString(k.Certificate.Raw)}},
		}}})
	}
	d := metadataDescriptor{
		EntityID: i.c.EntityID,
		IDP: metadataIDP{
			Protocols: "urn:oasis:names:tc:SAML:2.0:protocol", Keys: keys,
			NameIDFormats: []string{"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
			SSO: []saml.Endpoint{
				{Binding: saml.HTTPRedirectBinding, Location: i.c.PublicURL + "/"},
				{Binding: saml.HTTPPostBinding, Location: i.c.PublicURL + "/"},
			},
		},
	}
	body, err := xml.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("issuer: encode metadata: %w", err)
	}
	out := append([]byte(xml.Header), append(body, '\n')...)
	if len(out) < metadataMinimum {
		return nil, fmt.Errorf("issuer: metadata of %d characters is too short for IAM", len(out))
	}
	return out, nil
}

// metadataDescriptor is the part of saml-metadata-2.0 that IAM reads. The
// library's own type would also write empty optional elements.
type metadataDescriptor struct {
	XMLName  xml.Name    `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
	EntityID string      `xml:"entityID,attr"`
	IDP      metadataIDP `xml:"IDPSSODescriptor"`
}

type metadataIDP struct {
	Protocols     string               `xml:"protocolSupportEnumeration,attr"`
	Keys          []saml.KeyDescriptor `xml:"KeyDescriptor"`
	NameIDFormats []string             `xml:"NameIDFormat"`
	SSO           []saml.Endpoint      `xml:"SingleSignOnService"`
}

// Discovery returns the OpenID Provider metadata that IAM fetches from
// OIDCIssuer/.well-known/openid-configuration. We sign tokens for STS only, so
// no authorization endpoint is offered.
func (i *Issuer) Discovery() ([]byte, error) {
	return encode(struct {
		Issuer    string   `json:"issuer"`
		JWKS      string   `json:"jwks_uri"`
		Responses []string `json:"response_types_supported"`
		Subjects  []string `json:"subject_types_supported"`
		Algs      []string `json:"id_token_signing_alg_values_supported"`
		Claims    []string `json:"claims_supported"`
	}{
		i.c.OIDCIssuer, i.c.OIDCIssuer + "/" + jwksPath, []string{"id_token"}, []string{"public"},
		[]string{string(jose.ES256)}, []string{"iss", "sub", "aud", "iat", "exp", "jti"},
	})
}

// JWKS returns the published keys, the active one and the next.
func (i *Issuer) JWKS() ([]byte, error) {
	var set jose.JSONWebKeySet
	for _, k := range i.oidcKeys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Signer().Public(), KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return encode(set)
}

// StaticFiles returns discovery and JWKS by their path under OIDCIssuer, for
// those who serve them from a public bucket while rolegate stays private.
// CodeUnavailable when OIDCIssuer is none that AWS reads.
func (i *Issuer) StaticFiles() (map[string][]byte, error) {
	if i.noTokens != nil {
		return nil, errNoIssuer.Because(i.noTokens)
	}
	discovery, err := i.Discovery()
	if err != nil {
		return nil, err
	}
	jwks, err := i.JWKS()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{discoveryPath: discovery, jwksPath: jwks}, nil
}

// OIDCIssuer is the URL under which AWS reads discovery and JWKS.
func (i *Issuer) OIDCIssuer() string { return i.c.OIDCIssuer }

func encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("issuer: encode: %w", err)
	}
	return append(b, '\n'), nil
}
