package idp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"

	"github.com/rolegate/rolegate/broker/sandbox/idp"
)

// site is a service provider of crewjam's, and a browser at the provider.
type site struct {
	saml.ServiceProvider
	base   string
	people []idp.Person
	client *http.Client
}

func newSite(t *testing.T, o idp.SAMLOptions) *site {
	t.Helper()
	var h http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	o.BaseURL, o.People = server.URL, idp.DemoPeople()
	p, err := idp.NewSAML(o)
	if err != nil {
		t.Fatal(err)
	}
	h = p.Handler()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{base: server.URL, people: o.People}
	var md saml.EntityDescriptor
	if err := xml.Unmarshal(p.Metadata(), &md); err != nil {
		t.Fatal(err)
	}
	s.ServiceProvider = saml.ServiceProvider{
		EntityID: "https://sp.example.com", Key: key, Certificate: cert, AcsURL: url.URL{Scheme: "https", Host: "sp.example.com", Path: "/acs"},
		IDPMetadata: &md, SignatureMethod: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", AuthnNameIDFormat: saml.PersistentNameIDFormat,
	}
	own, err := xml.Marshal(s.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.RegisterSP(own); err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Jar: jar}
	return s
}

var responsePattern = regexp.MustCompile(`name="SAMLResponse" value="([^"]+)"`)

func (s *site) page(t *testing.T, resp *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.ReplaceAll(string(b), "&#43;", "+")
}

// send signs the request, sends it over the binding, and returns its ID.
func (s *site) send(t *testing.T, binding string, change func(*saml.AuthnRequest)) (id string, status int, page string) {
	t.Helper()
	req, err := s.MakeAuthenticationRequest(s.base+"/sso", binding, saml.HTTPPostBinding)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	if binding == saml.HTTPRedirectBinding {
		u, err := req.Redirect("rs", &s.ServiceProvider)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.client.Get(s.base + "/sso?" + u.RawQuery)
		status, page = s.page(t, resp, err)
		return req.ID, status, page
	}
	doc := etree.NewDocument()
	req.Signature = nil
	if err := s.SignAuthnRequest(req); err != nil {
		t.Fatal(err)
	}
	doc.SetRoot(req.Element())
	b, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	status, page = s.post(t, b)
	return req.ID, status, page
}

func (s *site) post(t *testing.T, request []byte) (int, string) {
	t.Helper()
	resp, err := s.client.PostForm(s.base+"/sso", url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(request)}, "RelayState": {"rs"}})
	return s.page(t, resp, err)
}

// TestPOSTBinding ensures that a signed request over HTTP-POST is taken, and an
// unsigned or changed one is not.
func TestPOSTBinding(t *testing.T) {
	s := newSite(t, idp.SAMLOptions{})
	if _, status, page := s.send(t, saml.HTTPPostBinding, nil); status != http.StatusOK || !strings.Contains(page, `name="password"`) {
		t.Errorf("signed: %d %s", status, page)
	}
	req, err := s.MakeAuthenticationRequest(s.base+"/sso", saml.HTTPPostBinding, saml.HTTPPostBinding)
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	doc.SetRoot(req.Element())
	doc.Root().CreateAttr("ForceAuthn", "true")
	changed, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := s.post(t, changed); status != http.StatusBadRequest {
		t.Errorf("changed: status %d", status)
	}
	for _, el := range doc.Root().SelectElements("Signature") {
		doc.Root().RemoveChild(el)
	}
	unsigned, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := s.post(t, unsigned); status != http.StatusBadRequest {
		t.Errorf("unsigned: status %d", status)
	}
}

// signIn goes through the pages, with alice's code if she has to give one.
func (s *site) signIn(t *testing.T, page, username, password string) (int, string) {
	t.Helper()
	id := flight(t, page)
	resp, err := s.client.PostForm(s.base+"/login", url.Values{"id": {id}, "username": {username}, "password": {password}})
	status, page := s.page(t, resp, err)
	if strings.Contains(page, `name="code"`) {
		resp, err = s.client.PostForm(s.base+"/totp", url.Values{"id": {id}, "code": {s.people[0].Code(time.Now())}})
		status, page = s.page(t, resp, err)
	}
	return status, page
}

func raw(t *testing.T, page string) []byte {
	t.Helper()
	m := responsePattern.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no response in %s", page)
	}
	b, err := base64.StdEncoding.DecodeString(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSAMLSignIn ensures that crewjam's service provider takes the responses in
// every form of signing, and encrypted. It cannot decrypt AES-256-GCM.
func TestSAMLSignIn(t *testing.T) {
	tests := map[string]struct {
		options       idp.SAMLOptions
		user, context string
	}{
		"password":    {idp.SAMLOptions{}, "bob", idp.ContextPassword},
		"TOTP":        {idp.SAMLOptions{}, "alice", idp.ContextTOTP},
		"assertion":   {idp.SAMLOptions{Sign: idp.SignAssertion}, "bob", idp.ContextPassword},
		"response":    {idp.SAMLOptions{Sign: idp.SignResponse}, "bob", idp.ContextPassword},
		"AES-128-GCM": {idp.SAMLOptions{Encrypt: idp.EncryptAES128GCM}, "bob", idp.ContextPassword},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.options)
			id, status, page := s.send(t, saml.HTTPRedirectBinding, nil)
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, page)
			}
			_, page = s.signIn(t, page, tt.user, tt.user+"-demo")
			a, err := s.ParseXMLResponse(raw(t, page), []string{id}, s.AcsURL)
			if err != nil {
				t.Fatal(err.(*saml.InvalidResponseError).PrivateErr) //nolint:errorlint,forcetypeassert // crewjam returns it bare
			}
			if got := a.AuthnStatements[0].AuthnContext.AuthnContextClassRef.Value; got != tt.context || a.Subject.NameID.Value == tt.user {
				t.Errorf("context %s, subject %s", got, a.Subject.NameID.Value)
			}
			if !strings.Contains(page, `name="RelayState" value="rs"`) {
				t.Error("the relay state is lost")
			}
		})
	}
}

