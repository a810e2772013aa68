package federation_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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
		if strings.Contains(fmt.Sprint(r.Header), "planted") {
			t.Errorf("the environment is in the request: %v", r.Header)
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
	f, err := federation.New(federation.Config{Insecure: e, HTTP: &http.Client{Timeout: 2 * time.Minute}})
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
			t.Setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "planted")
			t.Setenv("AWS_REGION", "moon-1")
			t.Setenv("AWS_EXECUTION_ENV", "planted")
			t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "planted")
			t.Setenv("_X_AMZN_TRACE_ID", "planted")
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
				rs.AssumedRoleARN != "arn:aws:sts::111122223333:assumed-role/Admin/alice@example.com" || tt.via == broker.ViaSAML && rs.NameQualifier != "nq=" ||
				!rs.Credentials.Expiration.Equal(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)) ||
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

// TestVerdictsByVia ensures that the person is told about the token they hold,
// and the administrator about the action and provider that are at fault.
func TestVerdictsByVia(t *testing.T) {
	tests := []struct {
		via           broker.Via
		code, message string
		want          broker.Code
		says, remedy  string
	}{
		{broker.ViaIDPToken, "ExpiredTokenException", "Token expired", broker.CodeUnauthenticated, "run out", "Sign in again"},
		{broker.ViaOIDC, "ExpiredTokenException", "Token expired", broker.CodeDenied, "too old", "clock"},
		{broker.ViaIDPToken, "IDPRejectedClaim", "x", broker.CodeDenied, "no longer stands", "trust policy"},
		{broker.ViaOIDC, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", broker.CodeDenied, "refuses", "sts:AssumeRoleWithWebIdentity"},
		{broker.ViaSAML, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", broker.CodeDenied, "refuses", "arn:aws:iam::111122223333:saml-provider/rolegate sts:AssumeRoleWithSAML"},
		{broker.ViaSAML, "NoSuchEntity", "Specified provider doesn't exist", broker.CodeDenied, "not trust rolegate yet", "111122223333 (prod)"},
	}
	for _, tt := range tests {
		t.Run(string(tt.via)+" "+tt.code, func(t *testing.T) {
			addr, _ := newSTS(t, func(url.Values) (int, string) { return 400, fmt.Sprintf(failure, tt.code, tt.message) })
			_, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(tt.via))
			if broker.CodeOf(err) != tt.want || !strings.Contains(broker.Message(err), tt.says) || !strings.Contains(broker.Remedy(err), tt.remedy) {
				t.Errorf("code %s, message %q, remedy %q", broker.CodeOf(err), broker.Message(err), broker.Remedy(err))
			}
		})
	}
}

// TestAnswerThatIsNotOurs ensures that credentials under another role or
// session name, or of an answer that is not whole, are not passed on, and that
// nothing of them is in the error.
func TestAnswerThatIsNotOurs(t *testing.T) {
	good := fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com")
	for name, body := range map[string]string{
		"another session":             fmt.Sprintf(success, "AssumeRoleWithSAML", "mallory@example.com"),
		"another role":                strings.ReplaceAll(good, "assumed-role/Admin", "assumed-role/Other"),
		"another case":                strings.ReplaceAll(good, "assumed-role/Admin", "assumed-role/admin"),
		"another account":             strings.ReplaceAll(good, "111122223333", "999999999999"),
		"another partition":           strings.ReplaceAll(good, "arn:aws:", "arn:aws-cn:"),
		"another id":                  strings.ReplaceAll(good, "AROAX:alice", "AROAX:mallory"),
		"no credentials":              `<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithSAMLResult></AssumeRoleWithSAMLResult></AssumeRoleWithSAMLResponse>`,
		"no user":                     regexp.MustCompile(`<AssumedRoleUser>.*</AssumedRoleUser>`).ReplaceAllString(good, ""),
		"no credentials for the user": regexp.MustCompile(`<Credentials>.*</Credentials>`).ReplaceAllString(good, ""),
		"no key id":                   strings.ReplaceAll(good, "<AccessKeyId>ASIAEXAMPLEEXAMPLE</AccessKeyId>", ""),
		"no secret key":               strings.ReplaceAll(good, "<SecretAccessKey>planted-secret</SecretAccessKey>", ""),
		"no session token":            strings.ReplaceAll(good, "<SessionToken>planted-token</SessionToken>", ""),
		"no expiry":                   strings.ReplaceAll(good, "<Expiration>2026-11-24T10:00:00Z</Expiration>", ""),
		"bad expiry":                  strings.ReplaceAll(good, "2026-11-24T10:00:00Z", "planted-soon"),
		"cut":                         good[:strings.Index(good, "</SessionToken>")],
		"huge":                        strings.Replace(good, "planted-token", strings.Repeat("a", 2<<20), 1),
		"not XML":                     "planted, not XML",
		"nothing":                     "",
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := newSTS(t, func(url.Values) (int, string) { return 200, body })
			rs, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(broker.ViaSAML))
			if broker.CodeOf(err) != broker.CodeUnavailable || rs.Credentials.AccessKeyID != "" || !rs.Credentials.SecretAccessKey.IsZero() {
				t.Errorf("accepted: %+v, error %v", rs, err)
			}
			if err != nil && name != "bad expiry" && strings.Contains(err.Error(), "planted") {
				t.Errorf("a secret is in the error: %v", err)
			}
		})
	}
}

