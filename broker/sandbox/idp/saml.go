package idp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// The contexts that the demo's SAML provider vouches for.
const (
	ContextPassword = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport" //nolint:gosec // G101: a URN
	ContextTOTP     = "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"
)

const requestLimit = 64 << 10

// SAMLOptions of a SAML provider.
type SAMLOptions struct {
	BaseURL string // http://localhost:PORT
	People  []Person
	Now     func() time.Time
}

// SAML is a SAML 2.0 identity provider.
type SAML struct {
	o     SAMLOptions
	key   *rsa.PrivateKey
	cert  *x509.Certificate
	login *login

	mu       sync.Mutex
	sps      map[string]*saml.EntityDescriptor
	requests map[string]samlRequest
	tamper   func(*etree.Element, func(*etree.Element))
}

// samlRequest is an AuthnRequest that waits for its person.
type samlRequest struct {
	id, sp, acs, relayState string
	contexts                []string
	force                   bool
	at                      time.Time
}

// NewSAML returns a provider with a key of its own.
func NewSAML(o SAMLOptions) (*SAML, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "demo SAML"}, NotBefore: o.Now().Add(-time.Hour), NotAfter: o.Now().Add(30 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	s := &SAML{o: o, key: key, cert: cert, sps: map[string]*saml.EntityDescriptor{}, requests: map[string]samlRequest{}}
	s.login = newLogin(newDirectory(o.People, o.Now), "demo_saml_session", "Acme SAML", s.answer)
	return s, nil
}

// SetTamper lets a test change responses: f gets the unsigned response and a
// function that signs an element of it. Nil ends it.
func (s *SAML) SetTamper(f func(response *etree.Element, sign func(el *etree.Element))) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tamper = f
}

func (s *SAML) entityID() string { return s.o.BaseURL + "/metadata" }

