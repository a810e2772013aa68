package e2e_test

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/outbound"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// peerAddress is where the peers' own configuration expects rolegate.
const peerAddress = "localhost:18301"

// peerSecret is the client secret that every OpenID peer knows of rolegate.
const peerSecret = "only-for-tests-broker-secret-0123456789"

const peerConfig = `
public_url: http://localhost:18301
identity_providers:
  - id: ssp
    name: SimpleSAMLphp
    email_domains: [example.org]
    email_authoritative: true
    saml: {%s}
    identity: {username: 'claims.uid[0]', email: 'claims.mail[0]', groups: 'claims.groups'}
    groups_absent: none
    mfa: {authn_context: ['urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken']}
  - id: panva
    name: oidc-provider
    oidc: {issuer: "http://localhost:18102", client_id: broker, client_secret: "env:PANVA", scopes: [openid, profile, email, groups], userinfo: true, insecure_http: true}
    identity: {username: 'claims.preferred_username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
    mfa: {amr: [mfa, [pwd, otp]]}
accounts:
  - {id: "111111111111", name: prod}
  - {id: "333333333333", name: dev}
roles:
  - {name: admin, iam_role: RolegateAdmin, require: {mfa: true}}
  - {name: readonly, iam_role: RolegateReadOnly}
rules:
  - {name: by convention, pattern: '^aws-(?P<account>[a-z]+)-(?P<role>[a-z]+)$'}
  - {name: look, groups: [aws-prod-admin], accounts: [prod], roles: [readonly]}
role_session: {source_identity: 'identity.username'}
insecure_aws_endpoints: {sts: %q, signin: %q, console: %q}
`

// peerRig is rolegate on the address the peers know, with the AWS double.
type peerRig struct {
	console string
	url     string
	server  *server.Server
}

func newPeerRig(t *testing.T, saml string) *peerRig {
	t.Helper()
	return newRig(t, peerAddress, func(_, sts, signIn, console string) []byte {
		return fmt.Appendf(nil, peerConfig, saml, sts, signIn, console)
	})
}

// newRig starts rolegate on an address of localhost, port 0 being any, with the
// configuration that write makes for the addresses of rolegate and the double.
func newRig(t *testing.T, address string, write func(self, sts, signIn, console string) []byte) *peerRig {
	t.Helper()
	return newRigNear(t, address, nearby{}, write)
}

// nearby is what a rig has that is not on the network: names of its own, and
// another AWS.
type nearby struct {
	dial  map[string]string // host name to ADDRESS:PORT
	roots *x509.CertPool    // nil: the system's
	world []byte            // of the double; nil: the sandbox's
}

func newRigNear(t *testing.T, address string, n nearby, write func(self, sts, signIn, console string) []byte) *peerRig {
	t.Helper()
	var double *aws.AWS
	lazy := func(h func() http.Handler) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h().ServeHTTP(w, r) }))
		t.Cleanup(s.Close)
		return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	}
	sts, signIn := lazy(func() http.Handler { return double.STS() }), lazy(func() http.Handler { return double.SignIn() })
	console := lazy(func() http.Handler { return double.Console() })
	double, err := aws.New(aws.Options{
		SignInURL: signIn, ConsoleURL: console, World: n.world, HTTP: outbound.New(outbound.Options{DialMap: n.dial, Roots: n.roots}),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", strings.Replace(address, "localhost", "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	self := "http://" + strings.Replace(l.Addr().String(), "127.0.0.1", "localhost", 1)
	c, err := config.Parse(filepath.Join(t.TempDir(), "rolegate.yaml"), write(self, sts, signIn, console),
		func(string) string { return peerSecret })
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), c, server.Options{Logger: testLogger(t), DialMap: n.dial, Roots: n.roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ours, err := s.Issuer.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if err := double.PutSAMLMetadata("rolegate", ours); err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: s.Handler}
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() { _ = web.Close() })
	return &peerRig{console: console, url: self, server: s}
}

func newFormBrowser(t *testing.T) *formbrowser.Browser {
	t.Helper()
	b, err := formbrowser.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must(t *testing.T, b *formbrowser.Browser, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\nat %v (%d)\n%.3000s", err, b.URL, b.Status, b.Body)
	}
}

