package saml_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"iter"
	"math/big"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

const (
	idpEntity = "https://idp.example.com/metadata"
	acs       = "https://sso.example.com/saml/corp/acs"
	spEntity  = "https://sso.example.com/saml/corp/metadata"
	requestID = "id-00112233445566778899aabbccddeeff"
)

var fixed = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

func certify(key crypto.Signer) saml.KeyPair {
	return certifyFrom(key, fixed.Add(-24*time.Hour), fixed.Add(24*time.Hour))
}

func certifyFrom(key crypto.Signer, from, until time.Time) saml.KeyPair {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: from, NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return saml.KeyPair{Certificate: c, Key: key}
}

// expired is a certificate that ended yesterday.
func expired(key crypto.Signer) saml.KeyPair {
	return certifyFrom(key, fixed.Add(-48*time.Hour), fixed.Add(-24*time.Hour))
}

// rsaPair makes the same key in every process for the same seed, which the
// workers of a fuzz target need: with keys of their own, they would find every
// seed's signature to be somebody else's, and try nothing behind that check.
// The steps say how far the primes are from where the search for them begins:
// whatever they are, primes are found, but it takes long.
func rsaPair(bits int, seed uint64, pSteps, qSteps int64) func() saml.KeyPair {
	return sync.OnceValue(func() saml.KeyPair {
		r := mathrand.New(mathrand.NewPCG(seed, seed))
		p, q, one := prime(r, bits/2, pSteps), prime(r, bits/2, qSteps), big.NewInt(1)
		e := big.NewInt(65537)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
			D:         new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q},
		}
		key.Precompute()
		return certify(key)
	})
}

// prime returns a prime of so many bits, the two highest of them set, at least
// so many steps from the number that r begins with.
func prime(r *mathrand.Rand, bits int, steps int64) *big.Int {
	b := make([]byte, bits/8)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] |= 0xc0
	b[len(b)-1] |= 1
	p, two, one := new(big.Int).SetBytes(b), big.NewInt(2), big.NewInt(1)
	p.Add(p, big.NewInt(2*steps))
	for {
		if p.ProbablyPrime(5) && new(big.Int).Mod(new(big.Int).Sub(p, one), big.NewInt(65537)).Sign() != 0 {
			return p
		}
		p.Add(p, two)
	}
}

func ecPair(curve elliptic.Curve) func() saml.KeyPair {
	return sync.OnceValue(func() saml.KeyPair {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		return certify(key)
	})
}

// Keys are made once per run, those for RSA from near where their primes are.
var (
	idpKey   = rsaPair(2048, 1, 236, 866)
	idpKey2  = rsaPair(2048, 2, 244, 255)
	evilKey  = rsaPair(2048, 3, 941, 515)
	weakKey  = rsaPair(1024, 4, 14, 196)
	spSign   = rsaPair(2048, 5, 288, 611)
	spCrypt  = rsaPair(2048, 6, 483, 65)
	spCrypt2 = rsaPair(2048, 7, 188, 97)
	idpP256  = ecPair(elliptic.P256())
	idpP384  = ecPair(elliptic.P384())
)

// answer describes a response to make; defaults are a good one.
type answer struct {
	signAssertion, signResponse *saml.KeyPair
	comments                    bool // canonicalize with comments
	noKeyInfo                   bool
	method                      string
	groups                      int
	encrypt                     func(*etree.Element) *etree.Element
	before                      func(response, assertion *etree.Element) // changes before anything is signed
	after                       func(response *etree.Element)            // changes when all is signed
	raw                         func([]byte) []byte
	indent                      bool
	prefix                      string // of the assertion namespace, "" for the default namespace
	inclusive                   string // PrefixList of the assertion's signature
	signatureLast               bool   // and not after the Issuer, as the schema has it
	asn1                        bool   // ECDSA signatures as Go writes them
}

func good() answer {
	k := idpKey()
	return answer{signAssertion: &k, groups: 3, prefix: "saml"}
}

