package probe

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestFromAssertionToConsole ensures the whole path with the real SDK: STS,
// GetCallerIdentity, sign-in token, link, console page.
func TestFromAssertionToConsole(t *testing.T) {
	r := newRig(t.Context(), nil)
	out := r.credentials()
	if *out.Audience != "https://signin.aws.amazon.com/saml" || *out.SubjectType != "persistent" || *out.Subject != subject || *out.SourceIdentity != "alice" ||
		*out.NameQualifier != aws.NameQualifier(entityID, "111111111111", "rolegate") || *out.AssumedRoleUser.Arn != "arn:aws:sts::111111111111:assumed-role/RolegateAdmin/alice@example.com" {
		t.Errorf("%+v", out)
	}
	s := r.session()
	who, err := r.whoAmI(s["sessionId"], s["sessionKey"], s["sessionToken"])
	if err != nil || *who.Arn != *out.AssumedRoleUser.Arn || *who.Account != "111111111111" {
		t.Fatalf("%+v %v", who, err)
	}
	tok, err := r.tokenFor(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	to, err := r.login(url.Values{"Action": {"login"}, "SigninToken": {tok}, "Destination": {"http://console.test/ec2/home?region=eu-west-1"}})
	if err != nil {
		t.Fatal(err)
	}
	console := httptest.NewServer(r.Console())
	defer console.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Jar: jar}).Get(strings.Replace(to, "http://console.test", console.URL, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"assumed-role/RolegateAdmin/alice@example.com", "/ec2/home in eu-west-1"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the console page lacks %q:\n%s", want, body)
		}
	}
	if strings.Contains(resp.Request.URL.String(), "session=") {
		t.Error("the session stays in the address")
	}
	if resp, err = http.Get(console.URL); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("without a session: %v %v", resp.StatusCode, err)
	}
	_ = resp.Body.Close()
}

func TestWebIdentity(t *testing.T) {
	r := newRig(t.Context(), nil)
	if err := r.webIdentity(nil); err != nil {
		t.Fatal(err)
	}
	// As in the tokens that EKS gives to service accounts, and Hydra to anybody.
	if err := r.webIdentity(func(k *token) { k.claims["aud"] = []string{"sts.amazonaws.com"} }); err != nil {
		t.Errorf("a list of one audience: %v", err)
	}
}

// TestEffectiveDuration ensures that the shortest limit wins (facts 21).
func TestEffectiveDuration(t *testing.T) {
	tests := []struct {
		asked, attribute string
		until            time.Duration
		want             time.Duration
	}{
		{"", "", 0, time.Hour}, {"900", "3600", 0, 15 * time.Minute}, {"3600", "1800", 0, 30 * time.Minute},
		{"7200", "43200", 0, 2 * time.Hour}, {"3600", "3600", 20 * time.Minute, 20 * time.Minute},
	}
	for _, tt := range tests {
		r := newRig(t.Context(), nil)
		m := goodMint()
		m.role = readARN
		m.set("SessionDuration")
		if tt.attribute != "" {
			m.set("SessionDuration", tt.attribute)
		}
		if tt.until > 0 {
			m.change = func(_, as *etree.Element) {
				as.FindElement("./AuthnStatement").CreateAttr("SessionNotOnOrAfter", r.at(tt.until))
			}
		}
		form := url.Values{"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"}, "RoleArn": {m.role}, "PrincipalArn": {m.provider}, "SAMLAssertion": {r.build(m)}}
		if tt.asked != "" {
			form.Set("DurationSeconds", tt.asked)
		}
		body, err := r.post(form)
		if want := r.clock.Add(tt.want).Format(time.RFC3339); err != nil || !strings.Contains(body, "<Expiration>"+want+"</Expiration>") {
			t.Errorf("%+v: want %s in %s %v", tt, want, body, err)
		}
	}
}

