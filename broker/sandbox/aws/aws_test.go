package aws_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/beevik/etree"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

const (
	adminARN    = "arn:aws:iam::111111111111:role/RolegateAdmin"
	readARN     = "arn:aws:iam::111111111111:role/RolegateReadOnly"
	devARN      = "arn:aws:iam::111111111111:role/RolegateDeveloper"
	providerARN = "arn:aws:iam::111111111111:saml-provider/rolegate"
	entityID    = "https://sso.example.com/aws/saml/metadata"
	subject     = "u-abcdefghijklmnopqrstuvwxyz"
)

type certified struct {
	key  *rsa.PrivateKey
	cert []byte
}

func newCertified() certified {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "t"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return certified{key, der}
}

var (
	signer = sync.OnceValue(newCertified)
	evil   = sync.OnceValue(newCertified)
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
)

func metadata(certs ...certified) string {
	var b strings.Builder
	for _, c := range certs {
		fmt.Fprintf(&b, `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`, base64.StdEncoding.EncodeToString(c.cert))
	}
	return `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + entityID + `"><IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + b.String() +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://sso.example.com/"/></IDPSSODescriptor></EntityDescriptor>`
}

// rig is a double with a clock, a trail and an issuer in memory.
type rig struct {
	*aws.AWS
	t     *testing.T
	clock time.Time
	trail bytes.Buffer
	sts   *httptest.Server
	web   *httptest.Server
}

// RoundTrip serves the discovery documents of the issuers.
func (r *rig) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	issuer := "https://" + req.URL.Host
	switch req.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(rec).Encode(map[string]string{"issuer": issuer, "jwks_uri": issuer + "/jwks"})
	case "/jwks":
		_ = json.NewEncoder(rec).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "k1"}}})
	}
	return rec.Result(), nil
}

func newRig(t *testing.T, world []byte, off ...string) (*rig, error) {
	t.Helper()
	r := &rig{t: t, clock: time.Now().UTC().Truncate(time.Second)}
	a, err := aws.New(aws.Options{World: world, Now: func() time.Time { return r.clock }, HTTP: &http.Client{Transport: r}, Trail: &r.trail, SwitchOff: off, ConsoleURL: "http://console.test"})
	if err != nil {
		return nil, err
	}
	r.AWS = a
	r.sts, r.web = httptest.NewServer(a.STS()), httptest.NewServer(a.SignIn())
	t.Cleanup(r.sts.Close)
	t.Cleanup(r.web.Close)
	return r, a.PutSAMLMetadata("rolegate", []byte(metadata(signer(), evil())+strings.Repeat(" ", 1)))
}

// mint describes an assertion; change gets the parts before signing.
type mint struct {
	role, provider string
	attributes     [][]string // name, values...
	change         func(response, assertion *etree.Element)
	after          func(response *etree.Element)
	key            certified
	method         string
	form           func(url.Values)
}

func goodMint() mint {
	return mint{
		role: adminARN, provider: providerARN, key: signer(), method: dsig.RSASHA256SignatureMethod,
		attributes: [][]string{{"RoleSessionName", "alice@example.com"}, {"SourceIdentity", "alice"}, {"SessionDuration", "3600"}},
	}
}

func (m *mint) set(name string, values ...string) {
	for i, a := range m.attributes {
		if a[0] == name {
			m.attributes = append(m.attributes[:i:i], m.attributes[i+1:]...)
			break
		}
	}
	if len(values) > 0 {
		m.attributes = append(m.attributes, append([]string{name}, values...))
	}
}

func (r *rig) at(d time.Duration) string { return r.clock.Add(d).Format("2006-01-02T15:04:05Z") }

func (r *rig) build(m mint) string {
	attrs := m.attributes
	hasRole := false
	for _, a := range attrs {
		hasRole = hasRole || a[0] == "Role"
	}
	if !hasRole {
		attrs = append([][]string{{"Role", m.role + "," + m.provider}}, attrs...)
	}
	var b strings.Builder
	for _, a := range attrs {
		fmt.Fprintf(&b, `<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/%s">`, a[0])
		for _, v := range a[1:] {
			fmt.Fprintf(&b, `<saml:AttributeValue>%s</saml:AttributeValue>`, v)
		}
		b.WriteString(`</saml:Attribute>`)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(fmt.Sprintf(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0" IssueInstant="%[1]s"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a" Version="2.0" IssueInstant="%[1]s"><saml:Issuer>%[3]s</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">%[4]s</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="%[2]s" Recipient="https://signin.aws.amazon.com/saml"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="%[1]s" NotOnOrAfter="%[2]s"><saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="%[1]s"><saml:AuthnContext><saml:AuthnContextClassRef>x</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>%[5]s</saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		r.at(0), r.at(5*time.Minute), entityID, subject, b.String())); err != nil {
		r.t.Fatal(err)
	}
	as := doc.FindElement("//Assertion")
	if m.change != nil {
		m.change(doc.Root(), as)
	}
	ctx, err := dsig.NewSigningContext(m.key.key, [][]byte{m.key.cert})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(m.method); err != nil {
		r.t.Fatal(err)
	}
	sig, err := ctx.ConstructSignature(as.Copy(), true)
	if err != nil {
		r.t.Fatal(err)
	}
	as.InsertChildAt(as.FindElement("./Issuer").Index()+1, sig)
	if m.after != nil {
		m.after(doc.Root())
	}
	raw, err := doc.WriteToBytes()
	if err != nil {
		r.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func (r *rig) post(form url.Values) (string, error) {
	resp, err := http.PostForm(r.sts.URL, form)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%d %s", resp.StatusCode, b)
	}
	return string(b), nil
}

func (r *rig) saml(m mint) error {
	form := url.Values{"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"}, "RoleArn": {m.role}, "PrincipalArn": {m.provider}, "SAMLAssertion": {r.build(m)}}
	if m.form != nil {
		m.form(form)
	}
	_, err := r.post(form)
	return err
}

// token describes an ID token.
type token struct {
	claims map[string]any
	kid    string
	key    any
	alg    jose.SignatureAlgorithm
	raw    string
	form   func(url.Values)
}

func (r *rig) webIdentity(change func(*token)) error {
	tk := token{kid: "k1", key: ecKey(), alg: jose.ES256, claims: map[string]any{
		"iss": "https://issuer.rolegate.test", "sub": subject, "aud": "sts.amazonaws.com", "iat": r.clock.Unix(), "exp": r.clock.Add(time.Minute).Unix(),
		"https://aws.amazon.com/tags": map[string]any{"principal_tags": map[string]any{"Team": []string{"ops"}}},
	}}
	if change != nil {
		change(&tk)
	}
	if tk.raw == "" {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: tk.alg, Key: tk.key}, (&jose.SignerOptions{}).WithHeader("kid", tk.kid))
		if err != nil {
			r.t.Fatal(err)
		}
		if tk.raw, err = jwt.Signed(s).Claims(tk.claims).Serialize(); err != nil {
			r.t.Fatal(err)
		}
	}
	form := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {devARN}, "RoleSessionName": {"alice@example.com"}, "WebIdentityToken": {tk.raw}}
	if tk.form != nil {
		tk.form(form)
	}
	_, err := r.post(form)
	return err
}