func at(d time.Duration) string { return fixed.Add(d).Format("2006-01-02T15:04:05Z") }

const assertionTemplate = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a1" Version="2.0" IssueInstant="%[1]s"><saml:Issuer>` + idpEntity + `</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice-0001</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="` + requestID + `" NotOnOrAfter="%[2]s" Recipient="` + acs + `"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="%[1]s" NotOnOrAfter="%[2]s"><saml:AudienceRestriction><saml:Audience>` + spEntity + `</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="%[1]s" SessionIndex="s1"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="urn:oid:0.9.2342.19200300100.1.3" FriendlyName="mail"><saml:AttributeValue>alice@example.com</saml:AttributeValue></saml:Attribute><saml:Attribute Name="groups">%[3]s</saml:Attribute></saml:AttributeStatement></saml:Assertion>`

// plain returns the assertion alone, unsigned.
func (a answer) plain(t testing.TB) []byte {
	a.signAssertion, a.signResponse, a.encrypt = nil, nil, nil
	return []byte(xmlOf(standalone(parse(string(a.build(t))).FindElement("./Assertion"))))
}

func (a answer) build(t testing.TB) []byte {
	t.Helper()
	var groups strings.Builder
	for n := range a.groups {
		fmt.Fprintf(&groups, "<saml:AttributeValue>group-%d</saml:AttributeValue>", n)
	}
	text := fmt.Sprintf(assertionTemplate, at(0), at(5*time.Minute), groups.String())
	switch a.prefix {
	case "":
		text = strings.NewReplacer("xmlns:saml=", "xmlns=", "<saml:", "<", "</saml:", "</").Replace(text)
	case "saml":
	default:
		text = strings.NewReplacer("xmlns:saml=", "xmlns:"+a.prefix+"=", "<saml:", "<"+a.prefix+":", "</saml:", "</"+a.prefix+":").Replace(text)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r1" Version="2.0" IssueInstant="` + at(0) + `" Destination="` + acs + `" InResponseTo="` + requestID + `"><i:Issuer xmlns:i="urn:oasis:names:tc:SAML:2.0:assertion">` + idpEntity + `</i:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>` + text + `</samlp:Response>`); err != nil {
		t.Fatal(err)
	}
	response := doc.Root()
	assertion := response.FindElement("./Assertion")
	if a.before != nil {
		a.before(response, assertion)
	}
	if a.indent {
		doc.Indent(2)
	}
	if a.signAssertion != nil {
		a.sign(t, assertion, *a.signAssertion)
	}
	if a.encrypt != nil {
		index := assertion.Index()
		response.RemoveChildAt(index)
		response.InsertChildAt(index, a.encrypt(assertion))
	}
	if a.signResponse != nil {
		a.sign(t, response, *a.signResponse)
	}
	if a.after != nil {
		a.after(response)
	}
	out, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	if a.raw != nil {
		out = a.raw(out)
	}
	return out
}

// sign signs el in place, right after its Issuer. SignedInfo is written here,
// in canonical form, and not by the library that verifies it.
func (a answer) sign(t testing.TB, el *etree.Element, k saml.KeyPair) {
	t.Helper()
	method, hash, list := a.method, crypto.SHA256, ""
	switch method {
	case "":
		method = dsig.RSASHA256SignatureMethod
	case dsig.RSASHA1SignatureMethod:
		hash = crypto.SHA1
	case dsig.ECDSASHA384SignatureMethod:
		hash = crypto.SHA384
	case dsig.RSASHA512SignatureMethod:
		hash = crypto.SHA512
	}
	transform, comments := "></ds:Transform>", ""
	if el.Tag == "Assertion" && a.inclusive != "" {
		list = a.inclusive
		transform = `><ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="` + list + `"></ec:InclusiveNamespaces></ds:Transform>`
	}
	if a.comments {
		comments = "WithComments"
	}
	canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(list).Canonicalize(standalone(el))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(canonical)
	info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#` + comments + `"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="` + method + `"></ds:SignatureMethod><ds:Reference URI="#` + el.SelectAttrValue("ID", "") + `"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#` + comments + `"` + transform + `</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	h := hash.New()
	h.Write([]byte(info))
	value, err := k.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := k.Key.(*ecdsa.PrivateKey); ok && !a.asn1 {
		value = rs(key, value)
	}
	keyInfo := `<ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(k.Certificate.Raw) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
	if a.noKeyInfo {
		keyInfo = ""
	}
	sig := parse(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue>` + keyInfo + `</ds:Signature>`)
	index := len(el.Child)
	if is := el.FindElement("./Issuer"); is != nil && !a.signatureLast {
		index = is.Index() + 1
	}
	el.InsertChildAt(index, sig)
}

