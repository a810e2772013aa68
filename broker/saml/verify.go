package saml

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

const (
	transformEnveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	transformExcC14N   = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// The algorithms taken: SHA-2 only, RSA (PKCS #1 v1.5) and ECDSA.
var (
	signatureMethods = []string{
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
	}
	digestMethods = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384",
		"http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

var errUnsigned = errors.New("no signature on the element")

// recovered turns a panic in a library into a refusal. Foreign bytes have made
// the libraries below panic before.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("saml: a library panicked: %v", r)
	}
}

// verifyElement verifies the enveloped signature of el with one of the
// certificates and returns the element as rebuilt from the verified bytes: the
// only thing that may be read afterwards. errUnsigned if el has no signature
// of its own. SAML core 5.4: one Reference to the element's ID, transforms
// enveloped-signature and exclusive canonicalization only.
func verifyElement(el *etree.Element, certificates []*x509.Certificate, now time.Time) (out *etree.Element, err error) {
	defer recovered(&err)
	sig, err := ownSignature(el)
	if err != nil {
		return nil, err
	}
	if err := checkSignedInfo(sig, el); err != nil {
		return nil, err
	}
	named, err := dropKeyInfo(sig)
	if err != nil {
		return nil, err
	}
	if named != nil {
		if !slices.ContainsFunc(certificates, named.Equal) {
			return nil, errors.New("signed with a certificate that the metadata does not hold")
		}
		certificates = []*x509.Certificate{named}
	}
	standalone := detached(el)
	last := errors.New("no certificate to verify with")
	for _, c := range certificates {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			last = fmt.Errorf("the certificate is valid from %s to %s only", c.NotBefore, c.NotAfter)
			continue
		}
		ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{c}})
		ctx.Clock = dsig.NewFakeClockAt(now)
		good, err := ctx.Validate(standalone)
		if err == nil {
			return good, sameElement(el, good)
		}
		last = err
	}
	return nil, last
}

// ownSignature returns the one ds:Signature that is a direct child of el.
func ownSignature(el *etree.Element) (*etree.Element, error) {
	var found *etree.Element
	for _, c := range el.ChildElements() {
		if c.Tag != "Signature" || c.NamespaceURI() != nsDSig {
			continue
		}
		if found != nil {
			return nil, errors.New("two signatures on one element")
		}
		found = c
	}
	if found == nil {
		return nil, errUnsigned
	}
	return found, nil
}

// only returns the children of el if they are exactly the named ds elements in
// this order, a trailing "?" marking one that may be absent.
func only(el *etree.Element, names ...string) (map[string]*etree.Element, error) {
	out := map[string]*etree.Element{}
	children := el.ChildElements()
	for _, name := range names {
		optional := name[len(name)-1] == '?'
		if optional {
			name = name[:len(name)-1]
		}
		if len(children) > 0 && children[0].Tag == name && children[0].NamespaceURI() == nsDSig {
			out[name], children = children[0], children[1:]
		} else if !optional {
			return nil, fmt.Errorf("%s lacks %s in its place", el.Tag, name)
		}
	}
	if len(children) > 0 {
		return nil, fmt.Errorf("%s holds %s where it may not", el.Tag, children[0].Tag)
	}
	return out, nil
}

func checkSignedInfo(sig, el *etree.Element) error {
	parts, err := only(sig, "SignedInfo", "SignatureValue", "KeyInfo?")
	if err != nil {
		return err
	}
	info, err := only(parts["SignedInfo"], "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return err
	}
	if a := info["CanonicalizationMethod"].SelectAttrValue("Algorithm", ""); a != transformExcC14N {
		return fmt.Errorf("canonicalization %.80q", a)
	}
	method := info["SignatureMethod"]
	if a := method.SelectAttrValue("Algorithm", ""); !slices.Contains(signatureMethods, a) || len(method.ChildElements()) > 0 {
		return fmt.Errorf("signature algorithm %.80q", a)
	}
	ref := info["Reference"]
	id := el.SelectAttrValue("ID", "")
	if uri := ref.SelectAttrValue("URI", ""); id == "" || uri != "#"+id {
		return fmt.Errorf("the signature is over %.80q and not over its element %.80q", uri, id)
	}
	r, err := only(ref, "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return err
	}
	if a := r["DigestMethod"].SelectAttrValue("Algorithm", ""); !slices.Contains(digestMethods, a) {
		return fmt.Errorf("digest algorithm %.80q", a)
	}
	var transforms []string
	for _, t := range r["Transforms"].ChildElements() {
		transforms = append(transforms, t.SelectAttrValue("Algorithm", ""))
		for _, c := range t.ChildElements() {
			if c.Tag != "InclusiveNamespaces" || c.NamespaceURI() != transformExcC14N {
				return fmt.Errorf("a transform holds %s", c.Tag)
			}
		}
	}
	if !slices.Equal(transforms, []string{transformEnveloped, transformExcC14N}) {
		return fmt.Errorf("transforms %.200q", transforms)
	}
	return nil
}

// dropKeyInfo removes KeyInfo, which the message's author wrote and nothing
// signs, and returns the certificate it names, if any: a hint which of ours to
// try, never a key to trust.
func dropKeyInfo(sig *etree.Element) (*x509.Certificate, error) {
	var info *etree.Element
	for _, c := range sig.ChildElements() {
		if c.Tag == "KeyInfo" {
			info = c
		}
	}
	if info == nil {
		return nil, nil
	}
	var named *x509.Certificate
	for _, e := range info.FindElements("./X509Data/X509Certificate") {
		if named != nil {
			return nil, errors.New("KeyInfo names two certificates")
		}
		cert, err := parseCertificate(e.Text())
		if err != nil {
			return nil, fmt.Errorf("the certificate in KeyInfo: %w", err)
		}
		named = cert
	}
	sig.RemoveChild(info)
	return named, nil
}

// detached copies el with the namespace declarations it inherits, so that it
// means the same on its own.
func detached(el *etree.Element) *etree.Element {
	out := el.Copy()
	for up := el.Parent(); up != nil; up = up.Parent() {
		for _, a := range up.Attr {
			isNS := a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns"
			if isNS && out.SelectAttr(a.FullKey()) == nil {
				out.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	return out
}

// sameElement guards against a verifier that hands back something else than
// what was asked about.
func sameElement(el, good *etree.Element) error {
	if good == nil || good.Tag != el.Tag || good.NamespaceURI() != el.NamespaceURI() || good.SelectAttrValue("ID", "") != el.SelectAttrValue("ID", "") {
		return errors.New("the verified element is another one")
	}
	return nil
}

func serialize(el *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(el)
	var b bytes.Buffer
	if _, err := doc.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("saml: serialize: %w", err)
	}
	return b.Bytes(), nil
}
