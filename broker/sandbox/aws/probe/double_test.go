package probe

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

// TestRevokeOlderSessions ensures that a revocation ends what was issued before
// it and nothing later: issue, revoke, fail, assume again, work.
func TestRevokeOlderSessions(t *testing.T) {
	r := newRig(t.Context(), nil)
	if err := r.PutRolePolicy(account, "RolegateAdmin", "canary", allowCanary); err != nil {
		t.Fatal(err)
	}
	old := r.session()
	if err := r.canary(old); err != nil {
		t.Fatalf("before: %v", err)
	}
	r.clock = r.clock.Add(time.Second)
	if err := r.revoke("RolegateAdmin"); err != nil {
		t.Fatal(err)
	}
	var api smithy.APIError
	if err := r.canary(old); !errors.As(err, &api) || api.ErrorCode() != "AccessDenied" {
		t.Errorf("after the revocation: %v", err)
	}
	if err := r.canary(r.session()); err != nil {
		t.Errorf("assumed again: %v", err)
	}
	if err := r.DeleteRolePolicy(account, "RolegateAdmin", "AWSRevokeOlderSessions"); err != nil {
		t.Fatal(err)
	}
	if err := r.canary(old); err != nil {
		t.Errorf("without the policy: %v", err)
	}
}

// TestInlinePolicies ensures that one person can be singled out, and that what
// cannot be evaluated is not taken.
func TestInlinePolicies(t *testing.T) {
	statement := func(condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:Get*KeyInfo","Resource":"*","Condition":` + condition + `}]}`
	}
	tests := []struct {
		condition string
		denied    bool
	}{
		{`{"StringEquals":{"aws:SourceIdentity":"alice"}}`, true},
		{`{"StringEquals":{"aws:SourceIdentity":"bob"}}`, false},
		{`{"StringLike":{"aws:userid":"*:alice@example.com"}}`, true},
		{`{"StringLike":{"aws:userid":"*:bob@example.com"}}`, false},
		{`{"StringEquals":{"aws:PrincipalTag/Team":"ops"}}`, false},
		{`{"StringEquals":{"aws:SourceIdentity":"alice"},"DateLessThan":{"aws:TokenIssueTime":"2020-01-01T00:00:00Z"}}`, false},
	}
	for _, tt := range tests {
		r := newRig(t.Context(), nil)
		if err := errors.Join(r.PutRolePolicy(account, "RolegateAdmin", "a", allowCanary), r.PutRolePolicy(account, "RolegateAdmin", "b", statement(tt.condition))); err != nil {
			t.Fatal(err)
		}
		if err := r.canary(r.session()); (err != nil) != tt.denied {
			t.Errorf("%s: %v", tt.condition, err)
		}
	}
	r := newRig(t.Context(), nil)
	for _, bad := range []string{
		statement(`{"StringEquals":{"aws:SourceIp":"10.0.0.1"}}`), statement(`{"IpAddress":{"aws:userid":"x"}}`),
		strings.Replace(allowCanary, `"Resource":"*"`, `"Resource":"arn:aws:s3:::x"`, 1), strings.Replace(allowCanary, `"Action"`, `"NotAction"`, 1), `{`,
	} {
		if r.PutRolePolicy(account, "RolegateAdmin", "bad", bad) == nil {
			t.Errorf("%s: taken", bad)
		}
	}
}

// TestRoleIDs ensures that no two roles share the unique id that a session, and
// so a revocation, goes by.
func TestRoleIDs(t *testing.T) {
	r := newRig(t.Context(), nil)
	if err := r.PutRolePolicy(account, "RolegateReadOnly", "canary", allowCanary); err != nil {
		t.Fatal(err)
	}
	if r.canary(r.session()) == nil {
		t.Error("the policy of one role allows another")
	}
}

