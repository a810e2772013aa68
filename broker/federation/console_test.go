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

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/federation"
)

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
		{"long token", 200, `{"SigninToken":"` + strings.Repeat("a", 20<<10) + `"}`, false},
		{"null", 200, `null`, false},
		{"number", 200, `{"SigninToken":1}`, false},
		{"empty", 200, `{"SigninToken":""}`, false},
		{"two documents", 200, `{"SigninToken":"abc"}{}`, false},
		{"broken", 503, "planted-secret", false},
		{"not done yet", 202, `{"SigninToken":"abc"}`, false},
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

// TestSignInFailOver ensures that silence, overload and faults lead to the next
// sign-in region, that a verdict does not, and that the link stays with the
// region that made the token.
func TestSignInFailOver(t *testing.T) {
	const first, second = "eu-west-1.signin.aws.amazon.com", "eu-central-1.signin.aws.amazon.com"
	for name, tt := range map[string]struct {
		status int // 0: silence
		calls  []string
	}{
		"silence": {0, []string{first, second}}, "fault": {500, []string{first, second}}, "busy": {429, []string{first, second}},
		"verdict": {400, []string{first}}, "forbidden": {403, []string{first}}, "redirect": {302, []string{first}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){
				second: func(*http.Request) (int, string) { return 200, `{"SigninToken":"t&u"}` }}}
			if tt.status != 0 {
				h.serve[first] = func(*http.Request) (int, string) { return tt.status, "planted-secret" }
			}
			f, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h},
				Partitions: map[broker.Partition]federation.PartitionConfig{broker.PartitionAWS: {SignInRegions: []string{"eu-west-1", "eu-central-1"}}}})
			if err != nil {
				t.Fatal(err)
			}
			link, err := f.SignInURL(t.Context(), consoleRequest(broker.Destination{}))
			if !slices.Equal(h.calls, tt.calls) || (err == nil) != (len(tt.calls) == 2) {
				t.Errorf("calls %v, error %v", h.calls, err)
			}
			if err == nil && !strings.HasPrefix(link.Reveal(), "https://"+second+"/federation?") {
				t.Errorf("link %s", link.Reveal())
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
		{Region: "evil.example/"}, {Region: "eu-west-1.evil.example#"}, {Region: "EU-WEST-1"}, {Region: "cn-north-1"}, {Region: "us-gov-west-1"}, {Region: "eu-west"}, {Region: "eu-" + strings.Repeat("w", 30) + "-1"}, {Path: "ec2/.."}, {Path: "ec2//x"}, {Path: "ec2/"}, {Region: "eu-west-1\n"}, {Region: strings.Repeat("a", 3000)},
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
		"no client":                   {},
		"unknown partition":           {HTTP: http.DefaultClient, Partitions: map[broker.Partition]federation.PartitionConfig{"aws-moon": {}}},
		"region of another partition": {HTTP: http.DefaultClient, Partitions: map[broker.Partition]federation.PartitionConfig{"aws": {SignInRegions: []string{"cn-north-1"}}}},
		"endpoint scheme":             {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{SignIn: "ftp://localhost"}},
		"endpoint nowhere":            {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{STS: "https:"}},
		"endpoint that is no URL":     {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{STS: "https://[::1"}},
		"endpoint with a query":       {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{STS: "https://localhost?x=1"}},
		"endpoint with a fragment":    {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{STS: "https://localhost#x"}},
		"endpoint user":               {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{Console: "https://a:b@localhost"}},
		"bad region":                  {HTTP: http.DefaultClient, Partitions: map[broker.Partition]federation.PartitionConfig{"aws": {STSRegions: []string{"evil.example/"}}}},
		"endpoint path":               {HTTP: http.DefaultClient, Insecure: federation.InsecureEndpoints{STS: "http://localhost/x"}},
	} {
		if _, err := federation.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if err := c.Validate(); (err == nil) != (name == "no client") { // the client is not among the settings
			t.Errorf("%s: the settings are said to be %v", name, err)
		}
	}
	c := federation.Config{Insecure: federation.InsecureEndpoints{SignIn: "https://localhost", Console: "https://console.localhost"}}
	if got := c.Origins([]broker.Partition{broker.PartitionAWS}); !slices.Equal(got, []string{"https://localhost", "https://console.localhost"}) {
		t.Errorf("a browser may go to %q", got)
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

// FuzzSignInAnswer: only an answer with a token makes a link, the token does not
// leave its parameter, and no failure shows what was answered.
func FuzzSignInAnswer(f *testing.F) {
	f.Add(200, []byte(`{"SigninToken":"abc"}`))
	f.Add(200, []byte(`{"SigninToken":"a&Destination=https://evil.example#"}`))
	f.Add(400, []byte("Invalid credentials parameter"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){
			"signin.aws.amazon.com": func(*http.Request) (int, string) { return status, "planted" + string(body) }}}
		if status == 200 {
			h.serve["signin.aws.amazon.com"] = func(*http.Request) (int, string) { return 200, string(body) }
		}
		fed, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h}})
		if err != nil {
			t.Fatal(err)
		}
		link, err := fed.SignInURL(t.Context(), consoleRequest(broker.Destination{}))
		if err != nil {
			if !link.IsZero() || strings.Contains(err.Error(), "planted") || broker.CodeOf(err) != broker.CodeUnavailable {
				t.Errorf("link %s, error %v", link.Reveal(), err)
			}
			return
		}
		var want struct{ SigninToken string }
		if status != 200 || json.Unmarshal(body, &want) != nil {
			t.Fatalf("status %d %q became a link", status, body)
		}
		u, err := url.Parse(link.Reveal())
		if err != nil || u.Host != "signin.aws.amazon.com" || u.Fragment != "" {
			t.Fatalf("link %s", link.Reveal())
		}
		if q := u.Query(); len(q) != 4 || q.Get("SigninToken") != want.SigninToken || q.Get("Destination") != "https://console.aws.amazon.com/console/home" {
			t.Errorf("query %v", q)
		}
	})
}

// FuzzSTSAnswer: whatever STS answers, credentials come only with the role and
// session name that were asked for.
func FuzzSTSAnswer(f *testing.F) {
	f.Add(200, []byte(fmt.Sprintf(success, "AssumeRoleWithSAML", "alice@example.com")))
	f.Add(400, []byte(fmt.Sprintf(failure, "InvalidIdentityToken", "Response signature invalid")))
	f.Add(200, []byte("<a/>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 499 || status == 429 {
			return
		}
		h := &hosts{t: t, serve: map[string]func(*http.Request) (int, string){
			"sts.us-east-1.amazonaws.com": func(*http.Request) (int, string) { return status, string(body) }}}
		fed, err := federation.New(federation.Config{HTTP: &http.Client{Transport: h},
			Partitions: map[broker.Partition]federation.PartitionConfig{broker.PartitionAWS: {STSRegions: []string{"us-east-1"}}}})
		if err != nil {
			t.Fatal(err)
		}
		rs, err := fed.AssumeRole(t.Context(), call(broker.ViaSAML))
		if err == nil && (rs.AssumedRoleARN != "arn:aws:sts::111122223333:assumed-role/Admin/alice@example.com" || rs.Credentials.SessionToken.IsZero()) ||
			err != nil && rs.Credentials.AccessKeyID != "" {
			t.Errorf("%+v, error %v", rs, err)
		}
		if err != nil && broker.CodeOf(err) == broker.CodeInternal {
			t.Errorf("no meaning: %v", err)
		}
	})
}