// credentials gets some by the real SDK.
func (r *rig) credentials() *sts.AssumeRoleWithSAMLOutput {
	r.t.Helper()
	c := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &r.sts.URL, Credentials: awssdk.AnonymousCredentials{}, RetryMaxAttempts: 1})
	out, err := c.AssumeRoleWithSAML(r.t.Context(), &sts.AssumeRoleWithSAMLInput{PrincipalArn: awssdk.String(providerARN), RoleArn: awssdk.String(adminARN), SAMLAssertion: awssdk.String(r.build(goodMint()))})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) whoAmI(key, secret, session string) (*sts.GetCallerIdentityOutput, error) {
	c := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: &r.sts.URL, Credentials: credentials.NewStaticCredentialsProvider(key, secret, session), RetryMaxAttempts: 1})
	return c.GetCallerIdentity(context.WithoutCancel(r.t.Context()), &sts.GetCallerIdentityInput{})
}

func (r *rig) session() map[string]string {
	c := r.credentials().Credentials
	return map[string]string{"sessionId": *c.AccessKeyId, "sessionKey": *c.SecretAccessKey, "sessionToken": *c.SessionToken}
}

func (r *rig) tokenFor(s map[string]string, more url.Values) (string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		r.t.Fatal(err)
	}
	form := url.Values{"Action": {"getSigninToken"}, "Session": {string(b)}}
	for k, v := range more {
		form[k] = v
	}
	resp, err := http.PostForm(r.web.URL+"/federation", form)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	var out struct{ SigninToken string }
	err = json.NewDecoder(resp.Body).Decode(&out)
	return out.SigninToken, err
}

// login follows a sign-in link without following its redirect.
func (r *rig) login(q url.Values) (string, error) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get(r.web.URL + "/federation?" + q.Encode())
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp.Header.Get("Location"), nil
}
