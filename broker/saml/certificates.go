package saml

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// roleKeys are the keys of a role descriptor, of which a certificate is only
// the wrapping (metadata 2.4.1.1): what one of them looks like says nothing
// about the others.
type roleKeys struct {
	certificates []*x509.Certificate
	leftOut      []string // what was not taken, and why
}

// signing reads the KeyDescriptors that are for signing, or for anything.
func signing(role *etree.Element) roleKeys {
	var out roleKeys
	for _, k := range children(role, nsMetadata, "KeyDescriptor") {
		if use := collapse(attr(k, "use")); use != "" && use != "signing" {
			continue
		}
		before := len(out.certificates) + len(out.leftOut)
		info := child(k, nsDSig, "KeyInfo")
		if info == nil {
			info = k // it has none: nothing will be found in it
		}
		for _, data := range children(info, nsDSig, "X509Data") {
			for _, x := range children(data, nsDSig, "X509Certificate") {
				out.add(parseCertificates(leafText(x)))
			}
		}
		for _, v := range children(info, nsDSig, "KeyValue") {
			out.add(bareKey(v))
		}
		if len(out.certificates)+len(out.leftOut) == before {
			out.leftOut = append(out.leftOut, "a key descriptor without a certificate or an RSA key")
		}
	}
	return out
}

func (r *roleKeys) add(found []*x509.Certificate, err error) {
	if err != nil {
		r.leftOut = append(r.leftOut, "a certificate: "+err.Error())
	}
	for _, c := range found {
		switch {
		case !strong(c):
			r.leftOut = append(r.leftOut, fmt.Sprintf("a certificate (%.60q) with a weak key: RSA of 2048 bits or ECDSA of 256 is needed", c.Subject))
		case !slices.ContainsFunc(r.certificates, c.Equal):
			r.certificates = append(r.certificates, c)
		}
	}
}

// parseCertificates reads what an X509Certificate holds: one certificate in
// base64 as a rule, and as people paste it, PEM, or several in a row.
func parseCertificates(data string) ([]*x509.Certificate, error) {
	for _, line := range []string{"-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"} {
		data = strings.ReplaceAll(data, line, "=")
	}
	var der []byte
	// Base64 that goes on after its padding is another one.
	for _, part := range strings.FieldsFunc(strings.Join(strings.Fields(data), ""), func(r rune) bool { return r == '=' }) {
		b, err := base64.RawStdEncoding.DecodeString(part)
		if err != nil {
			return nil, errors.New("not base64")
		}
		der = append(der, b...)
	}
	if len(der) == 0 {
		return nil, errors.New("empty")
	}
	var out []*x509.Certificate
	for len(der) > 0 {
		var whole asn1.RawValue
		rest, err := asn1.Unmarshal(der, &whole)
		if err != nil {
			return out, fmt.Errorf("not a certificate: %w", err)
		}
		c, err := x509.ParseCertificate(whole.FullBytes)
		if err != nil {
			if c = keyOf(whole.FullBytes); c == nil {
				return out, err
			}
		}
		out, der = append(out, c), rest
	}
	return out, nil
}

// keyOf returns what matters of a certificate that crypto/x509 does not take,
// as with a negative serial number: its key, its times and its subject. Nothing
// else of it is used: trust comes from the metadata that it is in.
func keyOf(der []byte) *x509.Certificate {
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	var tbs struct {
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Serial     *big.Int
		Algorithm  asn1.RawValue
		Issuer     asn1.RawValue
		Validity   asn1.RawValue
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		UniqueID   asn1.BitString  `asn1:"optional,tag:1"`
		SubjectID  asn1.BitString  `asn1:"optional,tag:2"`
		Extensions []asn1.RawValue `asn1:"optional,explicit,tag:3"`
	}
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 {
		return nil
	}
	if rest, err := asn1.Unmarshal(outer.TBS.FullBytes, &tbs); err != nil || len(rest) > 0 {
		return nil
	}
	plain, err := asn1.Marshal(struct{ Serial, Algorithm, Issuer, Validity, Subject, PublicKey any }{
		big.NewInt(1), tbs.Algorithm, tbs.Issuer, tbs.Validity, tbs.Subject, tbs.PublicKey,
	})
	if err != nil {
		return nil
	}
	again, err := asn1.Marshal(struct{ TBS, Algorithm, Signature any }{asn1.RawValue{FullBytes: plain}, outer.Algorithm, outer.Signature})
	if err != nil {
		return nil
	}
	c, err := x509.ParseCertificate(again)
	if err != nil {
		return nil
	}
	return c
}

// bareKey reads an RSAKeyValue (XML Signature 4.4.2.2), which the metadata
// interoperability profile allows in the place of a certificate. It has no end.
func bareKey(v *etree.Element) ([]*x509.Certificate, error) {
	rsaValue := child(v, nsDSig, "RSAKeyValue")
	modulus, exponent := child(rsaValue, nsDSig, "Modulus"), child(rsaValue, nsDSig, "Exponent")
	if modulus == nil || exponent == nil {
		return nil, errors.New("a key that is no RSA key and has no certificate")
	}
	n, err := base64Text(modulus)
	if err != nil {
		return nil, err
	}
	e, err := base64Text(exponent)
	if err != nil || len(e) > 4 || len(n) > 2048 {
		return nil, errors.New("a bare key of an odd size")
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if key.E < 3 || key.E%2 == 0 {
		return nil, errors.New("a bare key with an odd exponent")
	}
	info, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{Raw: info, RawSubjectPublicKeyInfo: info, PublicKey: key, PublicKeyAlgorithm: x509.RSA}
	c.NotBefore, c.NotAfter = endlessLife()
	return []*x509.Certificate{c}, nil
}

func strong(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	default:
		return false
	}
}

func children(el *etree.Element, ns, tag string) []*etree.Element {
	var out []*etree.Element
	if el != nil {
		for _, c := range el.ChildElements() {
			if c.Tag == tag && c.NamespaceURI() == ns {
				out = append(out, c)
			}
		}
	}
	return out
}

// leafText returns the text of an element of which nothing but text is wanted.
func leafText(el *etree.Element) string {
	var b strings.Builder
	for _, t := range el.Child {
		if d, ok := t.(*etree.CharData); ok {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
