package server_test

import (
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

const (
	portal    = "https://sso.example.com"
	idpEntity = "https://idp.example.com/metadata"
)

// pair is a signing key of an identity provider, made once per run.
type pair struct {
	key  *rsa.PrivateKey
	cert []byte
}

func newPair() pair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return pair{key, cert}
}

var idpKey, evilKey = sync.OnceValue(newPair), sync.OnceValue(newPair)

// keyFiles are the keys of every world, made once per run: RSA keys are slow to
// make.
var keyFiles = sync.OnceValue(func() map[string][]byte {
	dir, err := os.MkdirTemp("", "rolegate-keys")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := issuer.OpenKeys(dir, issuer.OpenOptions{Create: true}); err != nil {
		panic(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			panic(err)
		}
	}
	return out
})

func idpMetadata() string {
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + idpEntity + `"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
		base64.StdEncoding.EncodeToString(idpKey().cert) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso"/></IDPSSODescriptor></EntityDescriptor>`
}

// respond signs an answer about alice to the request with the id.
func respond(t testing.TB, k pair, requestID string, groups int) string {
	t.Helper()
	var values strings.Builder
	for n := range groups {
		fmt.Fprintf(&values, "<saml:AttributeValue>corporate-group-%04d</saml:AttributeValue>", n)
	}
	answers := `InResponseTo="` + requestID + `"`
	if requestID == "" {
		answers = "" // unsolicited
	}
	now := time.Now().UTC()
	at, until, id := now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339), rand.Text()
	acs := portal + "/saml/corp/acs"
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r` + id + `" Version="2.0" IssueInstant="` + at + `" Destination="` + acs + `" ` + answers + `><saml:Issuer>` + idpEntity + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status></samlp:Response>`); err != nil {
		t.Fatal(err)
	}
	in := etree.NewDocument()
	if err := in.ReadFromString(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a` + id + `" Version="2.0" IssueInstant="` + at + `"><saml:Issuer>` + idpEntity + `</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice-0001</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData ` + answers + ` NotOnOrAfter="` + until + `" Recipient="` + acs + `"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="` + at + `" NotOnOrAfter="` + until + `"><saml:AudienceRestriction><saml:Audience>` + portal + `/saml/corp/metadata</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="` + at + `" SessionIndex="s1"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name="username"><saml:AttributeValue>alice</saml:AttributeValue></saml:Attribute><saml:Attribute Name="email"><saml:AttributeValue>alice@example.com</saml:AttributeValue></saml:Attribute><saml:Attribute Name="groups">` + values.String() + `</saml:Attribute></saml:AttributeStatement></saml:Assertion>`); err != nil {
		t.Fatal(err)
	}
	signer, err := dsig.NewSigningContext(k.key, [][]byte{k.cert})
	if err != nil {
		t.Fatal(err)
	}
	signer.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	sig, err := signer.ConstructSignature(in.Root(), true)
	if err != nil {
		t.Fatal(err)
	}
	in.Root().InsertChildAt(1, sig)
	doc.Root().AddChild(in.Root())
	out, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out)
}