// TestTokenWithoutCredentials ensures the same of the other call.
func TestTokenWithoutCredentials(t *testing.T) {
	body := strings.ReplaceAll(fmt.Sprintf(success, "AssumeRoleWithWebIdentity", "alice@example.com"), "<SessionToken>planted-token</SessionToken>", "")
	addr, _ := newSTS(t, func(url.Values) (int, string) { return 200, body })
	_, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(broker.ViaOIDC))
	if broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), "without credentials") {
		t.Errorf("error %v", err)
	}
}

// TestForeignCode ensures that of a code which nobody knows only such text is
// shown as AWS's codes are made of.
func TestForeignCode(t *testing.T) {
	for code, want := range map[string]string{
		"Zz.Aa": "(Zz.Aa)", "a{b": "(unknown code)", "a[b": "(unknown code)", "a@b": "(unknown code)", "a`b": "(unknown code)", "é": "(unknown code)", "a b": "(unknown code)",
	} {
		addr, _ := newSTS(t, func(url.Values) (int, string) { return 400, fmt.Sprintf(failure, code, "x") })
		_, err := newFederation(t, federation.InsecureEndpoints{STS: addr}).AssumeRole(t.Context(), call(broker.ViaSAML))
		if !strings.Contains(broker.Message(err), want) {
			t.Errorf("%q: %v", code, err)
		}
	}
}

