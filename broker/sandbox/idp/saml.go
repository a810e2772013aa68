package idp

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
)

// The contexts that the demo's SAML provider vouches for.
const (
	ContextPassword = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport" //nolint:gosec // G101: a URN
	ContextTOTP     = "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"
)

const (
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsDSig      = "http://www.w3.org/2000/09/xmldsig#"
)

// Signing says which elements of a response are signed.
type Signing int

// What a provider signs.
const (
	SignBoth Signing = iota
	SignAssertion
	SignResponse
)

// SAMLOptions of a SAML provider.
type SAMLOptions struct {
	BaseURL  string // http://localhost:PORT
	EntityID string // BaseURL/metadata if empty
	People   []Person
	Now      func() time.Time
	Sign     Signing
	// Encrypt puts assertions under the key that a service provider's metadata
	// gives for encryption; one that gives none cannot be registered then.
	Encrypt Encryption
}

// SAML is a SAML 2.0 identity provider: web browser SSO with requests over
// HTTP-Redirect and HTTP-POST, signed ones only, and responses over HTTP-POST.
type SAML struct {
	o     SAMLOptions
	key   *rsa.PrivateKey
	cert  *x509.Certificate
	login *login

	mu     sync.Mutex
	sps    map[string]*serviceProvider
	tamper func(*etree.Element, func(*etree.Element))
}

// NewSAML returns a provider with a key of its own.
func NewSAML(o SAMLOptions) (*SAML, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if origin(o.BaseURL) == "" {
		return nil, fmt.Errorf("idp: base URL %q is not http", o.BaseURL)
	}
	if o.EntityID == "" {
		o.EntityID = o.BaseURL + "/metadata"
	}
	if err := o.Encrypt.valid(); err != nil {
		return nil, err
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
	s := &SAML{o: o, key: key, cert: cert, sps: map[string]*serviceProvider{}}
	if s.login, err = newLogin(o.People, o.Now, "demo_saml_session", "Acme SAML"); err != nil {
		return nil, err
	}
	return s, nil
}

// SetTamper lets a test change responses that carry an assertion: f gets the
// response before anything is signed or encrypted, and a function that signs an
// element of it. Nothing else is done to it then. Nil ends it.
func (s *SAML) SetTamper(f func(response *etree.Element, sign func(el *etree.Element))) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tamper = f
}

// Metadata is the provider's metadata (saml-metadata-2.0).
func (s *SAML) Metadata() []byte {
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	d := doc.CreateElement("EntityDescriptor")
	set(d, "xmlns", nsMetadata, "entityID", s.o.EntityID)
	idp := d.CreateElement("IDPSSODescriptor")
	set(idp, "WantAuthnRequestsSigned", "true", "protocolSupportEnumeration", nsProtocol)
	k := idp.CreateElement("KeyDescriptor")
	set(k, "use", "signing")
	info := k.CreateElement("KeyInfo")
	set(info, "xmlns", nsDSig)
	info.CreateElement("X509Data").CreateElement("X509Certificate").SetText(base64.StdEncoding.EncodeToString(s.cert.Raw))
	idp.CreateElement("NameIDFormat").SetText(string(saml.PersistentNameIDFormat))
	for _, binding := range []string{saml.HTTPRedirectBinding, saml.HTTPPostBinding} {
		set(idp.CreateElement("SingleSignOnService"), "Binding", binding, "Location", s.ssoURL())
	}
	out, err := doc.WriteToBytes()
	if err != nil {
		return nil // a buffer takes everything
	}
	return out
}

func (s *SAML) ssoURL() string { return s.o.BaseURL + "/sso" }

// RegisterSP makes a service provider known by its metadata, in the place of
// what was known of it.
func (s *SAML) RegisterSP(metadata []byte) error {
	sp, err := readServiceProvider(metadata)
	if err != nil {
		return err
	}
	if s.o.Encrypt != "" && sp.encryption == nil {
		return errors.New("idp: the metadata has no RSA key for encryption")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sps[sp.entityID] = sp
	return nil
}

// Handler serves metadata, sign-on and the login pages.
func (s *SAML) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/samlmetadata+xml")
		_, _ = w.Write(s.Metadata()) // the client went away: nobody to tell
	})
	mux.HandleFunc("GET /sso", s.sso)
	mux.HandleFunc("POST /sso", s.sso)
	s.login.mount(mux)
	return mux
}

func (s *SAML) sso(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 2*requestLimit) // base64 and form encoding on top
	req, err := s.read(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "The request of the service provider is not acceptable: "+err.Error()+".")
		return
	}
	if req.status != "" {
		s.answer(w, req, nil)
		return
	}
	cur := s.login.current(r)
	if cur != nil && !req.force {
		if _, ok := req.context(cur.mfa); ok {
			s.answer(w, req, cur)
			return
		}
	}
	if req.passive {
		req.status = statusWouldAsk
		s.answer(w, req, nil)
		return
	}
	_, enough := req.context(false)
	s.login.ask(w, &flight{wanted: !enough, resume: func(w http.ResponseWriter, cur *session) { s.answer(w, req, cur) }})
}

// answer sends the browser back with a response: about the session, or with the
// request's status where there is none.
func (s *SAML) answer(w http.ResponseWriter, req samlRequest, cur *session) {
	heading := "You are signed in"
	var context string
	if cur != nil {
		var ok bool
		if context, ok = req.context(cur.mfa); !ok {
			req.status = statusNoAuthnContext
		}
	}
	if req.status != "" {
		heading = "You cannot be signed in as the service wants it"
	}
	raw, err := s.response(req, cur, context)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "The response could not be made.")
		return
	}
	render(w, http.StatusOK, "post.html", origin(req.acs), map[string]string{
		"Heading": heading, "Action": req.acs, "Response": base64.StdEncoding.EncodeToString(raw), "RelayState": req.relayState,
	})
}
