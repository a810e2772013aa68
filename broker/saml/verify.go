package saml

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
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
	signatureMethods = map[string]x509.SignatureAlgorithm{
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256":   x509.SHA256WithRSA,
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384":   x509.SHA384WithRSA,
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512":   x509.SHA512WithRSA,
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256": x509.ECDSAWithSHA256,
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": x509.ECDSAWithSHA384,
		"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512": x509.ECDSAWithSHA512,
	}
	digestMethods = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384",
		"http://www.w3.org/2001/04/xmlenc#sha512",
	}
	// idValue is xs:ID without its colon, and with the leading digit that some
	// products write.
	idValue = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}$`)
)

// unknownKey is a refusal because none of the metadata's certificates fits: the
// provider may have others by now.
type unknownKey string

func (e unknownKey) Error() string { return string(e) }

const noCertificate unknownKey = "the metadata holds no certificate that this was signed with"

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
// enveloped-signature and exclusive canonicalization only. It changes el:
// KeyInfo goes, and the signature moves to the front.
func verifyElement(el *etree.Element, certificates []*x509.Certificate, now time.Time) (out *etree.Element, err error) {
	defer recovered(&err)
	sig, err := ownSignature(el)
	if err != nil {
		return nil, err
	}
	parts, err := only(sig, "SignedInfo", "SignatureValue", "KeyInfo?")
	if err != nil {
		return nil, err
	}
	algorithm, err := checkSignedInfo(parts["SignedInfo"], el)
	if err != nil {
		return nil, err
	}
	named, err := namedCertificates(parts["KeyInfo"])
	if err != nil {
		return nil, err
	}
	if parts["KeyInfo"] != nil {
		// Its author is the message's and nothing signs it: the library must
		// not choose by it.
		sig.RemoveChild(parts["KeyInfo"])
	}
	// In front, it is the first signature that the library comes to. Its place
	// is not signed: the enveloped-signature transform takes it out.
	el.RemoveChild(sig)
	el.InsertChildAt(0, sig)
	inherit(el)
	certificate, err := signer(parts, algorithm, named, certificates, now)
	if err != nil {
		return nil, err
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
	ctx.Clock = dsig.NewFakeClockAt(now)
	good, err := ctx.Validate(el)
	if err != nil {
		return nil, err
	}
	return good, sameElement(el, good)
}

// signer finds the certificate whose key signed SignedInfo: among those of the
// metadata only, and among those with a key that KeyInfo names, if it names
// any. It comes first because it is cheap: a forged message costs no
// canonicalization of the document, whatever the number of certificates.
func signer(parts map[string]*etree.Element, algorithm x509.SignatureAlgorithm, named, certificates []*x509.Certificate, now time.Time) (*x509.Certificate, error) {
	value, err := base64Text(parts["SignatureValue"])
	if err != nil {
		return nil, err
	}
	info := parts["SignedInfo"].Copy()
	for up := parts["SignedInfo"].Parent(); up != nil; up = up.Parent() {
		addNamespaces(info, up)
	}
	canonicalizer := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if algorithmOf(child(info, nsDSig, "CanonicalizationMethod")) != transformExcC14N {
		canonicalizer = dsig.MakeC14N10ExclusiveWithCommentsCanonicalizerWithPrefixList("")
	}
	canonical, err := canonicalizer.Canonicalize(info)
	if err != nil {
		return nil, fmt.Errorf("SignedInfo: %w", err)
	}
	refused := noCertificate
	for _, c := range certificates {
		if len(named) > 0 && !slices.ContainsFunc(named, func(n *x509.Certificate) bool { return sameKey(n, c) }) {
			continue
		}
		v := value
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
			v = ecdsaASN1(key, value)
		}
		if c.CheckSignature(algorithm, canonical, v) != nil {
			continue
		}
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			refused = unknownKey(fmt.Sprintf("the certificate it was signed with is valid from %s to %s only", c.NotBefore, c.NotAfter))
			continue
		}
		parts["SignatureValue"].SetText(base64.StdEncoding.EncodeToString(v))
		return c, nil
	}
	if len(named) > 0 {
		return nil, fmt.Errorf("%w (KeyInfo names one with the SHA-256 fingerprint %x)", refused, sha256.Sum256(named[0].Raw))
	}
	return nil, refused
}

func sameKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

// ecdsaASN1 turns the r and s of XML Signature (6.4.3: two numbers of the
// curve's size, one after the other) into the ASN.1 that Go and the library
// verify. Whatever has another length is returned as it is.
func ecdsaASN1(key *ecdsa.PublicKey, value []byte) []byte {
	size := (key.Params().BitSize + 7) / 8
	if len(value) != 2*size {
		return value
	}
	out, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:])})
	if err != nil {
		return value
	}
	return out
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

// checkSignedInfo holds SignedInfo to the one form that SAML core 5.4 allows and
// returns its signature algorithm.
func checkSignedInfo(signedInfo, el *etree.Element) (x509.SignatureAlgorithm, error) {
	info, err := only(signedInfo, "CanonicalizationMethod", "SignatureMethod", "Reference")
	if err != nil {
		return 0, err
	}
	if a := algorithmOf(info["CanonicalizationMethod"]); !exclusive(a) || len(info["CanonicalizationMethod"].ChildElements()) > 0 {
		return 0, fmt.Errorf("canonicalization %.80q", a)
	}
	algorithm, ok := signatureMethods[algorithmOf(info["SignatureMethod"])]
	if !ok || len(info["SignatureMethod"].ChildElements()) > 0 {
		return 0, fmt.Errorf("signature algorithm %.80q", algorithmOf(info["SignatureMethod"]))
	}
	ref := info["Reference"]
	id := attr(el, "ID")
	if !idValue.MatchString(id) {
		return 0, fmt.Errorf("the signed element has the ID %.80q", id)
	}
	if uri := attr(ref, "URI"); uri != "#"+id {
		return 0, fmt.Errorf("the signature is over %.80q and not over its element %.80q", uri, id)
	}
	r, err := only(ref, "Transforms", "DigestMethod", "DigestValue")
	if err != nil {
		return 0, err
	}
	if a := algorithmOf(r["DigestMethod"]); !slices.Contains(digestMethods, a) || len(r["DigestMethod"].ChildElements()) > 0 {
		return 0, fmt.Errorf("digest algorithm %.80q", a)
	}
	if _, err := base64Text(r["DigestValue"]); err != nil {
		return 0, err
	}
	var transforms []string
	for _, t := range r["Transforms"].ChildElements() {
		transforms = append(transforms, algorithmOf(t))
		for _, c := range t.ChildElements() {
			if c.Tag != "InclusiveNamespaces" || c.NamespaceURI() != transformExcC14N || len(c.ChildElements()) > 0 {
				return 0, fmt.Errorf("a transform holds %s", c.Tag)
			}
		}
	}
	if len(transforms) != 2 || transforms[0] != transformEnveloped || !exclusive(transforms[1]) {
		return 0, fmt.Errorf("transforms %.200q", transforms)
	}
	return algorithm, nil
}

// exclusive reports whether an algorithm is exclusive canonicalization, with
// comments or without (SAML core 5.4.3). A message has none: the pre-pass saw to
// that.
func exclusive(algorithm string) bool {
	return algorithm == transformExcC14N || algorithm == transformExcC14N+"WithComments"
}

// maxNamed bounds how many certificates of a KeyInfo are looked at: a chain.
const maxNamed = 8

// namedCertificates returns the certificates in KeyInfo: a hint which of ours
// to try, never a key to trust. Anything else in it says nothing.
func namedCertificates(info *etree.Element) ([]*x509.Certificate, error) {
	if info == nil {
		return nil, nil
	}
	var out []*x509.Certificate
	for _, e := range info.FindElements("./X509Data/X509Certificate") {
		if len(out) == maxNamed {
			return nil, fmt.Errorf("KeyInfo names more than %d certificates", maxNamed)
		}
		if certs, err := parseCertificates(e.Text()); err == nil && len(certs) == 1 {
			out = append(out, certs[0])
		}
	}
	return out, nil
}

// inherit gives el the namespace declarations of its ancestors, so that it
// means the same on its own.
func inherit(el *etree.Element) {
	for up := el.Parent(); up != nil; up = up.Parent() {
		addNamespaces(el, up)
	}
}

func addNamespaces(el, from *etree.Element) {
	for _, a := range from.Attr {
		isNS := a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns"
		if isNS && el.SelectAttr(a.FullKey()) == nil {
			el.CreateAttr(a.FullKey(), a.Value)
		}
	}
}

// sameElement guards against a verifier that hands back something else than
// what was asked about.
func sameElement(el, good *etree.Element) error {
	if good == nil || good.Tag != el.Tag || good.NamespaceURI() != el.NamespaceURI() || attr(good, "ID") != attr(el, "ID") {
		return errors.New("the verified element is another one")
	}
	return nil
}

// attr returns the value of an attribute without a namespace, or "". (etree's
// own selectors take one of any namespace for it.)
func attr(el *etree.Element, name string) string {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value
		}
	}
	return ""
}

func hasAttr(el *etree.Element, name string) bool {
	return slices.ContainsFunc(el.Attr, func(a etree.Attr) bool { return a.Space == "" && a.Key == name })
}

// text returns the whole text of an element that may hold text only.
func text(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, t := range el.Child {
		d, ok := t.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
		b.WriteString(d.Data)
	}
	return b.String(), nil
}

// base64Text decodes xs:base64Binary, whose white space says nothing.
func base64Text(el *etree.Element) ([]byte, error) {
	s, err := text(el)
	if err != nil {
		return nil, err
	}
	out, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, fmt.Errorf("%s is not base64", el.Tag)
	}
	return out, nil
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