// TestTrail ensures that successes are recorded in CloudTrail's shape and
// failures are not.
func TestTrail(t *testing.T) {
	r := newRig(t.Context(), nil)
	m := goodMint()
	m.method = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
	if r.saml(m) == nil || r.trail.Len() != 0 {
		t.Fatalf("a failure left %q", r.trail.String())
	}
	r.session()
	var line struct {
		EventName         string
		RequestID         string
		UserIdentity      map[string]string
		RequestParameters map[string]any
		ResponseElements  map[string]any
	}
	if err := json.Unmarshal(r.trail.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.EventName != "AssumeRoleWithSAML" || line.RequestID == "" || line.UserIdentity["type"] != "SAMLUser" || line.UserIdentity["userName"] != subject ||
		line.RequestParameters["sAMLAssertionID"] != "_a" || line.RequestParameters["sourceIdentity"] != "alice" || line.ResponseElements["issuer"] != entityID {
		t.Errorf("%+v", line)
	}
	if strings.Contains(r.trail.String(), "SessionToken") {
		t.Error("a session token is in the trail")
	}
}

// TestNameQualifierGolden pins the value computed from AWS's own example.
func TestNameQualifierGolden(t *testing.T) {
	if got := aws.NameQualifier("https://example.com/saml", "123456789012", "MySAMLIdP"); got != "1uAJanUnBc2XeUkHURMht+xam2c=" {
		t.Error(got)
	}
}

// TestPolicies ensures operators and forms of trust policies.
func TestPolicies(t *testing.T) {
	tests := []struct {
		condition string
		ok        bool
	}{
		{`{"StringEquals":{"saml:iss":"` + entityID + `"}}`, true},
		{`{"StringEquals":{"SAML:ISS":["x","` + entityID + `"]}}`, true},
		{`{"StringNotEquals":{"saml:iss":"x"}}`, true},
		{`{"StringNotEquals":{"saml:iss":"` + entityID + `"}}`, false},
		{`{"StringLike":{"sts:RoleSessionName":"*@example.com"}}`, true},
		{`{"StringLike":{"sts:RoleSessionName":"*@other.com"}}`, false},
		{`{"StringEqualsIgnoreCase":{"sts:SourceIdentity":"ALICE"}}`, true},
		{`{"StringEquals":{"aws:RequestTag/Team":"ops"}}`, false},
		{`{"StringEqualsIfExists":{"aws:RequestTag/Team":"ops"}}`, true},
		{`{"Null":{"sts:SourceIdentity":"false"}}`, true},
		{`{"Null":{"sts:SourceIdentity":"true"}}`, false},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}`, true},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":["Team"]}}`, false},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, true},
		{`{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, false},
		{`{"StringEquals":{"saml:doc":"111111111111/rolegate","saml:sub_type":"persistent"}}`, true},
	}
	for _, tt := range tests {
		world := strings.Replace(string(aws.Sandbox), `{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}}`, tt.condition, 1)
		if err := newRig(t.Context(), []byte(world)).saml(goodMint()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.condition, err)
		}
	}
	for _, bad := range []string{`{"StringMatches":{"saml:iss":"x"}}`, `{"StringEquals":{"saml:unknown":"x"}}`} {
		world := strings.Replace(string(aws.Sandbox), `{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}}`, bad, 1)
		if _, err := aws.New(aws.Options{World: []byte(world)}); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
}

// TestErrorsReadByTheSDK ensures that the SDK understands a refusal.
func TestErrorsReadByTheSDK(t *testing.T) {
	r := newRig(t.Context(), nil)
	_, err := r.whoAmI("ASIAUNKNOWN", "x", "y")
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "InvalidClientTokenId" {
		t.Errorf("%v", err)
	}
}

// TestGoldenTables keeps docs/sandbox.md in step with the checks.
func TestGoldenTables(t *testing.T) {
	const path = "../../../../docs/sandbox.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("\n| check | refuses unless | evidence | negative test |\n|---|---|---|---|\n")
	for _, c := range aws.Checks() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | `TestEveryCheckHasItsNegativeTest/%s` |\n", c.ID, strings.ReplaceAll(c.What, "|", `\|`), c.Evidence, c.ID)
	}
	fmt.Fprintf(&b, "\n%d checks.\n\n", len(aws.Checks()))
	want := between(t, string(doc), "checks", b.String())
	want = between(t, want, "behaviours", behaviourTable(t))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, string(doc)); d != "" {
		t.Error(d)
	}
}

// between puts text between the marks of the name.
func between(t *testing.T, doc, name, text string) string {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	head, rest, ok1 := strings.Cut(doc, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("the document lacks the marks of %s", name)
	}
	return head + begin + text + end + tail
}

// TestEveryCheckHasItsNegativeTest ensures N/N: each check refuses what it is
// for, and when that check alone is switched off, its negative test fails. So
// no check is idle and no negative test passes for another reason.
func TestEveryCheckHasItsNegativeTest(t *testing.T) {
	passed := 0
	for _, c := range aws.Checks() {
		t.Run(c.ID, func(t *testing.T) {
			if err := One(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
			if One(t.Context(), c.ID, c.ID) == nil {
				t.Fatal("still refused with the check switched off")
			}
			passed++
		})
	}
	if Count() != len(aws.Checks()) {
		t.Errorf("%d negative tests for %d checks", Count(), len(aws.Checks()))
	}
	t.Logf("%d of %d checks: refused, and not refused with the check switched off", passed, len(aws.Checks()))
}

// FuzzSTS: no form panics the double or gets credentials without an assertion.
func FuzzSTS(f *testing.F) {
	r := newRig(f.Context(), nil)
	f.Add("Action=AssumeRoleWithSAML&Version=2011-06-15&RoleArn=" + adminARN + "&PrincipalArn=" + providerARN + "&SAMLAssertion=PHg%2B")
	f.Add("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + devARN + "&RoleSessionName=ab&WebIdentityToken=a.b.c")
	f.Add("Action=GetCallerIdentity&Version=2011-06-15")
	f.Fuzz(func(t *testing.T, form string) {
		resp, err := r.sts.Post(stsURL, "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode == http.StatusOK || strings.Contains(string(b), "SecretAccessKey") {
			t.Errorf("%q: status %d", form, resp.StatusCode)
		}
	})
}
