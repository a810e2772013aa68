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
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
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
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: fixed.Add(-24 * time.Hour), NotAfter: fixed.Add(24 * time.Hour),
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

func rsaPair(bits int) func() saml.KeyPair {
	return sync.OnceValue(func() saml.KeyPair {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return certify(key)
	})
}

// Keys are made once per run: RSA keys are slow to make.
var (
	idpKey   = rsaPair(2048)
	idpKey2  = rsaPair(2048)
	evilKey  = rsaPair(2048)
	weakKey  = rsaPair(1024)
	spSign   = rsaPair(2048)
	spCrypt  = rsaPair(2048)
	idpECKey = sync.OnceValue(func() saml.KeyPair {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return certify(key)
	})
)

// answer describes a response to make; defaults are a good one.
type answer struct {
	signAssertion, signResponse *saml.KeyPair
	noKeyInfo                   bool
	method                      string
	groups                      int
	encrypt                     func(*etree.Element) *etree.Element
	before                      func(response, assertion *etree.Element) // changes before anything is signed
	after                       func(response *etree.Element)            // changes when all is signed
	raw                         func([]byte) []byte
	indent                      bool
	prefix                      string // of the assertion namespace, "" for the default namespace
}

func good() answer {
	k := idpKey()
	return answer{signAssertion: &k, groups: 3, prefix: "saml"}
}

func at(d time.Duration) string { return fixed.Add(d).Format("2006-01-02T15:04:05Z") }

const assertionTemplate = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a1" Version="2.0" IssueInstant="%[1]s"><saml:Issuer>` + idpEntity + `</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice-0001</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="` + requestID + `" NotOnOrAfter="%[2]s" Recipient="` + acs + `"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="%[1]s" NotOnOrAfter="%[2]s"><saml:AudienceRestriction><saml:Audience>` + spEntity + `</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="%[1]s" SessionIndex="s1"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="urn:oid:0.9.2342.19200300100.1.3" FriendlyName="mail"><saml:AttributeValue>alice@example.com</saml:AttributeValue></saml:Attribute><saml:Attribute Name="groups">%[3]s</saml:Attribute></saml:AttributeStatement></saml:Assertion>`

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

// sign signs el in place, right after its Issuer.
func (a answer) sign(t testing.TB, el *etree.Element, k saml.KeyPair) {
	t.Helper()
	ctx, err := dsig.NewSigningContext(k.Key, [][]byte{k.Certificate.Raw})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if a.method != "" {
		if err := ctx.SetSignatureMethod(a.method); err != nil {
			t.Fatal(err)
		}
	}
	sig, err := ctx.ConstructSignature(standalone(el), true)
	if err != nil {
		t.Fatal(err)
	}
	if a.noKeyInfo {
		sig.RemoveChild(sig.FindElement("./KeyInfo"))
	}
	index := 0
	if is := el.FindElement("./Issuer"); is != nil {
		index = is.Index() + 1
	}
	el.InsertChildAt(index, sig)
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

// encryptGCM encrypts an assertion with RSA-OAEP and AES-GCM of the key length.
func encryptGCM(length int) func(*etree.Element) *etree.Element {
	return func(el *etree.Element) *etree.Element {
		return encrypted(el, fmt.Sprintf("http://www.w3.org/2009/xmlenc11#aes%d-gcm", length*8), length, func(block cipher.Block, plain []byte) []byte {
			gcm, err := cipher.NewGCMWithRandomNonce(block)
			if err != nil {
				panic(err)
			}
			return gcm.Seal(nil, nil, plain, nil)
		})
	}
}

func encryptCBC(el *etree.Element) *etree.Element {
	return encrypted(el, "http://www.w3.org/2001/04/xmlenc#aes128-cbc", 16, func(block cipher.Block, plain []byte) []byte {
		pad := aes.BlockSize - len(plain)%aes.BlockSize
		plain = append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
		out := make([]byte, aes.BlockSize+len(plain))
		if _, err := rand.Read(out[:aes.BlockSize]); err != nil {
			panic(err)
		}
		cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(out[aes.BlockSize:], plain)
		return out
	})
}

func encrypted(el *etree.Element, algorithm string, length int, seal func(cipher.Block, []byte) []byte) *etree.Element {
	doc := etree.NewDocument()
	doc.SetRoot(standalone(el))
	plain, err := doc.WriteToBytes()
	if err != nil {
		panic(err)
	}
	key := make([]byte, length)
	if _, err := rand.Read(key); err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, spCrypt().Key.Public().(*rsa.PublicKey), key, nil)
	if err != nil {
		panic(err)
	}
	return parse(fmt.Sprintf(`<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><xenc:EncryptionMethod Algorithm="%s"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>`,
		algorithm, base64.StdEncoding.EncodeToString(wrapped), base64.StdEncoding.EncodeToString(seal(block, plain))))
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
