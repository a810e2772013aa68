package federation_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/federation"
)

const success = `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult>
<AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/Admin/%[2]s</Arn><AssumedRoleId>AROAX:%[2]s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId><SecretAccessKey>planted-secret</SecretAccessKey><SessionToken>planted-token</SessionToken><Expiration>2026-11-24T10:00:00Z</Expiration></Credentials>
<Subject>u-x</Subject><NameQualifier>nq=</NameQualifier><SourceIdentity>alice</SourceIdentity><SubjectFromWebIdentityToken>u-x</SubjectFromWebIdentityToken>
</%[1]sResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></%[1]sResponse>`

const failure = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>req-2</RequestId></ErrorResponse>`

// sts answers with what answer returns and keeps the forms it got.
func newSTS(t *testing.T, answer func(url.Values) (int, string)) (string, *[]url.Values) {
	t.Helper()
	var got []url.Values
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the call is signed")
		}
		if ua := r.Header.Get("User-Agent"); ua != "rolegate/dev" {
			t.Errorf("User-Agent %q", ua)
		}
		got = append(got, r.PostForm)
		status, body := answer(r.PostForm)
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("x-amzn-RequestId", "req-1")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL, &got
}

func newFederation(t *testing.T, e federation.InsecureEndpoints) *federation.Federation {
	t.Helper()
	f, err := federation.New(federation.Config{Insecure: e, HTTP: &http.Client{Timeout: 5 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func assignment() broker.Assignment {
	return broker.Assignment{
		Account: broker.Account{ID: "111122223333", Name: "prod", Partition: broker.PartitionAWS}, Role: "Admin",
		RoleARN: "arn:aws:iam::111122223333:role/path/Admin", ProviderARN: "arn:aws:iam::111122223333:saml-provider/rolegate",
	}
}

func call(kind broker.Via) broker.AssumeRoleRequest {
	return broker.AssumeRoleRequest{
		Assignment: assignment(), SessionName: "alice@example.com", Duration: time.Hour,
		Assertion: broker.Assertion{Kind: kind, Raw: broker.NewSecret("planted-assertion")},
	}
}

// TestAssumeRole ensures that each via makes the call AWS documents, and that
// the answer's correlation values arrive.
func TestAssumeRole(t *testing.T) {
	tests := []struct {
		via  broker.Via
		want map[string]string
	}{
		{broker.ViaSAML, map[string]string{
			"Action": "AssumeRoleWithSAML", "SAMLAssertion": "planted-assertion", "RoleArn": "arn:aws:iam::111122223333:role/path/Admin",
			"PrincipalArn": "arn:aws:iam::111122223333:saml-provider/rolegate", "DurationSeconds": "3600", "Version": "2011-06-15"}},
		{broker.ViaOIDC, map[string]string{"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "planted-assertion",
			"RoleSessionName": "alice@example.com", "DurationSeconds": "3600", "ProviderId": ""}},
		{broker.ViaIDPToken, map[string]string{"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "planted-assertion"}},
	}
	for _, tt := range tests {
		t.Run(string(tt.via), func(t *testing.T) {
			addr, got := newSTS(t, func(f url.Values) (int, string) {
				return 200, fmt.Sprintf(success, f.Get("Action"), "alice@example.com")
			})
			// Nothing of the machine's AWS set-up may matter.
			t.Setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
			t.Setenv("AWS_PROFILE", "nobody")
			rs, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(tt.via))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tt.want {
				if (*got)[0].Get(k) != v {
					t.Errorf("%s = %q, want %q", k, (*got)[0].Get(k), v)
				}
			}
			if rs.STSRequestID != "req-1" || rs.AssumedRoleID != "AROAX:alice@example.com" || rs.SourceIdentity != "alice" || rs.AssertedSubject != "u-x" ||
				rs.Credentials.AccessKeyID != "ASIAEXAMPLEEXAMPLE" || rs.Credentials.SessionToken.Reveal() != "planted-token" {
				t.Errorf("%+v", rs)
			}
		})
	}
}

// TestVerdicts ensures that each known refusal names what to mend, and that
// STS's own words stay private.
func TestVerdicts(t *testing.T) {
	tests := []struct {
		status        int
		code, message string
		want          broker.Code
		says          string
	}{
		{400, "InvalidIdentityToken", "RoleSessionName is required in AuthnResponse", broker.CodeDenied, "session name"},
		{400, "InvalidIdentityToken", "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}", broker.CodeDenied, "session name"},
		{400, "InvalidIdentityToken", `Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`, broker.CodeDenied, "source identity"},
		{400, "InvalidIdentityToken", "Response signature invalid", broker.CodeDenied, "old keys"},
		{400, "InvalidIdentityToken", "Issuer not present in specified provider (Service: AWSOpenIdDiscoveryService)", broker.CodeDenied, "another issuer"},
		{400, "InvalidIdentityToken", "Specified provider doesn't exist", broker.CodeDenied, "does not trust rolegate yet"},
		{400, "InvalidIdentityToken", "Response does not contain the required audience.", broker.CodeDenied, "another audience"},
		{400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x", broker.CodeDenied, "issuer yet"},
		{400, "InvalidIdentityToken", "Incorrect token audience", broker.CodeDenied, "audience in the token"},
		{400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider", broker.CodeDenied, "keys"},
		{400, "InvalidIdentityToken", "something new", broker.CodeDenied, "did not accept"},
		{400, "ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance", broker.CodeDenied, "too old"},
		{400, "ExpiredTokenException", "Response has expired", broker.CodeDenied, "too old"},
		{403, "IDPRejectedClaim", "x", broker.CodeDenied, "claim"},
		{400, "IDPCommunicationError", "x", broker.CodeUnavailable, "reach the issuer"},
		{400, "PackedPolicyTooLarge", "x", broker.CodeDenied, "tags"},
		{400, "MalformedPolicyDocument", "x", broker.CodeDenied, "policy"},
		{403, "RegionDisabledException", "x", broker.CodeDenied, "switched off"},
		{403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", broker.CodeDenied, "refuses this role"},
		{400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", broker.CodeDenied, "sessions this long"},
		{400, "ValidationError", "Request ARN is invalid", broker.CodeDenied, "does not know this role"},
		{400, "Throttling", "Rate exceeded", broker.CodeUnavailable, "busy"},
		{500, "InternalFailure", "x", broker.CodeUnavailable, "problem"},
		{400, "BrandNewError", "x", broker.CodeDenied, "BrandNewError"},
		{400, "Bad&lt;b&gt;Code", "x", broker.CodeDenied, "unknown code"},
	}
	for _, tt := range tests {
		t.Run(tt.code+" "+tt.message, func(t *testing.T) {
			addr, _ := newSTS(t, func(url.Values) (int, string) { return tt.status, fmt.Sprintf(failure, tt.code, tt.message) })
			rs, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(broker.ViaSAML))
			if broker.CodeOf(err) != tt.want || !strings.Contains(broker.Message(err), tt.says) || rs.Credentials.AccessKeyID != "" {
				t.Errorf("%v: code %s, message %q", err, broker.CodeOf(err), broker.Message(err))
			}
			if tt.want == broker.CodeDenied && !strings.Contains(broker.Remedy(err), "111122223333") {
				t.Errorf("the remedy does not name the account: %q", broker.Remedy(err))
			}
			if strings.Contains(err.Error(), "planted") {
				t.Errorf("the assertion is in the error: %v", err)
			}
		})
	}
}

// TestAnswerAboutSomebodyElse ensures that credentials under another role or
// session name are not passed on as ours.
func TestAnswerAboutSomebodyElse(t *testing.T) {
	for _, body := range []string{
		fmt.Sprintf(success, "AssumeRoleWithSAML", "mallory@example.com"),
		strings.ReplaceAll(fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com"), "assumed-role/Admin", "assumed-role/Other"),
		strings.ReplaceAll(fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com"), "111122223333", "999999999999"),
		`<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithSAMLResult></AssumeRoleWithSAMLResult></AssumeRoleWithSAMLResponse>`,
		"not XML",
	} {
		addr, _ := newSTS(t, func(url.Values) (int, string) { return 200, body })
		if rs, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(broker.ViaSAML)); err == nil {
			t.Errorf("accepted: %+v", rs)
		}
	}
}

// hosts routes AWS's real names to test servers and counts the calls.
type hosts struct {
	t     *testing.T
	serve map[string]func(*http.Request) (int, string)
	calls []string
}

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.calls = append(h.calls, r.URL.Host)
	f, ok := h.serve[r.URL.Host]
	if !ok {
		return nil, &url.Error{Op: "dial", URL: r.URL.Host, Err: timeout{}}
	}
	rec := httptest.NewRecorder()
	status, body := f(r)
	rec.WriteHeader(status)
	rec.Body.WriteString(body)
	return rec.Result(), nil
}

type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// TestFailOver ensures that silence and a disabled region lead to the next
// region, and that a verdict does not.
func TestFailOver(t *testing.T) {
	ok := func(*http.Request) (int, string) {
		return 200, fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com")
	}
	say := func(status int, code string) func(*http.Request) (int, string) {
		return func(*http.Request) (int, string) { return status, fmt.Sprintf(failure, code, "x") }
	}
	const first, second = "sts.eu-west-1.amazonaws.com", "sts.eu-central-1.amazonaws.com"
	tests := []struct {
		name  string
		first func(*http.Request) (int, string)
		calls []string
		code  broker.Code
	}{
		{"silent", nil, []string{first, second}, ""},
		{"broken", say(500, "InternalFailure"), []string{first, second}, ""},
		{"disabled", say(403, "RegionDisabledException"), []string{first, second}, ""},
		{"throttled", say(400, "Throttling"), []string{first, second}, ""},
		{"verdict", say(403, "AccessDenied"), []string{first}, broker.CodeDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){second: ok}}
			if tt.first != nil {
				h.serve[first] = tt.first
			}
			f, err := federation.New(federation.Config{
				Partitions: map[broker.Partition]federation.PartitionConfig{broker.PartitionAWS: {STSRegions: []string{"eu-west-1", "eu-central-1"}}},
				HTTP:       &http.Client{Transport: h},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.AssumeRole(t.Context(), call(broker.ViaSAML))
			if broker.CodeOf(err) != tt.code || !slices.Equal(h.calls, tt.calls) {
				t.Errorf("error %v, calls %v", err, h.calls)
			}
		})
	}
}

// TestPartitions ensures the hosts of each partition.
func TestPartitions(t *testing.T) {
	tests := []struct {
		p            broker.Partition
		sts, console string
		link         string
	}{
		{broker.PartitionAWS, "sts.us-east-1.amazonaws.com", "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1", "https://signin.aws.amazon.com/federation?"},
		{broker.PartitionGovCloud, "sts.us-gov-west-1.amazonaws.com", "https://eu-west-1.console.amazonaws-us-gov.com/ec2/home?region=eu-west-1", "https://signin.amazonaws-us-gov.com/federation?"},
		{broker.PartitionChina, "sts.cn-north-1.amazonaws.com.cn", "https://eu-west-1.console.amazonaws.cn/ec2/home?region=eu-west-1", "https://signin.amazonaws.cn/federation?"},
		{broker.PartitionEUSC, "sts.eusc-de-east-1.amazonaws.eu", "https://eu-west-1.console.amazonaws-eusc.eu/ec2/home?region=eu-west-1", "https://eusc-de-east-1.signin.amazonaws-eusc.eu/federation?"},
	}
	for _, tt := range tests {
		t.Run(string(tt.p), func(t *testing.T) {
			arn := func(s string) string { return strings.ReplaceAll(s, "arn:aws:", "arn:"+string(tt.p)+":") }
			answer := func(r *http.Request) (int, string) {
				if strings.HasPrefix(r.URL.Host, "sts.") {
					return 200, arn(fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com"))
				}
				return 200, `{"SigninToken":"tok"}`
			}
			host, _, _ := strings.Cut(strings.TrimPrefix(tt.link, "https://"), "/")
			h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){tt.sts: answer, host: answer}}
			f, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h}})
			if err != nil {
				t.Fatal(err)
			}
			r := call(broker.ViaSAML)
			r.Assignment.Account.Partition, r.Assignment.RoleARN = tt.p, broker.RoleARN(arn(string(r.Assignment.RoleARN)))
			rs, err := f.AssumeRole(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			rs.Assignment = r.Assignment
			link, err := f.SignInURL(t.Context(), broker.SignInURLRequest{RoleSession: rs, Issuer: "https://sso.example.com/go?a=1&b=2",
				Destination: broker.Destination{Path: "ec2/home", Region: "eu-west-1"}})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(link.Reveal())
			if err != nil || !strings.HasPrefix(link.Reveal(), tt.link) {
				t.Fatalf("link %s", link.Reveal())
			}
			if q := u.Query(); q.Get("Destination") != tt.console || q.Get("Issuer") != "https://sso.example.com/go?a=1&b=2" || q.Get("SigninToken") != "tok" || q.Get("Action") != "login" {
				t.Errorf("query %v", q)
			}
			if origins := f.Origins([]broker.Partition{tt.p}); !slices.Contains(origins, "https://"+host) {
				t.Errorf("origins %v lack %s", origins, host)
			}
		})
	}
}

// TestSignInToken ensures that credentials go in the body only, without a
// SessionDuration, and that no failure shows them.
func TestSignInToken(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		ok     bool
	}{
		{"token", 200, `{"SigninToken":"abc"}`, true},
		{"refused", 400, "Invalid credentials parameter planted-secret", false},
		{"no token", 200, `{}`, false},
		{"not JSON", 200, `<html>planted-secret</html>`, false},
		{"huge", 200, `{"SigninToken":"` + strings.Repeat("a", 1<<20) + `"}`, false},
		{"broken", 503, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.URL.Path != "/federation" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				var sess map[string]string
				if err := json.Unmarshal([]byte(r.PostForm.Get("Session")), &sess); err != nil || len(sess) != 3 || sess["sessionKey"] != "planted-secret" {
					t.Errorf("session %v %v", sess, err)
				}
				if r.PostForm.Has("SessionDuration") {
					t.Error("SessionDuration was sent")
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}))
			defer s.Close()
			link, err := newFederation(t, federation.InsecureEndpoints{SignIn: s.URL}).SignInURL(t.Context(), consoleRequest(broker.Destination{}))
			if (err == nil) != tt.ok || link.IsZero() == tt.ok {
				t.Fatalf("error %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "planted") || broker.CodeOf(err) != broker.CodeUnavailable) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func consoleRequest(d broker.Destination) broker.SignInURLRequest {
	return broker.SignInURLRequest{Destination: d, RoleSession: broker.RoleSession{Assignment: assignment(), Credentials: broker.Credentials{
		AccessKeyID: "ASIA", SecretAccessKey: broker.NewSecret("planted-secret"), SessionToken: broker.NewSecret("planted-token")}}}
}

// TestDestinations ensures that only listed services and well-formed regions
// become part of a link.
func TestDestinations(t *testing.T) {
	h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){
		"signin.aws.amazon.com": func(*http.Request) (int, string) { return 200, `{"SigninToken":"t"}` }}}
	f, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range federation.Services() {
		if _, err := f.SignInURL(t.Context(), consoleRequest(broker.Destination{Path: s.Path})); err != nil {
			t.Errorf("%s: %v", s.Path, err)
		}
	}
	h.calls = nil
	for _, d := range []broker.Destination{
		{Path: "https://evil.example"}, {Path: "//evil.example"}, {Path: "/ec2/home"}, {Path: "ec2/../evil"}, {Path: "ec2/home?x=1"}, {Path: "ec2/home#x"},
		{Path: "unknown/home"}, {Path: "ec2\n"}, {Path: "ec2/" + strings.Repeat("a", 300)}, {Path: "ec2@evil.example"}, {Path: `ec2\evil`}, {Path: "ec2/%2e%2e"},
		{Region: "evil.example/"}, {Region: "eu-west-1.evil.example#"}, {Region: "EU-WEST-1"}, {Region: "eu-west-1\n"}, {Region: strings.Repeat("a", 3000)},
	} {
		if link, err := f.SignInURL(t.Context(), consoleRequest(d)); broker.CodeOf(err) != broker.CodeInvalid {
			t.Errorf("%+v became %s, error %v", d, link.Reveal(), err)
		}
	}
	if len(h.calls) != 0 {
		t.Error("a token was fetched for a destination that is refused")
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]federation.Config{
		"no client":         {},
		"unknown partition": {HTTP: http.DefaultClient, Partitions: map[broker.Partition]federation.PartitionConfig{"aws-moon": {}}},
		"bad region":        {HTTP: http.DefaultClient, Partitions: map[broker.Partition]federation.PartitionConfig{"aws": {STSRegions: []string{"evil.example/"}}}},
		"endpoint path":     {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{STS: "http://localhost/x"}},
	} {
		if _, err := federation.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzDestination: a link never leaves the console hosts.
func FuzzDestination(f *testing.F) {
	h := &hosts{serve: map[string]func(*http.Request) (int, string){
		"signin.aws.amazon.com": func(*http.Request) (int, string) { return 200, `{"SigninToken":"t"}` }}}
	fed, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ec2/home", "eu-west-1")
	f.Add("//x", "a.b")
	f.Fuzz(func(t *testing.T, path, region string) {
		link, err := fed.SignInURL(t.Context(), consoleRequest(broker.Destination{Path: path, Region: region}))
		if err != nil {
			return
		}
		u, err := url.Parse(link.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		d, err := url.Parse(u.Query().Get("Destination"))
		if err != nil || d.Scheme != "https" || d.User != nil || d.Host != "console.aws.amazon.com" && d.Host != region+".console.aws.amazon.com" {
			t.Errorf("%q %q leads to %s", path, region, d)
		}
	})
}