// TestBrowserPost ensures the sign-in at /saml: STS's checks, a chooser for
// several roles, a console session with a key of its own, and a record.
func TestBrowserPost(t *testing.T) {
	r := newRig(t.Context(), nil)
	m := goodMint()
	to, err := r.browse(http.MethodPost, url.Values{"SAMLResponse": {r.build(m)}, "RelayState": {"https://eu-west-1.console.aws.amazon.com/ec2/home"}})
	if err != nil || !strings.HasPrefix(to, "https://eu-west-1.console.aws.amazon.com/ec2/home?session=") {
		t.Errorf("one role: %s %v", to, err)
	}
	if !strings.Contains(r.trail.String(), `"eventName":"ConsoleLogin"`) {
		t.Errorf("the trail lacks the sign-in: %s", r.trail.String())
	}
	m.set("Role", adminARN+","+providerARN, readARN+","+providerARN)
	several := url.Values{"SAMLResponse": {r.build(m)}}
	page, err := r.browse(http.MethodPost, several)
	if err == nil || err.Error() != "status 200" || !strings.Contains(page, readARN) || !strings.Contains(page, adminARN) {
		t.Errorf("the chooser: %v %s", err, page)
	}
	several.Set("role", readARN+","+providerARN)
	if to, err = r.browse(http.MethodPost, several); err != nil || !strings.HasPrefix(to, "http://console.test/?session=") {
		t.Errorf("chosen: %s %v", to, err)
	}
	several.Set("role", strings.Replace(adminARN, "Admin", "Developer", 1)+","+providerARN)
	if _, err = r.browse(http.MethodPost, several); err == nil || err.Error() != "status 403" {
		t.Errorf("a role that is not offered: %v", err)
	}
	bad := goodMint()
	bad.key = newCertified()
	if page, err = r.browse(http.MethodPost, url.Values{"SAMLResponse": {r.build(bad)}}); err == nil || !strings.Contains(page, "Response signature invalid") {
		t.Errorf("another key: %v %s", err, page)
	}
}

// TestConsoleTrail ensures that a sign-in leaves GetSigninToken and
// ConsoleLogin, under an access key that is not the one that was brought.
func TestConsoleTrail(t *testing.T) {
	r := newRig(t.Context(), nil)
	s := r.session()
	tok, err := r.tokenFor(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.login(url.Values{"Action": {"login"}, "SigninToken": {tok}, "Destination": {"http://console.test/"}}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for l := range strings.Lines(r.trail.String()) {
		var e struct {
			EventName, EventSource string
			UserIdentity           struct{ AccessKeyID, Arn string }
		}
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatal(err)
		}
		names = append(names, e.EventName)
		if e.EventSource == "signin.amazonaws.com" && (e.UserIdentity.AccessKeyID == s["sessionId"] || !strings.HasSuffix(e.UserIdentity.Arn, "assumed-role/RolegateAdmin/alice@example.com")) {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(names, " "); got != "AssumeRoleWithSAML GetSigninToken ConsoleLogin" {
		t.Error(got)
	}
}

// TestMultivaluedKeysNeedSetOperators ensures that a policy which IAM leaves
// undefined is not taken: a Deny that never matches would be laxer than AWS.
func TestMultivaluedKeysNeedSetOperators(t *testing.T) {
	world := strings.Replace(string(aws.Sandbox), `"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}`, `"StringEquals":{"aws:TagKeys":"Team"}`, 1)
	if _, err := aws.New(aws.Options{World: []byte(world)}); err == nil || !strings.Contains(err.Error(), "ForAnyValue") {
		t.Error(err)
	}
}

// TestKeyAndAlgorithmBelongTogether ensures that an EC key does not verify what
// calls itself RS256.
func TestKeyAndAlgorithmBelongTogether(t *testing.T) {
	r := newRig(t.Context(), nil)
	err := r.webIdentity(func(tk *token) {
		tk.raw = relabelled(tk)
	})
	if err == nil || !strings.Contains(err.Error(), "Signature verification failed") {
		t.Error(err)
	}
}

// relabelled is the token signed by the EC key under a header that says RS256.
func relabelled(t *token) string {
	claims, err := json.Marshal(t.claims)
	must(err)
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	a, b, err := ecdsa.Sign(rand.Reader, ecKey(), sum[:])
	must(err)
	sig := make([]byte, 64)
	a.FillBytes(sig[:32])
	b.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}