// rs turns an ASN.1 signature into the form of XML Signature 6.4.3.
func rs(key *ecdsa.PrivateKey, value []byte) []byte {
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &v); err != nil {
		panic(err)
	}
	size := (key.Params().BitSize + 7) / 8
	return append(v.R.FillBytes(make([]byte, size)), v.S.FillBytes(make([]byte, size))...)
}

func standalone(el *etree.Element) *etree.Element {
	out := el.Copy()
	for up := el.Parent(); up != nil; up = up.Parent() {
		for _, at := range up.Attr {
			if at.Space == "xmlns" && out.SelectAttr(at.FullKey()) == nil {
				out.CreateAttr(at.FullKey(), at.Value)
			}
		}
	}
	return out
}

// sealing says how to encrypt an assertion; the zero value of a field means the
// usual.
type sealing struct {
	bits   int                       // of the content key
	cbc    bool                      // instead of GCM
	pad    byte                      // last byte of the CBC padding, if it is to be wrong
	to     saml.KeyPair              // whom for
	wrap   keyWrap                   // of the content key; default RSA-OAEP with SHA-1
	beside bool                      // EncryptedKey beside EncryptedData
	plain  func(plain []byte) []byte // changes the plaintext
}

type keyWrap struct {
	method string // the EncryptionMethod element's inside, after the opening quote of Algorithm
	wrap   func(to *rsa.PublicKey, key []byte) ([]byte, error)
}

var (
	wrapOAEP = keyWrap{`http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>`, func(to *rsa.PublicKey, key []byte) ([]byte, error) {
		return rsa.EncryptOAEP(sha1.New(), rand.Reader, to, key, nil)
	}}
	wrapOAEP256 = keyWrap{`http://www.w3.org/2009/xmlenc11#rsa-oaep"><ds:DigestMethod xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><x11:MGF xmlns:x11="http://www.w3.org/2009/xmlenc11#" Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256"/></xenc:EncryptionMethod>`, func(to *rsa.PublicKey, key []byte) ([]byte, error) {
		return rsa.EncryptOAEP(sha256.New(), rand.Reader, to, key, nil)
	}}
	wrapPKCS1v15 = keyWrap{`http://www.w3.org/2001/04/xmlenc#rsa-1_5"/>`, func(to *rsa.PublicKey, key []byte) ([]byte, error) {
		return rsa.EncryptPKCS1v15(rand.Reader, to, key) //nolint:staticcheck // SA1019: what must be refused
	}}
)