// Metadata is the provider's metadata.
func (s *SAML) Metadata() []byte {
	return []byte(`<?xml version="1.0" encoding="UTF-8"?>
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + s.entityID() + `"><IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
		base64.StdEncoding.EncodeToString(s.cert.Raw) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor><NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</NameIDFormat>` +
		`<SingleSignOnService Binding="` + saml.HTTPRedirectBinding + `" Location="` + s.o.BaseURL + `/sso"/><SingleSignOnService Binding="` + saml.HTTPPostBinding + `" Location="` + s.o.BaseURL + `/sso"/></IDPSSODescriptor></EntityDescriptor>`)
}

// RegisterSP makes a service provider known by its metadata.
func (s *SAML) RegisterSP(metadata []byte) error {
	var d saml.EntityDescriptor
	if err := xml.Unmarshal(metadata, &d); err != nil {
		return fmt.Errorf("idp: metadata: %w", err)
	}
	if d.EntityID == "" || len(d.SPSSODescriptors) != 1 || len(d.SPSSODescriptors[0].AssertionConsumerServices) == 0 {
		return errors.New("idp: the metadata is not of one service provider")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sps[d.EntityID] = &d
	return nil
}

// Handler serves metadata, sign-on and the login pages.
func (s *SAML) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write(s.Metadata()) // the client went away: nobody to tell
	})
	mux.HandleFunc("/sso", s.sso)
	s.login.mount(mux)
	return mux
}

func (s *SAML) sso(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, requestLimit)
	req, err := s.read(r)
	if err != nil {
		render(w, http.StatusBadRequest, "error.html", "'none'", "The request of the service provider is not acceptable: "+err.Error())
		return
	}
	id := rand.Text()
	s.mu.Lock()
	s.requests[id] = req
	s.mu.Unlock()
	wanted := slices.Contains(req.contexts, ContextTOTP)
	if cur := s.login.current(r); cur != nil && !req.force && (!wanted || cur.mfa) {
		s.answer(w, r, id, cur)
		return
	}
	s.login.ask(w, id, wanted)
}

// read verifies an AuthnRequest of either binding.
func (s *SAML) read(r *http.Request) (samlRequest, error) {
	var raw []byte
	var err error
	post := r.Method == http.MethodPost
	if post {
		raw, err = base64.StdEncoding.DecodeString(r.PostFormValue("SAMLRequest"))
	} else {
		raw, err = inflate(r.URL.Query().Get("SAMLRequest"))
	}
	if err != nil || len(raw) == 0 {
		return samlRequest{}, errors.New("no readable SAMLRequest")
	}
	var ar saml.AuthnRequest
	if err := xml.Unmarshal(raw, &ar); err != nil || ar.Issuer == nil {
		return samlRequest{}, errors.New("no AuthnRequest")
	}
	s.mu.Lock()
	sp := s.sps[ar.Issuer.Value]
	s.mu.Unlock()
	if sp == nil {
		return samlRequest{}, errors.New("the service provider is not known")
	}
	d := sp.SPSSODescriptors[0]
	if post {
		err = verifyPOST(raw, d)
	} else {
		err = verifyRedirect(r.URL.RawQuery, d)
	}
	if err != nil && d.AuthnRequestsSigned != nil && *d.AuthnRequestsSigned {
		return samlRequest{}, err
	}
	acs := d.AssertionConsumerServices[0].Location
	if ar.AssertionConsumerServiceURL != "" && ar.AssertionConsumerServiceURL != acs || ar.Destination != s.o.BaseURL+"/sso" || ar.ID == "" {
		return samlRequest{}, errors.New("its addresses are not the registered ones")
	}
	out := samlRequest{id: ar.ID, sp: sp.EntityID, acs: acs, relayState: r.FormValue("RelayState"), at: s.o.Now(), force: ar.ForceAuthn != nil && *ar.ForceAuthn}
	doc := etree.NewDocument()
	if doc.ReadFromBytes(raw) == nil {
		for _, c := range doc.FindElements("//RequestedAuthnContext/AuthnContextClassRef") {
			out.contexts = append(out.contexts, strings.TrimSpace(c.Text()))
		}
	}
	return out, nil
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

func signingCertificates(d saml.SPSSODescriptor) []*x509.Certificate {
	var out []*x509.Certificate
	for _, k := range d.KeyDescriptors {
		for _, x := range k.KeyInfo.X509Data.X509Certificates {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(x.Data), ""))
			if err != nil || k.Use == "encryption" {
				continue
			}
			if c, err := x509.ParseCertificate(der); err == nil {
				out = append(out, c)
			}
		}
	}
	return out
}

// verifyRedirect checks the query signature over the parameters as they were
// sent (SAML bindings 3.4.4.1).
func verifyRedirect(query string, d saml.SPSSODescriptor) error {
	parts := map[string]string{}
	for p := range strings.SplitSeq(query, "&") {
		k, _, _ := strings.Cut(p, "=")
		parts[k] = p
	}
	signed := parts["SAMLRequest"]
	if parts["RelayState"] != "" {
		signed += "&" + parts["RelayState"]
	}
	signed += "&" + parts["SigAlg"]
	value := func(k string) string {
		v, err := url.QueryUnescape(strings.TrimPrefix(parts[k], k+"="))
		if err != nil {
			return ""
		}
		return v
	}
	sig, err := base64.StdEncoding.DecodeString(value("Signature"))
	if err != nil || value("SigAlg") != dsig.RSASHA256SignatureMethod {
		return errors.New("it is not signed with RSA-SHA256")
	}
	sum := sha256.Sum256([]byte(signed))
	for _, c := range signingCertificates(d) {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil {
			return nil
		}
	}
	return errors.New("its signature does not verify")
}

func verifyPOST(raw []byte, d saml.SPSSODescriptor) error {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return err
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: signingCertificates(d)})
	if _, err := ctx.Validate(doc.Root()); err != nil {
		return errors.New("its signature does not verify")
	}
	return nil
}

// answer sends the browser back with a response to the waiting request.
func (s *SAML) answer(w http.ResponseWriter, _ *http.Request, id string, sess *session) {
	s.mu.Lock()
	req, ok := s.requests[id]
	delete(s.requests, id)
	tamper := s.tamper
	s.mu.Unlock()
	if !ok || s.o.Now().Sub(req.at) > 10*time.Minute {
		render(w, http.StatusBadRequest, "error.html", "'none'", "This sign-in is over. Start again at the service.")
		return
	}
	context := ContextPassword
	if sess.mfa {
		context = ContextTOTP
	}
	refused := len(req.contexts) > 0 && !slices.Contains(req.contexts, context)
	raw, err := s.response(req, sess, context, refused, tamper)
	if err != nil {
		render(w, http.StatusInternalServerError, "error.html", "'none'", "The response could not be made.")
		return
	}
	u, err := url.Parse(req.acs)
	if err != nil {
		render(w, http.StatusInternalServerError, "error.html", "'none'", "The service's address is broken.")
		return
	}
	render(w, http.StatusOK, "post.html", u.Scheme+"://"+u.Host, map[string]string{
		"Action": req.acs, "Response": base64.StdEncoding.EncodeToString(raw), "RelayState": req.relayState,
	})
}

func (s *SAML) response(req samlRequest, sess *session, context string, refused bool, tamper func(*etree.Element, func(*etree.Element))) ([]byte, error) {
	now := s.o.Now().UTC()
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
	doc := etree.NewDocument()
	r := doc.CreateElement("samlp:Response")
	set(r, "xmlns:samlp", "urn:oasis:names:tc:SAML:2.0:protocol", "xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion",
		"ID", newID(), "Version", "2.0", "IssueInstant", at(now), "Destination", req.acs, "InResponseTo", req.id)
	r.CreateElement("saml:Issuer").SetText(s.entityID())
	code := r.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
	if refused {
		set(code, "Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		set(code.CreateElement("samlp:StatusCode"), "Value", "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext")
		return doc.WriteToBytes()
	}
	set(code, "Value", saml.StatusSuccess)
	a := r.CreateElement("saml:Assertion")
	set(a, "xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion", "ID", newID(), "Version", "2.0", "IssueInstant", at(now))
	a.CreateElement("saml:Issuer").SetText(s.entityID())
	sub := a.CreateElement("saml:Subject")
	name := sub.CreateElement("saml:NameID")
	set(name, "Format", string(saml.PersistentNameIDFormat))
	name.SetText(sess.person.subject())
	conf := sub.CreateElement("saml:SubjectConfirmation")
	set(conf, "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	end := at(now.Add(5 * time.Minute))
	set(conf.CreateElement("saml:SubjectConfirmationData"), "InResponseTo", req.id, "NotOnOrAfter", end, "Recipient", req.acs)
	cond := a.CreateElement("saml:Conditions")
	set(cond, "NotBefore", at(now.Add(-time.Minute)), "NotOnOrAfter", end)
	cond.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText(req.sp)
	st := a.CreateElement("saml:AuthnStatement")
	set(st, "AuthnInstant", at(sess.at), "SessionIndex", "s-"+sess.id)
	st.CreateElement("saml:AuthnContext").CreateElement("saml:AuthnContextClassRef").SetText(context)
	as := a.CreateElement("saml:AttributeStatement")
	attribute(as, "username", sess.person.Username)
	attribute(as, "email", sess.person.Email)
	attribute(as, "name", sess.person.Name)
	attribute(as, "groups", sess.person.Groups...)
	for k, v := range sess.person.Attributes {
		attribute(as, k, v...)
	}
	if tamper != nil {
		tamper(r, func(el *etree.Element) { _ = s.sign(el) }) // the test sees an unsigned element
		return doc.WriteToBytes()
	}
	if err := errors.Join(s.sign(a), s.sign(r)); err != nil {
		return nil, err
	}
	return doc.WriteToBytes()
}

func set(el *etree.Element, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		el.CreateAttr(pairs[i], pairs[i+1])
	}
}

func attribute(st *etree.Element, name string, values ...string) {
	at := st.CreateElement("saml:Attribute")
	set(at, "Name", name, "NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:basic")
	for _, v := range values {
		at.CreateElement("saml:AttributeValue").SetText(v)
	}
}

func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand does not fail (Go 1.24)
	return "_" + hex.EncodeToString(b)
}

// sign puts an enveloped RSA-SHA256 signature behind the element's Issuer.
func (s *SAML) sign(el *etree.Element) error {
	ctx, err := dsig.NewSigningContext(s.key, [][]byte{s.cert.Raw})
	if err != nil {
		return fmt.Errorf("idp: sign: %w", err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	sig, err := ctx.ConstructSignature(el.Copy(), true)
	if err != nil {
		return fmt.Errorf("idp: sign: %w", err)
	}
	el.InsertChildAt(el.FindElement("./Issuer").Index()+1, sig)
	return nil
}
