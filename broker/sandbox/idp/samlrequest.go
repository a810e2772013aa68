package idp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

const (
	requestLimit   = 64 << 10 // bytes of an AuthnRequest
	requestNodes   = 200      // elements
	requestSkew    = 5 * time.Minute
	sha256Digest   = "http://www.w3.org/2001/04/xmlenc#sha256"
	metadataLimit  = 1 << 20
	formatUnstated = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
)

// Statuses below the top level one (SAML core 3.2.2.2).
const (
	statusNoAuthnContext = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	statusWouldAsk       = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
	statusNameIDPolicy   = "urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy"
)

// serviceProvider is what the provider needs of a service's metadata.
type serviceProvider struct {
	entityID   string
	signing    []*x509.Certificate
	encryption *rsa.PublicKey
	acs        []saml.IndexedEndpoint // HTTP-POST only, the default first
}

func readServiceProvider(metadata []byte) (*serviceProvider, error) {
	var d saml.EntityDescriptor
	if len(metadata) > metadataLimit {
		return nil, errors.New("idp: the metadata is too large")
	}
	if err := xml.Unmarshal(metadata, &d); err != nil {
		return nil, fmt.Errorf("idp: metadata: %w", err)
	}
	if d.EntityID == "" || len(d.SPSSODescriptors) != 1 {
		return nil, errors.New("idp: the metadata is not of one service provider")
	}
	sp := &serviceProvider{entityID: d.EntityID}
	for _, e := range d.SPSSODescriptors[0].AssertionConsumerServices {
		if e.Binding != saml.HTTPPostBinding || origin(e.Location) == "" {
			continue
		}
		if e.IsDefault != nil && *e.IsDefault {
			sp.acs = slices.Insert(sp.acs, 0, e)
		} else {
			sp.acs = append(sp.acs, e)
		}
	}
	for _, k := range d.SPSSODescriptors[0].KeyDescriptors {
		for _, x := range k.KeyInfo.X509Data.X509Certificates {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(x.Data), ""))
			if err != nil {
				return nil, fmt.Errorf("idp: metadata: certificate: %w", err)
			}
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("idp: metadata: certificate: %w", err)
			}
			if k.Use != "encryption" {
				sp.signing = append(sp.signing, c)
			}
			if public, ok := c.PublicKey.(*rsa.PublicKey); ok && k.Use != "signing" && sp.encryption == nil {
				sp.encryption = public
			}
		}
	}
	if len(sp.acs) == 0 || len(sp.signing) == 0 {
		return nil, errors.New("idp: the metadata needs an HTTP-POST assertion consumer service and a key for signing")
	}
	return sp, nil
}

// samlRequest is a verified AuthnRequest.
type samlRequest struct {
	id, relayState, acs string
	sp                  *serviceProvider
	contexts            []string
	comparison          string
	force, passive      bool
	status              string // it is to be answered with, without any sign-in
}

