package probe

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
	"net/url"
	"strings"
	"sync"
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
	account     = "111111111111"
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

// rig is a double with a clock of its own, reached in memory.
type rig struct {
	*aws.AWS
	ctx   context.Context //nolint:containedctx // one probe, one context
	clock time.Time
	trail bytes.Buffer
	sts   *http.Client
	web   *http.Client
}

const (
	stsURL = "https://sts.probe.test"
	webURL = "https://signin.probe.test"
)

// stop ends a probe that cannot go on; [One] turns it into an error.
type stop struct{ err error }

func must(err error) {
	if err != nil {
		panic(stop{err})
	}
}

func newRig(ctx context.Context, world []byte, off ...string) *rig {
	r := &rig{ctx: ctx, clock: time.Now().UTC().Truncate(time.Second)}
	a, err := aws.New(aws.Options{
		World: world, Now: func() time.Time { return r.clock }, HTTP: &http.Client{Transport: memory{http.HandlerFunc(issuer)}},
		SwitchOff: off, ConsoleURL: "http://console.test", Trail: &r.trail,
	})
	must(err)
	r.AWS = a
	noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.sts, r.web = &http.Client{Transport: memory{a.STS()}}, &http.Client{Transport: memory{a.SignIn()}, CheckRedirect: noFollow}
	must(a.PutSAMLMetadata("rolegate", []byte(metadata(signer(), evil()))))
	return r
}

// issuer serves the discovery documents of every OIDC issuer.
func issuer(w http.ResponseWriter, req *http.Request) {
	name := "https://" + req.URL.Host
	keysAt, keys := name+"/jwks", []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "k1"}}
	switch req.URL.Host {
	case "plain.rolegate.test":
		keysAt = "http://plain.rolegate.test/jwks"
	case "many.rolegate.test":
		for i := range 100 {
			keys = append(keys, jose.JSONWebKey{Key: ecKey().Public(), KeyID: fmt.Sprint("more", i)})
		}
	}
	switch req.URL.Path {
	case "/.well-known/openid-configuration":
		must(json.NewEncoder(w).Encode(map[string]string{"issuer": name, "jwks_uri": keysAt}))
	case "/jwks":
		must(json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys}))
	}
}

// memory carries requests to a handler without a network.
type memory struct{ h http.Handler }

// RoundTrip implements http.RoundTripper.
func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if req.Body == nil {
		req.Body = http.NoBody
	}
	if req.Host == "" {
		req.Host = req.URL.Host
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	m.h.ServeHTTP(w, req)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: req,
	}, nil
}

// answer gathers what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

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
	must(doc.ReadFromString(fmt.Sprintf(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0" IssueInstant="%[1]s"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a" Version="2.0" IssueInstant="%[1]s"><saml:Issuer>%[3]s</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">%[4]s</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="%[2]s" Recipient="https://signin.aws.amazon.com/saml"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="%[1]s" NotOnOrAfter="%[2]s"><saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="%[1]s"><saml:AuthnContext><saml:AuthnContextClassRef>x</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>%[5]s</saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		r.at(0), r.at(5*time.Minute), entityID, subject, b.String())))
	as := doc.FindElement("//Assertion")
	if m.change != nil {
		m.change(doc.Root(), as)
	}
	ctx, err := dsig.NewSigningContext(m.key.key, [][]byte{m.key.cert})
	must(err)
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	must(ctx.SetSignatureMethod(m.method))
	sig, err := ctx.ConstructSignature(as.Copy(), true)
	must(err)
	as.InsertChildAt(as.FindElement("./Issuer").Index()+1, sig)
	if m.after != nil {
		m.after(doc.Root())
	}
	raw, err := doc.WriteToBytes()
	must(err)
	return base64.StdEncoding.EncodeToString(raw)
}

func (r *rig) post(form url.Values) (string, error) {
	resp, err := r.sts.PostForm(stsURL, form)
	must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(err)
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
		must(err)
		tk.raw, err = jwt.Signed(s).Claims(tk.claims).Serialize()
		must(err)
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
	c := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(stsURL), HTTPClient: r.sts, Credentials: awssdk.AnonymousCredentials{}, RetryMaxAttempts: 1})
	out, err := c.AssumeRoleWithSAML(r.ctx, &sts.AssumeRoleWithSAMLInput{PrincipalArn: awssdk.String(providerARN), RoleArn: awssdk.String(adminARN), SAMLAssertion: awssdk.String(r.build(goodMint()))})
	must(err)
	return out
}

func (r *rig) whoAmI(key, secret, session string) (*sts.GetCallerIdentityOutput, error) {
	c := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(stsURL), HTTPClient: r.sts, Credentials: credentials.NewStaticCredentialsProvider(key, secret, session), RetryMaxAttempts: 1})
	return c.GetCallerIdentity(r.ctx, &sts.GetCallerIdentityInput{})
}

const allowCanary = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:GetAccessKeyInfo","Resource":"*"}]}`

// canary makes the one call that needs a permission.
func (r *rig) canary(s map[string]string) error {
	c := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(stsURL), HTTPClient: r.sts, Credentials: credentials.NewStaticCredentialsProvider(s["sessionId"], s["sessionKey"], s["sessionToken"]), RetryMaxAttempts: 1})
	_, err := c.GetAccessKeyInfo(r.ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: awssdk.String(s["sessionId"])})
	return err
}

// revoke is what the IAM console's "Revoke active sessions" puts into a role.
func (r *rig) revoke(role string) error {
	return r.PutRolePolicy(account, role, "AWSRevokeOlderSessions", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+r.at(0)+`"}}}]}`)
}

// browse sends a browser's form to /saml and returns where it leads.
func (r *rig) browse(method string, form url.Values) (string, error) {
	address, body := webURL+"/saml", form.Encode()
	if method == http.MethodGet {
		address, body = address+"?"+body, ""
	}
	req, err := http.NewRequestWithContext(r.ctx, method, address, strings.NewReader(body))
	must(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := r.web.Do(req)
	must(err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusFound {
		return resp.Header.Get("Location"), nil
	}
	b, err := io.ReadAll(resp.Body)
	must(err)
	return string(b), fmt.Errorf("status %d", resp.StatusCode)
}

func (r *rig) session() map[string]string {
	c := r.credentials().Credentials
	return map[string]string{"sessionId": *c.AccessKeyId, "sessionKey": *c.SecretAccessKey, "sessionToken": *c.SessionToken}
}

func (r *rig) tokenFor(s map[string]string, more url.Values) (string, error) {
	b, err := json.Marshal(s)
	must(err)
	form := url.Values{"Action": {"getSigninToken"}, "Session": {string(b)}}
	for k, v := range more {
		form[k] = v
	}
	resp, err := r.web.PostForm(webURL+"/federation", form)
	must(err)
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
	resp, err := r.web.Get(webURL + "/federation?" + q.Encode())
	must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp.Header.Get("Location"), nil
}

// small is a certificate that keeps metadata under 1,000 characters.
func small() []byte {
	key, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // G403: signs nothing
	must(err)
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	must(err)
	return der
}