// TestRequestRefusals ensures that a request which is unsigned, changed or for
// another address is shown an error and no sign-in.
func TestRequestRefusals(t *testing.T) {
	s := newSite(t, idp.SAMLOptions{})
	req, err := s.MakeAuthenticationRequest(s.base+"/sso", saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		t.Fatal(err)
	}
	good, err := req.Redirect("rs", &s.ServiceProvider)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(url.Values){
		"unsigned":            func(q url.Values) { q.Del("Signature"); q.Del("SigAlg") },
		"another relay state": func(q url.Values) { q.Set("RelayState", "x") },
		"no relay state":      func(q url.Values) { q.Del("RelayState") },
		"SHA-1":               func(q url.Values) { q.Set("SigAlg", "http://www.w3.org/2000/09/xmldsig#rsa-sha1") },
	} {
		q := good.Query()
		change(q)
		resp, err := s.client.Get(s.base + "/sso?" + q.Encode())
		if status, page := s.page(t, resp, err); status != http.StatusBadRequest || strings.Contains(page, "password") {
			t.Errorf("%s: status %d", name, status)
		}
	}
	for name, change := range map[string]func(*saml.AuthnRequest){
		"another Destination": func(r *saml.AuthnRequest) { r.Destination = "https://other.example" },
		"another ACS":         func(r *saml.AuthnRequest) { r.AssertionConsumerServiceURL = "https://evil.example/acs" },
		"old":                 func(r *saml.AuthnRequest) { r.IssueInstant = r.IssueInstant.Add(-10 * time.Minute) },
		"version":             func(r *saml.AuthnRequest) { r.Version = "1.1" },
		"unknown service":     func(r *saml.AuthnRequest) { r.Issuer.Value = "https://nobody.example" },
	} {
		if _, status, _ := s.send(t, saml.HTTPRedirectBinding, change); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
}

// TestRequestWishes ensures what IsPassive, ForceAuthn, NameIDPolicy and
// RequestedAuthnContext do before and after a sign-in with a password.
func TestRequestWishes(t *testing.T) {
	s := newSite(t, idp.SAMLOptions{})
	yes := true
	context := func(comparison, class string) func(*saml.AuthnRequest) {
		return func(r *saml.AuthnRequest) {
			r.RequestedAuthnContext = &saml.RequestedAuthnContext{Comparison: comparison, AuthnContextClassRef: class}
		}
	}
	passive := func(r *saml.AuthnRequest) { r.IsPassive = &yes }
	force := func(r *saml.AuthnRequest) { r.ForceAuthn = &yes }
	email := string(saml.EmailAddressNameIDFormat)
	steps := []struct {
		name, want string
		change     func(*saml.AuthnRequest)
	}{
		{"passive without a session", "status:NoPassive", passive},
		{"NameID of another format", "status:InvalidNameIDPolicy", func(r *saml.AuthnRequest) { r.NameIDPolicy.Format = &email }},
		{"a context nobody has", "status:NoAuthnContext", context("exact", "urn:x")},
		{"none", "password", nil},
		{"passive with a session", "status:Success", passive},
		{"again", "status:Success", nil},
		{"force", "password", force},
		{"exact password", "status:Success", context("exact", idp.ContextPassword)},
		{"minimum password", "status:Success", context("minimum", idp.ContextPassword)},
		{"exact TOTP", "password", context("exact", idp.ContextTOTP)},
		{"minimum TOTP", "password", context("minimum", idp.ContextTOTP)},
		{"better than password", "password", context("better", idp.ContextPassword)},
	}
	for _, st := range steps {
		_, status, page := s.send(t, saml.HTTPRedirectBinding, st.change)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", st.name, status, page)
		}
		if st.want == "password" {
			if !strings.Contains(page, `name="password"`) {
				t.Errorf("%s: not asked", st.name)
			}
			if st.name == "none" {
				s.signIn(t, page, "bob", "bob-demo")
			}
			continue
		}
		if got := string(raw(t, page)); !strings.Contains(got, st.want) || strings.Contains(got, "<saml:Assertion") != (st.want == "status:Success") {
			t.Errorf("%s: %s", st.name, got)
		}
	}
	// bob has no second factor: the service learns that, and gets no assertion.
	_, _, page := s.send(t, saml.HTTPRedirectBinding, context("exact", idp.ContextTOTP))
	_, page = s.signIn(t, page, "bob", "bob-demo")
	if got := string(raw(t, page)); !strings.Contains(got, "status:NoAuthnContext") || strings.Contains(got, "<saml:Assertion") {
		t.Error(got)
	}
}
