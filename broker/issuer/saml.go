package issuer

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The assertion is written by template, already in exclusive canonical form
// (Exclusive XML Canonicalization 1.0), so the digest is taken over the bytes
// as they are sent: no tree, no second pass, one RSA signature. Every value is
// escaped as Canonical XML 1.0 section 2.3 wants it.

type samlSigner struct {
	key         crypto.Signer
	certificate string // base64 DER
}

const (
	timeLayout = "2006-01-02T15:04:05Z"
	attributes = "https://aws.amazon.com/SAML/Attributes/"
)

// escape appends s as a canonical attribute value: & < " and white space but
// the space are references, > is itself.
func escape(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			dst = append(dst, "&amp;"...)
		case '<':
			dst = append(dst, "&lt;"...)
		case '"':
			dst = append(dst, "&quot;"...)
		case '\t':
			dst = append(dst, "&#x9;"...)
		case '\n':
			dst = append(dst, "&#xA;"...)
		case '\r':
			dst = append(dst, "&#xD;"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// text appends s as canonical element content: & < > and the carriage return
// are references, quotation marks are themselves.
func text(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			dst = append(dst, "&amp;"...)
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '\r':
			dst = append(dst, "&#xD;"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func attribute(dst []byte, name, key string) []byte {
	dst = append(dst, `<saml:Attribute Name="`+attributes...)
	dst = escape(append(dst, name...), key)
	return append(dst, `">`...)
}

func value(dst []byte, v string) []byte {
	dst = append(dst, `<saml:AttributeValue>`...)
	return append(text(dst, v), `</saml:AttributeValue>`...)
}

func single(dst []byte, name, key, v string) []byte {
	return append(value(attribute(dst, name, key), v), `</saml:Attribute>`...)
}

func (i *Issuer) mintSAML(r broker.AssertionRequest) (broker.Assertion, error) {
	aws, ok := i.c.Audiences[r.Account.Partition]
	if !ok {
		return broker.Assertion{}, fmt.Errorf("issuer: no audience is known for partition %q", r.Account.Partition)
	}
	id, err := i.randomID()
	if err != nil {
		return broker.Assertion{}, err
	}
	responseID, err := i.randomID()
	if err != nil {
		return broker.Assertion{}, err
	}
	now := i.c.Now().UTC()
	expires := now.Add(assertionLife)
	at := now.Format(timeLayout)
	subject := r.Subject.Opaque()

	head := make([]byte, 0, 512)
	head = append(head, `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="`...)
	head = append(append(head, id...), `" IssueInstant="`...)
	head = append(append(head, at...), `" Version="2.0"><saml:Issuer>`...)
	head = append(text(head, i.c.EntityID), `</saml:Issuer>`...)
	body := assertionBody(make([]byte, 0, 3072+256*len(r.SessionTags)), r, aws, subject, id, now, expires)

	digest := sha256.New()
	digest.Write(head)
	digest.Write(body)
	var sum [sha256.Size]byte
	info := signedInfo(make([]byte, 0, 1024), id, digest.Sum(sum[:0]))
	hashed := sha256.Sum256(info)
	signature, err := i.saml.key.Sign(nil, hashed[:], crypto.SHA256)
	if err != nil {
		return broker.Assertion{}, fmt.Errorf("issuer: sign assertion: %w", err)
	}

	out := make([]byte, 0, 2048+len(head)+len(body)+len(info)+len(i.saml.certificate))
	out = append(out, `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="`...)
	out = append(append(out, responseID...), `" Version="2.0" IssueInstant="`...)
	out = append(append(out, at...), `" Destination="`...)
	out = append(escape(out, aws.Recipient), `"><saml:Issuer>`...)
	out = append(text(out, i.c.EntityID), `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>`...)
	out = append(out, head...)
	out = append(append(out, `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">`...), info...)
	out = append(out, `<ds:SignatureValue>`...)
	out = base64.StdEncoding.AppendEncode(out, signature)
	out = append(out, `</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>`...)
	out = append(append(out, i.saml.certificate...), `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`...)
	out = append(append(out, body...), `</samlp:Response>`...)

	return broker.Assertion{
		Kind: broker.ViaSAML, Raw: broker.NewSecret(base64.StdEncoding.EncodeToString(out)), ID: id,
		Issuer: i.c.EntityID, Audience: aws.Recipient, Subject: subject, ExpiresAt: expires,
	}, nil
}

// assertionBody appends everything after the place of the signature (SAML core
// 2.3.3): Subject, Conditions, AuthnStatement, AttributeStatement.
func assertionBody(b []byte, r broker.AssertionRequest, aws Audience, subject, id string, now, expires time.Time) []byte {
	at, exp := now.Format(timeLayout), expires.Format(timeLayout)
	b = append(b, `<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">`...)
	b = append(text(b, subject), `</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="`...)
	b = append(append(b, exp...), `" Recipient="`...)
	b = append(escape(b, aws.Recipient), `"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="`...)
	b = append(now.Add(-notBeforeMargin).AppendFormat(b, timeLayout), `" NotOnOrAfter="`...)
	b = append(append(b, exp...), `"><saml:AudienceRestriction><saml:Audience>`...)
	b = append(text(b, aws.Audience), `</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="`...)
	b = append(append(b, at...), `" SessionIndex="`...)
	b = append(append(b, id...), `"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>`...)
	b = single(b, "Role", "", string(r.RoleARN)+","+string(r.ProviderARN))
	b = single(b, "RoleSessionName", "", r.SessionName)
	b = single(b, "SessionDuration", "", seconds(r.Duration))
	b = single(b, "SourceIdentity", "", r.SourceIdentity)
	for _, k := range sortedKeys(r.SessionTags) {
		b = single(b, "PrincipalTag:", k, r.SessionTags[k])
	}
	if len(r.TransitiveTagKeys) > 0 {
		b = attribute(b, "TransitiveTagKeys", "")
		for _, k := range r.TransitiveTagKeys {
			b = value(b, k)
		}
		b = append(b, `</saml:Attribute>`...)
	}
	return append(b, `</saml:AttributeStatement></saml:Assertion>`...)
}

func signedInfo(b []byte, id string, digest []byte) []byte {
	b = append(b, `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:Reference URI="#`...)
	b = append(append(b, id...), `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>`...)
	b = base64.StdEncoding.AppendEncode(b, digest)
	return append(b, `</ds:DigestValue></ds:Reference></ds:SignedInfo>`...)
}