// world is a server with a double of STS and of the sign-in endpoint.
type world struct {
	testing.TB
	*server.Server
	config   *config.Config
	source   string // of config
	dir      string
	live     *server.Live // nil: the configuration does not change
	aws      string
	assumed  int // calls of STS
	cookies  map[string]*http.Cookie
	lastBody string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), cookies: map[string]*http.Cookie{}}
	double := httptest.NewServer(http.HandlerFunc(w.double))
	t.Cleanup(double.Close)
	w.aws = double.URL
	var roles []string
	for n := range 20 {
		roles = append(roles, fmt.Sprintf("Role%02d", n))
	}
	var text strings.Builder
	_, bench := t.(*testing.B) // which signs in far more often than people do
	fmt.Fprintf(&text, `public_url: %s
insecure_no_rate_limits: %t
identity_providers:
  - {id: corp, name: Acme, email_domains: [example.com], email_authoritative: true, saml: {metadata_file: idp.xml}, identity: {username: 'claims.username[0]', email: 'claims.email[0]', groups: claims.groups}}
  - {id: other, name: Elsewhere, saml: {metadata_url: "https://127.0.0.1:1/metadata"}, identity: {groups: claims.groups}}
accounts:
  - {id: "111122223333", name: prod}
rules:
  - {name: everyone, groups: [corporate-group-0000], accounts: [prod], roles: [%s]}
role_session: {name: identity.email, source_identity: identity.username}
insecure_aws_endpoints: {sts: %q, signin: %q}
roles:
`, portal, bench, strings.Join(roles, ", "), w.aws, w.aws)
	for _, role := range roles {
		fmt.Fprintf(&text, "  - {name: %s, iam_role: Rolegate%[1]s}\n", role)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "idp.xml"), []byte(idpMetadata()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.source = text.String()
	if err := os.Mkdir(filepath.Join(w.dir, "certs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range keyFiles() {
		if err := os.WriteFile(filepath.Join(w.dir, "certs", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if w.config, err = config.Parse(filepath.Join(w.dir, "rolegate.yaml"), []byte(text.String()), func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	w.start()
	return w
}

// start wires a server on the world's folder, as the first start and every
// later one do.
func (w *world) start() {
	w.Helper()
	s, err := server.New(w.Context(), w.config, server.Options{Logger: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = s.Close() })
	w.Server = s
	if err := s.SAML["corp"].Refresh(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// double answers AssumeRoleWithSAML for what the assertion says, and
// getSigninToken.
func (w *world) double(rw http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if r.PostForm.Get("Action") == "getSigninToken" {
		fmt.Fprint(rw, `{"SigninToken":"planted-signin-token"}`)
		return
	}
	w.assumed++
	raw, _ := base64.StdEncoding.DecodeString(r.PostForm.Get("SAMLAssertion"))
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		w.Error(err)
	}
	name := doc.FindElement("//Attribute[@Name='https://aws.amazon.com/SAML/Attributes/RoleSessionName']/AttributeValue")
	if name == nil {
		w.Errorf("no RoleSessionName in %q", raw)
		return
	}
	role := strings.Replace(strings.Replace(r.PostForm.Get("RoleArn"), ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1)
	rw.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(rw, `<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithSAMLResult><AssumedRoleUser><Arn>%s/%s</Arn><AssumedRoleId>AROAX:%[2]s</AssumedRoleId></AssumedRoleUser><Credentials><AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId><SecretAccessKey>planted-secret</SecretAccessKey><SessionToken>planted-token</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithSAMLResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></AssumeRoleWithSAMLResponse>`,
		role, name.Text(), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// do sends a request with the browser's cookies and keeps those that come.
func (w *world) do(method, path string, form url.Values) *http.Response {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, portal+path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if !strings.HasPrefix(path, "/saml/") {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.handler().ServeHTTP(rec, r)
	resp := rec.Result()
	for _, c := range resp.Cookies() {
		w.cookies[c.Name] = c
	}
	w.lastBody = rec.Body.String()
	return resp
}

// handler is the live one if there is one.
func (w *world) handler() http.Handler {
	if w.live != nil {
		return w.live
	}
	return w.Handler
}

// begin starts a sign-in and returns the request's id and RelayState.
func (w *world) begin() (id, relay string) {
	w.Helper()
	resp := w.do(http.MethodGet, "/signin/corp", nil)
	u, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		w.Fatalf("status %d %v\n%s", resp.StatusCode, err, w.lastBody)
	}
	zipped, err := base64.StdEncoding.DecodeString(u.Query().Get("SAMLRequest"))
	if err != nil {
		w.Fatal(err)
	}
	plain, err := io.ReadAll(flate.NewReader(strings.NewReader(string(zipped))))
	if err != nil {
		w.Fatal(err)
	}
	var request struct {
		ID string `xml:"ID,attr"`
	}
	if err := xml.Unmarshal(plain, &request); err != nil || request.ID == "" {
		w.Fatalf("%v in %s", err, plain)
	}
	return request.ID, u.Query().Get("RelayState")
}

// finish posts an answer signed by k.
func (w *world) finish(k pair, id, relay string) *http.Response {
	w.Helper()
	return w.do(http.MethodPost, "/saml/corp/acs", url.Values{"SAMLResponse": {respond(w, k, id, 20)}, "RelayState": {relay}})
}

func (w *world) signIn() {
	w.Helper()
	id, relay := w.begin()
	if resp := w.finish(idpKey(), id, relay); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		w.Fatalf("status %d to %q\n%s", resp.StatusCode, resp.Header.Get("Location"), w.lastBody)
	}
}

var assignmentField = regexp.MustCompile(`name="assignment" value="([^"]+)"`)

// assignment returns the first one on the portal's page.
func (w *world) assignment() string {
	w.Helper()
	if resp := w.do(http.MethodGet, "/", nil); resp.StatusCode != http.StatusOK {
		w.Fatalf("status %d\n%s", resp.StatusCode, w.lastBody)
	}
	m := assignmentField.FindStringSubmatch(w.lastBody)
	if m == nil {
		w.Fatalf("no assignment on\n%s", w.lastBody)
	}
	return m[1]
}

func (w *world) console(assignment string) *http.Response {
	w.Helper()
	return w.do(http.MethodPost, "/console", url.Values{"assignment": {assignment}})
}