// sealed encrypts an assertion as XML Encryption 1.1 has it.
func sealed(s sealing) func(*etree.Element) *etree.Element {
	return func(el *etree.Element) *etree.Element {
		plain := []byte(xmlOf(standalone(el)))
		if s.plain != nil {
			plain = s.plain(plain)
		}
		if s.wrap.wrap == nil {
			s.wrap = wrapOAEP
		}
		if s.to.Key == nil {
			s.to = spCrypt()
		}
		key := make([]byte, s.bits/8)
		if _, err := rand.Read(key); err != nil {
			panic(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err)
		}
		wrapped, err := s.wrap.wrap(s.to.Key.Public().(*rsa.PublicKey), key)
		if err != nil {
			panic(err)
		}
		algorithm, content := fmt.Sprintf("http://www.w3.org/2009/xmlenc11#aes%d-gcm", s.bits), []byte(nil)
		if s.cbc {
			algorithm, content = fmt.Sprintf("http://www.w3.org/2001/04/xmlenc#aes%d-cbc", s.bits), sealCBC(block, plain, s.pad)
		} else {
			gcm, err := cipher.NewGCMWithRandomNonce(block)
			if err != nil {
				panic(err)
			}
			content = gcm.Seal(nil, nil, plain, nil)
		}
		info := fmt.Sprintf(`<xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="%s<xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>`, s.wrap.method, base64.StdEncoding.EncodeToString(wrapped))
		beside := ""
		if s.beside {
			info, beside = `<ds:RetrievalMethod Type="http://www.w3.org/2001/04/xmlenc#EncryptedKey" URI="#_ek"/>`, info
		}
		return parse(fmt.Sprintf(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:EncryptedData><xenc:EncryptionMethod Algorithm="%s"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">%s</ds:KeyInfo><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>%s</saml:EncryptedAssertion>`,
			algorithm, info, base64.StdEncoding.EncodeToString(content), beside))
	}
}

func sealCBC(block cipher.Block, plain []byte, last byte) []byte {
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	if last != 0 {
		plain[len(plain)-1] = last
	}
	out := make([]byte, aes.BlockSize+len(plain))
	if _, err := rand.Read(out[:aes.BlockSize]); err != nil {
		panic(err)
	}
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], plain)
	return out
}

func xmlOf(el *etree.Element) string {
	s, err := etree.NewDocumentWithRoot(el).WriteToString()
	if err != nil {
		panic(err)
	}
	return s
}

func parse(s string) *etree.Element {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(s); err != nil {
		panic(err)
	}
	return doc.Root()
}

// metadata is the identity provider's, with the certificates given.
func metadata(keys ...saml.KeyPair) string {
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`,
			base64.StdEncoding.EncodeToString(k.Certificate.Raw))
	}
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + idpEntity + `"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + b.String() +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso?tenant=1"/><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.com/sso"/></IDPSSODescriptor></EntityDescriptor>`
}

// newSP is a service provider with metadata from a file.
func newSP(t testing.TB, meta string, change func(*saml.Config)) *saml.ServiceProvider {
	t.Helper()
	path := filepath.Join(t.TempDir(), "idp.xml")
	if err := os.WriteFile(path, []byte(meta), 0o600); err != nil {
		t.Fatal(err)
	}
	c := saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataFile: path, SignRequests: true,
		Signing: []saml.KeyPair{spSign()}, Decryption: []saml.KeyPair{spCrypt()}, Now: func() time.Time { return fixed },
	}
	if change != nil {
		change(&c)
	}
	sp, err := saml.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sp
}

func request() broker.AuthRequest {
	return broker.AuthRequest{ID: requestID, State: "state-1", Provider: "corp", CreatedAt: fixed, ExpiresAt: fixed.Add(10 * time.Minute)}
}

func form(raw []byte) url.Values {
	return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(raw)}, "RelayState": {"state-1"}}
}

// negativeSerial writes a negative number into the serial of a certificate; its
// own signature does not hold any more, which nobody looks at.
func negativeSerial(der []byte) []byte {
	serial := []byte{0x02, 0x01, 0x01} // INTEGER 1, as certifyFrom makes it
	return bytes.Replace(der, serial, []byte{0x02, 0x01, 0xff}, 1)
}

func rsaKeyValue(k saml.KeyPair) string {
	pub := k.Key.Public().(*rsa.PublicKey)
	return `<KeyValue><RSAKeyValue><Modulus>` + base64.StdEncoding.EncodeToString(pub.N.Bytes()) + `</Modulus><Exponent>AQAB</Exponent></RSAKeyValue></KeyValue>`
}

// pull turns a sequence into a function that gives one after the other.
func pull(seq iter.Seq[string]) func() (string, bool) {
	next, _ := iter.Pull(seq)
	return next
}