// authnRequest is SAML core 3.4.1, as far as the provider goes by it.
type authnRequest struct {
	XMLName      xml.Name  `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	ID           string    `xml:",attr"`
	Version      string    `xml:",attr"`
	IssueInstant time.Time `xml:",attr"`
	Destination  string    `xml:",attr"`
	ForceAuthn   bool      `xml:",attr"`
	IsPassive    bool      `xml:",attr"`
	Binding      string    `xml:"ProtocolBinding,attr"`
	ACSURL       string    `xml:"AssertionConsumerServiceURL,attr"`
	ACSIndex     *int      `xml:"AssertionConsumerServiceIndex,attr"`
	Issuer       string    `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	NameIDPolicy struct {
		Format string `xml:",attr"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol NameIDPolicy"`
	Context struct {
		Comparison string   `xml:",attr"`
		Classes    []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnContextClassRef"`
		Decls      []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnContextDeclRef"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol RequestedAuthnContext"`
}

// read verifies an AuthnRequest of either binding. The error is for the page.
func (s *SAML) read(r *http.Request) (samlRequest, error) {
	var m message
	var err error
	if r.Method == http.MethodPost {
		m, err = postMessage(r)
	} else {
		m, err = redirectMessage(r.URL.RawQuery)
	}
	if err != nil {
		return samlRequest{}, err
	}
	ar, err := parseRequest(m.raw)
	if err != nil {
		return samlRequest{}, err
	}
	s.mu.Lock()
	sp := s.sps[strings.TrimSpace(ar.Issuer)]
	s.mu.Unlock()
	if sp == nil {
		return samlRequest{}, errors.New("the service provider is not known")
	}
	if ar, err = m.verified(sp, ar, s.o.Now()); err != nil {
		return samlRequest{}, err
	}
	return s.judge(ar, sp, m.relayState)
}

// judge holds a request whose signature is good to what is registered.
func (s *SAML) judge(ar *authnRequest, sp *serviceProvider, relayState string) (samlRequest, error) {
	age := s.o.Now().Sub(ar.IssueInstant)
	switch {
	case strings.TrimSpace(ar.Issuer) != sp.entityID:
		return samlRequest{}, errors.New("its signed part names another service provider")
	case ar.ID == "" || ar.Version != "2.0":
		return samlRequest{}, errors.New("it has no ID, or is not of version 2.0")
	case age > requestSkew || age < -requestSkew:
		return samlRequest{}, errors.New("it is too old, or of the future")
	case ar.Destination != s.ssoURL():
		return samlRequest{}, errors.New("its Destination is another address")
	case ar.Binding != "" && ar.Binding != saml.HTTPPostBinding:
		return samlRequest{}, errors.New("it wants another binding than HTTP-POST")
	}
	out := samlRequest{
		id: ar.ID, relayState: relayState, sp: sp, force: ar.ForceAuthn, passive: ar.IsPassive,
		contexts: ar.Context.Classes, comparison: ar.Context.Comparison,
	}
	for i, c := range out.contexts {
		out.contexts[i] = strings.TrimSpace(c)
	}
	i := slices.IndexFunc(sp.acs, func(e saml.IndexedEndpoint) bool {
		return (ar.ACSURL == "" || ar.ACSURL == e.Location) && (ar.ACSIndex == nil || *ar.ACSIndex == e.Index)
	})
	if i < 0 {
		return samlRequest{}, errors.New("its AssertionConsumerService is not a registered one")
	}
	out.acs = sp.acs[i].Location
	_, possible := out.context(true)
	switch f := ar.NameIDPolicy.Format; {
	case f != "" && f != formatUnstated && f != string(saml.PersistentNameIDFormat):
		out.status = statusNameIDPolicy
	case !possible || len(ar.Context.Decls) > 0:
		out.status = statusNoAuthnContext
	}
	return out, nil
}

// context is what is stated of a session: the strongest context that it has and
// that was asked for. False: it has none of those.
func (q samlRequest) context(mfa bool) (string, bool) {
	have := []string{ContextPassword}
	if mfa {
		have = []string{ContextTOTP, ContextPassword}
	}
	for _, c := range have {
		if q.accepts(c) {
			return c, true
		}
	}
	return "", false
}

// accepts is the comparison of SAML core 3.3.2.2.1. Classes that the provider
// does not know cannot be compared with.
func (q samlRequest) accepts(context string) bool {
	if len(q.contexts) == 0 {
		return true
	}
	strength := map[string]int{ContextPassword: 1, ContextTOTP: 2}
	asked := func(f func(int) bool) bool {
		return slices.ContainsFunc(q.contexts, func(c string) bool { return strength[c] > 0 && f(strength[c]) })
	}
	switch q.comparison {
	case "", "exact":
		return slices.Contains(q.contexts, context)
	case "minimum":
		return asked(func(n int) bool { return strength[context] >= n })
	case "maximum":
		return asked(func(n int) bool { return strength[context] <= n })
	case "better":
		return asked(func(int) bool { return true }) && !asked(func(n int) bool { return strength[context] <= n })
	}
	return false
}

// message is a request as a binding brought it.
type message struct {
	raw        []byte
	relayState string
	// signed, alg and signature are of the Redirect binding.
	signed, alg string
	signature   []byte
	redirect    bool
}

// redirectMessage takes the parameters apart as they were sent: the signature
// is over exactly that (SAML bindings 3.4.4.1). Each may come once.
func redirectMessage(query string) (message, error) {
	raw, values := map[string]string{}, map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(part, "=")
		if !slices.Contains([]string{"SAMLRequest", "RelayState", "SigAlg", "Signature", "SAMLEncoding"}, k) {
			continue
		}
		plain, err := url.QueryUnescape(v)
		if _, twice := raw[k]; twice || err != nil {
			return message{}, fmt.Errorf("%s is there twice, or broken", k)
		}
		raw[k], values[k] = part, plain
	}
	if e := values["SAMLEncoding"]; e != "" && e != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return message{}, errors.New("its encoding is not DEFLATE")
	}
	m := message{redirect: true, relayState: values["RelayState"], alg: values["SigAlg"], signed: raw["SAMLRequest"]}
	if raw["RelayState"] != "" {
		m.signed += "&" + raw["RelayState"]
	}
	m.signed += "&" + raw["SigAlg"]
	var err1, err2 error
	m.raw, err1 = inflate(values["SAMLRequest"])
	m.signature, err2 = base64.StdEncoding.DecodeString(values["Signature"])
	if err1 != nil || err2 != nil || len(m.raw) == 0 {
		return message{}, errors.New("there is no readable SAMLRequest")
	}
	return m, nil
}

func postMessage(r *http.Request) (message, error) {
	raw, err := base64.StdEncoding.DecodeString(r.PostFormValue("SAMLRequest"))
	if err != nil || len(raw) == 0 || len(raw) > requestLimit {
		return message{}, errors.New("there is no readable SAMLRequest")
	}
	return message{raw: raw, relayState: r.PostFormValue("RelayState")}, nil
}

func inflate(s string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), requestLimit+1))
	if err == nil && len(b) > requestLimit {
		err = errors.New("too large")
	}
	return b, err
}

// parseRequest reads a document of few elements and no directives.
func parseRequest(raw []byte) (*authnRequest, error) {
	broken := errors.New("it is no AuthnRequest")
	d := xml.NewDecoder(bytes.NewReader(raw))
	for nodes := 0; ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, broken
		}
		switch t.(type) {
		case xml.StartElement:
			nodes++
		case xml.Directive:
			return nil, broken
		}
		if nodes > requestNodes {
			return nil, broken
		}
	}
	var ar authnRequest
	if err := xml.Unmarshal(raw, &ar); err != nil {
		return nil, broken
	}
	return &ar, nil
}

// verified returns the request as it was signed. RSA-SHA256 only.
func (m message) verified(sp *serviceProvider, ar *authnRequest, now time.Time) (*authnRequest, error) {
	if !m.redirect {
		return verifyPOST(m.raw, sp, now)
	}
	if m.alg != dsig.RSASHA256SignatureMethod {
		return nil, errors.New("it is not signed with RSA-SHA256")
	}
	sum := sha256.Sum256([]byte(m.signed))
	for _, c := range sp.signing {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], m.signature) == nil {
			return ar, nil
		}
	}
	return nil, errors.New("its signature does not verify")
}

// verifyPOST reads the request from the element that the verifier returns, and
// from nothing else.
func verifyPOST(raw []byte, sp *serviceProvider, now time.Time) (*authnRequest, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil || doc.Root() == nil {
		return nil, errors.New("it is no AuthnRequest")
	}
	for path, alg := range map[string]string{"./Signature/SignedInfo/SignatureMethod": dsig.RSASHA256SignatureMethod, "./Signature/SignedInfo/Reference/DigestMethod": sha256Digest} {
		if el := doc.Root().FindElements(path); len(el) != 1 || el[0].SelectAttrValue("Algorithm", "") != alg {
			return nil, errors.New("it is not signed with RSA-SHA256")
		}
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: sp.signing})
	ctx.Clock = dsig.NewFakeClockAt(now)
	el, err := ctx.Validate(doc.Root())
	if err != nil {
		return nil, errors.New("its signature does not verify")
	}
	signed := etree.NewDocument()
	signed.SetRoot(el.Copy())
	b, err := signed.WriteToBytes()
	if err != nil {
		return nil, errors.New("its signature does not verify")
	}
	return parseRequest(b)
}