// TestNoRedirects ensures that an assertion or credentials never go on to a
// host that an answer names.
func TestNoRedirects(t *testing.T) {
	var reached bool
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = true
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `{"SigninToken":"evil"}`)
	}))
	defer evil.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.RedirectHandler(evil.URL+"/federation", status))
		f := newFederation(t, federation.InsecureEndpoints{STS: s.URL, SignIn: s.URL})
		if rs, err := f.AssumeRole(t.Context(), call(broker.ViaSAML)); err == nil {
			t.Errorf("%d: STS: %+v", status, rs)
		}
		if link, err := f.SignInURL(t.Context(), consoleRequest(broker.Destination{})); err == nil {
			t.Errorf("%d: sign-in: %s", status, link.Reveal())
		}
		s.Close()
	}
	if reached {
		t.Error("a redirect was followed")
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

// TestBusy ensures that a busy STS is given a moment, asked at another endpoint
// and once more, and not for ever.
func TestBusy(t *testing.T) {
	busy := func(status int, code string) func(*http.Request) (int, string) {
		return func(*http.Request) (int, string) { return status, fmt.Sprintf(failure, code, "x") }
	}
	const first, second = "sts.us-east-1.amazonaws.com", "sts.us-west-2.amazonaws.com"
	tests := []struct {
		name  string
		serve map[string]func(*http.Request) (int, string)
		calls []string
		waits time.Duration
		code  broker.Code
	}{
		{"one is busy", map[string]func(*http.Request) (int, string){first: busy(400, "Throttling"), second: func(*http.Request) (int, string) {
			return 200, fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com")
		}}, []string{first, second}, 200 * time.Millisecond, ""},
		{"all are busy", map[string]func(*http.Request) (int, string){first: busy(429, "x"), second: busy(503, "ServiceUnavailable")},
			[]string{first, second, first}, 600 * time.Millisecond, broker.CodeUnavailable},
		{"the issuer is slow", map[string]func(*http.Request) (int, string){first: busy(400, "IDPCommunicationError"), second: busy(400, "IDPCommunicationError")},
			[]string{first, second, first}, 600 * time.Millisecond, broker.CodeUnavailable},
		{"all are broken", map[string]func(*http.Request) (int, string){first: busy(500, "InternalFailure"), second: busy(502, "x")},
			[]string{first, second}, 0, broker.CodeUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hosts{t: t, serve: tt.serve}
				f, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h}})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = f.AssumeRole(t.Context(), call(broker.ViaSAML))
				if broker.CodeOf(err) != tt.code || !slices.Equal(h.calls, tt.calls) || time.Since(start) != tt.waits {
					t.Errorf("error %v, calls %v, waited %s", err, h.calls, time.Since(start))
				}
			})
		})
	}
	t.Run("the person leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){first: busy(400, "Throttling")}}
			f, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := f.AssumeRole(ctx, call(broker.ViaSAML)); broker.CodeOf(err) != broker.CodeUnavailable || len(h.calls) != 1 {
				t.Errorf("error %v, calls %v", err, h.calls)
			}
		})
	})
}

// TestSilentEndpoint ensures that an endpoint that never answers costs its time
// limit and no more.
func TestSilentEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := federation.New(federation.Config{HTTP: &http.Client{Transport: silent{}}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := f.AssumeRole(t.Context(), call(broker.ViaSAML)); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Error(err)
		}
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("two endpoints took %s", d)
		}
	})
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestUnknownPartition ensures that an account of a partition without endpoints
// is refused in words, with and without a sandbox.
func TestUnknownPartition(t *testing.T) {
	for _, e := range []federation.InsecureEndpoints{{}, {STS: "http://127.0.0.1:1", SignIn: "http://127.0.0.1:1"}} {
		f := newFederation(t, e)
		r := call(broker.ViaSAML)
		r.Assignment.Account.Partition = "aws-moon"
		if _, err := f.AssumeRole(t.Context(), r); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Error(err)
		}
		c := consoleRequest(broker.Destination{})
		c.RoleSession.Assignment = r.Assignment
		if _, err := f.SignInURL(t.Context(), c); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Error(err)
		}
	}
}

// TestPartitions ensures the hosts of each partition.
func TestPartitions(t *testing.T) {
	tests := []struct {
		p                    broker.Partition
		region, sts, console string
		link                 string
	}{
		{broker.PartitionAWS, "eu-west-1", "sts.us-east-1.amazonaws.com", "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1", "https://signin.aws.amazon.com/federation?"},
		{broker.PartitionGovCloud, "us-gov-east-1", "sts.us-gov-west-1.amazonaws.com", "https://us-gov-east-1.console.amazonaws-us-gov.com/ec2/home?region=us-gov-east-1", "https://signin.amazonaws-us-gov.com/federation?"},
		{broker.PartitionChina, "cn-northwest-1", "sts.cn-north-1.amazonaws.com.cn", "https://cn-northwest-1.console.amazonaws.cn/ec2/home?region=cn-northwest-1", "https://signin.amazonaws.cn/federation?"},
		{broker.PartitionEUSC, "eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu", "https://eusc-de-east-1.console.amazonaws-eusc.eu/ec2/home?region=eusc-de-east-1", "https://eusc-de-east-1.signin.amazonaws-eusc.eu/federation?"},
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
				Destination: broker.Destination{Path: "ec2/home", Region: tt.region}})
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
			if origins := (federation.Config{}).Origins([]broker.Partition{tt.p}); !slices.Contains(origins, "https://"+host) {
				t.Errorf("origins %v lack %s", origins, host)
			}
		})
	}
}