// toConsole clicks the console button of a role and wants to be that session.
func (p *peerRig) toConsole(t *testing.T, b *formbrowser.Browser, account, role, want string) {
	t.Helper()
	if b.Status != http.StatusOK || b.URL.Path != "/" || "http://"+b.URL.Host != p.url {
		t.Fatalf("not at the portal but at %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
	}
	label := "for " + role + " in " + account
	f, ok := b.Find(func(f formbrowser.Form) bool {
		return strings.HasSuffix(f.Action, "/console") && strings.Contains(f.Text, label)
	})
	if !ok {
		t.Fatalf("the portal offers nothing %s\n%.3000s", label, b.Body)
	}
	must(t, b, b.Post(t.Context(), p.url+"/console", f.Fields))
	if want != "" && (!strings.HasPrefix(b.URL.String(), p.console) || !strings.Contains(b.Body, want)) {
		t.Errorf("ended at %v (%d), wanted %s\n%.2000s", b.URL, b.Status, want, b.Body)
	}
}

// newSimpleSAMLphpRig is rolegate with a SimpleSAMLphp that knows it.
func newSimpleSAMLphpRig(t *testing.T) *peerRig {
	t.Helper()
	dir := need(t, "ROLEGATE_TEST_SIMPLESAMLPHP")
	p := newPeerRig(t, "metadata_file: "+filepath.Join(dir, "idp-metadata.xml"))
	for id, err := range p.server.Refresh(t.Context()) {
		if err != nil && id == "ssp" {
			t.Fatal(err)
		}
	}
	b := newFormBrowser(t)
	must(t, b, b.Get(t.Context(), p.url+"/saml/ssp/metadata"))
	if err := os.WriteFile(filepath.Join(dir, "sp-metadata", "rolegate.xml"), []byte(b.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPeerSimpleSAMLphp signs in through SimpleSAMLphp to a console session of
// the double, and ensures that its silence about a second factor is noticed.
func TestPeerSimpleSAMLphp(t *testing.T) {
	p := newSimpleSAMLphpRig(t)
	signIn := func(user, password string) *formbrowser.Browser {
		t.Helper()
		b := newFormBrowser(t)
		must(t, b, b.Get(t.Context(), p.url+"/signin/ssp"))
		must(t, b, b.Submit(t.Context(), formbrowser.Has("password"), map[string]string{"username": user, "password": password}))
		if _, ok := b.Find(formbrowser.Has("SAMLResponse")); !ok {
			return b
		}
		must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLResponse"), nil))
		return b
	}
	b := signIn("alice", "alicepw")
	p.toConsole(t, b, "prod", "readonly", "assumed-role/RolegateReadOnly/alice@example.org")
	must(t, b, b.Get(t.Context(), p.url+"/"))
	p.toConsole(t, b, "prod", "admin", "")
	if b.Status == http.StatusOK || b.URL.Host != peerAddress {
		t.Errorf("a role that needs a second factor was opened: %v (%d)", b.URL, b.Status)
	}
	if b = signIn("alice", "wrong"); b.URL.Host == peerAddress {
		t.Errorf("a wrong password led to %v", b.URL)
	}
	if b = signIn("bob", "bobpw"); b.Status != http.StatusOK || strings.Contains(b.Body, "/console") {
		t.Errorf("bob has no role, and is at %v (%d)", b.URL, b.Status)
	}
	// A name full of markup, and no groups at all.
	if b = signIn("carol", "carolpw"); b.Status != http.StatusOK || strings.Contains(b.Body, "<&>") {
		t.Errorf("carol is at %v (%d)", b.URL, b.Status)
	}
}

// TestPeerOIDCProvider signs in through panva's certified provider, whose amr
// proves the second factor.
func TestPeerOIDCProvider(t *testing.T) {
	need(t, "ROLEGATE_TEST_OIDC_PROVIDER")
	p := newPeerRig(t, "metadata_url: http://localhost:1/")
	signIn := func(user, password string) *formbrowser.Browser {
		t.Helper()
		b := newFormBrowser(t)
		must(t, b, b.Get(t.Context(), p.url+"/signin/panva"))
		must(t, b, b.Submit(t.Context(), formbrowser.Has("login"), map[string]string{"login": user, "password": password}))
		return b
	}
	b := signIn("alice", "alicepw")
	p.toConsole(t, b, "prod", "admin", "assumed-role/RolegateAdmin/alice@example.org")
	if b = signIn("alice", "wrong"); b.URL.Host == peerAddress {
		t.Errorf("a wrong password led to %v", b.URL)
	}
	if b = signIn("bob", "bobpw"); b.Status != http.StatusOK || strings.Contains(b.Body, "/console") {
		t.Errorf("bob has no role, and is at %v (%d)", b.URL, b.Status)
	}
	// The other provider is down: it is named, and this one keeps working.
	b = newFormBrowser(t)
	must(t, b, b.Get(t.Context(), p.url+"/signin/ssp"))
	if b.Status != http.StatusServiceUnavailable || !strings.Contains(b.Body, "ssp") {
		t.Errorf("the provider that is down: %d\n%.2000s", b.Status, b.Body)
	}
	must(t, b, b.Post(t.Context(), p.url+"/saml/ssp/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {"x"}}))
	if b.Status == http.StatusOK {
		t.Error("an unsolicited response was taken")
	}
}
