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
	size        int    // of a signature, in bytes
	certificate string // base64 DER
}

// responseLimit is the length STS takes as SAMLAssertion, base64 included.
const responseLimit = 100_000

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

// document is a response under construction. The signature stands in the
// middle of what it signs, so room is left for it and filled in at the end:
// digest and signature have a fixed length.
type document struct {
	b                          []byte
	assertion                  int // where the assertion begins
	signature, signatureEnd    int // ds:Signature, left out of the digest
	info, infoEnd              int // ds:SignedInfo
	digestValue, signatureText int // where the base64 texts go
}

func (i *Issuer) mintSAML(r broker.AssertionRequest, tagKeys []string) (broker.Assertion, error) {
	aws, ok := i.c.Audiences[r.Account.Partition]
	if !ok {
		return broker.Assertion{}, fmt.Errorf("issuer: no audience is known for partition %q", r.Account.Partition)
	}
	ids, err := i.randomIDs(2)
	if err != nil {
		return broker.Assertion{}, err
	}
	id, responseID := ids[:idSize], ids[idSize:]
	now := i.c.Now().UTC()
	expires := now.Add(assertionLife)
	subject := r.Subject.Opaque()

	d := document{b: make([]byte, 0, 5120+len(i.saml.certificate)+256*len(tagKeys))}
	d.b = i.response(d.b, aws, responseID, now)
	d.assertion = len(d.b)
	d.b = append(d.b, `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="`...)
	d.b = append(append(d.b, id...), `" IssueInstant="`...)
	d.b = append(now.AppendFormat(d.b, timeLayout), `" Version="2.0"><saml:Issuer>`...)
	d.b = append(text(d.b, i.c.EntityID), `</saml:Issuer>`...)
	i.saml.makeRoom(&d, id)
	d.b = assertionBody(d.b, r, tagKeys, aws, subject, id, now, expires)
	if err := i.saml.sign(&d); err != nil {
		return broker.Assertion{}, err
	}
	d.b = append(d.b, `</samlp:Response>`...)
	if n := base64.StdEncoding.EncodedLen(len(d.b)); n > responseLimit {
		return broker.Assertion{}, tooLarge(n, responseLimit)
	}
	return broker.Assertion{
		Kind: broker.ViaSAML, Raw: broker.NewSecret(base64.StdEncoding.EncodeToString(d.b)), ID: id,
		Issuer: i.c.EntityID, Audience: aws.Recipient, Subject: subject, ExpiresAt: expires,
	}, nil
}

// response appends what stands before the assertion.
func (i *Issuer) response(b []byte, aws Audience, id string, now time.Time) []byte {
	b = append(b, `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="`...)
	b = append(append(b, id...), `" Version="2.0" IssueInstant="`...)
	b = append(now.AppendFormat(b, timeLayout), `" Destination="`...)
	b = append(escape(b, aws.Recipient), `"><saml:Issuer>`...)
	return append(text(b, i.c.EntityID), `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>`...)
}

// assertionBody appends everything after the place of the signature (SAML core
// 2.3.3): Subject, Conditions, AuthnStatement, AttributeStatement.
func assertionBody(b []byte, r broker.AssertionRequest, tagKeys []string, aws Audience, subject, id string, now, expires time.Time) []byte {
	b = append(b, `<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">`...)
	b = append(text(b, subject), `</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="`...)
	b = append(expires.AppendFormat(b, timeLayout), `" Recipient="`...)
	b = append(escape(b, aws.Recipient), `"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="`...)
	b = append(now.Add(-notBeforeMargin).AppendFormat(b, timeLayout), `" NotOnOrAfter="`...)
	b = append(expires.AppendFormat(b, timeLayout), `"><saml:AudienceRestriction><saml:Audience>`...)
	b = append(text(b, aws.Audience), `</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="`...)
	b = append(now.AppendFormat(b, timeLayout), `" SessionIndex="`...)
	b = append(append(b, id...), `"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>`...)
	b = single(b, "Role", "", string(r.RoleARN)+","+string(r.ProviderARN))
	b = single(b, "RoleSessionName", "", r.SessionName)
	b = single(b, "SessionDuration", "", seconds(r.Duration))
	b = single(b, "SourceIdentity", "", r.SourceIdentity)
	for _, k := range tagKeys {
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

// makeRoom appends the signature (XML Signature 1.1, section 4) with its two
// values left as A's.
func (s samlSigner) makeRoom(d *document, id string) {
	d.signature = len(d.b)
	d.b = append(d.b, `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">`...)
	d.info = len(d.b)
	d.b = append(d.b, `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:Reference URI="#`...)
	d.b = append(append(d.b, id...), `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>`...)
	d.digestValue = len(d.b)
	d.b = fill(d.b, base64.StdEncoding.EncodedLen(sha256.Size))
	d.b = append(d.b, `</ds:DigestValue></ds:Reference></ds:SignedInfo>`...)
	d.infoEnd = len(d.b)
	d.b = append(d.b, `<ds:SignatureValue>`...)
	d.signatureText = len(d.b)
	d.b = fill(d.b, base64.StdEncoding.EncodedLen(s.size))
	d.b = append(d.b, `</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>`...)
	d.b = append(append(d.b, s.certificate...), `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`...)
	d.signatureEnd = len(d.b)
}

func fill(b []byte, n int) []byte {
	for range n {
		b = append(b, 'A')
	}
	return b
}

// sign fills the room that makeRoom left; the assertion must be complete.
func (s samlSigner) sign(d *document) error {
	hash := sha256.New()
	hash.Write(d.b[d.assertion:d.signature])
	hash.Write(d.b[d.signatureEnd:])
	sum := hash.Sum(make([]byte, 0, sha256.Size))
	base64.StdEncoding.Encode(d.b[d.digestValue:], sum)
	hash.Reset()
	hash.Write(d.b[d.info:d.infoEnd])
	signature, err := s.key.Sign(nil, hash.Sum(sum[:0]), crypto.SHA256)
	if err != nil {
		return fmt.Errorf("issuer: sign assertion: %w", err)
	}
	if len(signature) != s.size {
		return fmt.Errorf("issuer: a signature of %d bytes, %d have room", len(signature), s.size)
	}
	base64.StdEncoding.Encode(d.b[d.signatureText:], signature)
	return nil
}
