package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
)

// aws sends a JSON document as the AWS clients do.
func (h *house) awsJSON(path string, body any) (answer, map[string]any) {
	h.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	a := h.do(http.MethodPost, path, strings.NewReader(string(b)), header(withoutCookies, "1"), header("Accept", ""), header("Content-Type", "application/json"))
	out := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		h.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return a, out
}

func (h *house) register(name, redirect string) (id, secret string) {
	h.t.Helper()
	a, out := h.awsJSON("/aws/oidc/client/register", map[string]any{
		"clientName": name, "clientType": "public", "scopes": []string{"sso:account:access"}, "redirectUris": []string{redirect},
		"grantTypes": []string{"authorization_code", "refresh_token"}, "issuerUrl": "https://sso.example.com/start",
	})
	if a.StatusCode != http.StatusOK {
		h.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return out["clientId"].(string), out["clientSecret"].(string)
}

func (h *house) portal(path, token string) (answer, map[string]any) {
	h.t.Helper()
	a := h.get("/aws/portal/"+path, header(withoutCookies, "1"), header("Accept", ""), header("x-amz-sso_bearer_token", token))
	out := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		h.t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return a, out
}

// TestAWSSignIn ensures the requests of the AWS CLI, word for word: register,
// browser with another port, code, credentials, refresh, logout.
func TestAWSSignIn(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, secret := h.register("botocore-client-corp", "http://127.0.0.1/oauth/callback")
	const redirect = "http://127.0.0.1:40001/oauth/callback"
	q := url.Values{
		"response_type": {"code"}, "client_id": {id}, "redirect_uri": {redirect}, "state": {"7f1c"}, "code_challenge_method": {"S256"},
		"scopes": {"sso:account:access"}, "code_challenge": {challengeOf(verifier)},
	}
	h.get("/authorize?"+q.Encode()).want(t, http.StatusOK, "botocore-client-corp")
	q.Set("answer", "yes")
	to, err := url.Parse(h.post("/authorize", q).Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	a, out := h.awsJSON("/aws/oidc/token", map[string]any{
		"grantType": "authorization_code", "clientId": id, "clientSecret": secret, "redirectUri": redirect,
		"codeVerifier": verifier, "code": to.Query().Get("code"),
	})
	if a.StatusCode != http.StatusOK || out["tokenType"] != "Bearer" || out["expiresIn"] != 3600.0 {
		t.Fatal(a.StatusCode, a.body)
	}
	token := out["accessToken"].(string)
	_, accounts := h.portal("assignment/accounts", token)
	if got := fmt.Sprint(accounts); got != "map[accountList:[map[accountId:111122223333 accountName:prod] map[accountId:444455556666 accountName:test]]]" {
		t.Error(got)
	}
	_, roles := h.portal("assignment/roles?account_id=111122223333", token)
	if got := fmt.Sprint(roles); got != "map[roleList:[map[accountId:111122223333 roleName:Admin]]]" {
		t.Error(got)
	}
	_, creds := h.portal("federation/credentials?role_name=Admin&account_id=111122223333", token)
	c, ok := creds["roleCredentials"].(map[string]any)
	if !ok || c["accessKeyId"] != "ASIAEXAMPLE" || c["sessionToken"] != "planted-session-token" || c["expiration"] != float64(h.clock.Add(time.Hour).UnixMilli()) {
		t.Errorf("%+v", creds)
	}
	h.event(broker.ActionCredentials, broker.OutcomeOK)
	_, next := h.awsJSON("/aws/oidc/token", map[string]any{"grantType": "refresh_token", "clientId": id, "clientSecret": secret, "refreshToken": out["refreshToken"]})
	if next["refreshToken"] == nil || next["refreshToken"] == "" || next["refreshToken"] == out["refreshToken"] {
		t.Errorf("%+v", next)
	}
	// Another process of the same laptop, a moment later, with the same file.
	_, same := h.awsJSON("/aws/oidc/token", map[string]any{"grantType": "refresh_token", "clientId": id, "clientSecret": secret, "refreshToken": out["refreshToken"]})
	if same["refreshToken"] != next["refreshToken"] {
		t.Errorf("%+v", same)
	}
	a = h.do(http.MethodPost, "/aws/portal/logout", nil, header(withoutCookies, "1"), header("x-amz-sso_bearer_token", token))
	if a.StatusCode != http.StatusOK || a.body != "" {
		t.Error(a.StatusCode, a.body)
	}
	if a, _ := h.portal("assignment/accounts", token); a.StatusCode != http.StatusUnauthorized || a.Header.Get("x-amzn-ErrorType") != "UnauthorizedException" {
		t.Error(a.StatusCode, a.Header)
	}
	if h.alive(token) {
		t.Error("the token outlives the logout")
	}
}

// TestAWSDeviceCode ensures the device flow in AWS's words, with the header by
// which its clients tell the errors apart.
func TestAWSDeviceCode(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, secret := h.register("botocore-client-corp", "http://127.0.0.1/oauth/callback")
	_, d := h.awsJSON("/aws/oidc/device_authorization", map[string]any{"clientId": id, "clientSecret": secret, "startUrl": "https://x"})
	for _, name := range []string{"deviceCode", "userCode", "verificationUri", "verificationUriComplete", "expiresIn", "interval"} {
		if d[name] == nil {
			t.Errorf("%s is missing: %v", name, d)
		}
	}
	poll := map[string]any{"grantType": "urn:ietf:params:oauth:grant-type:device_code", "clientId": id, "clientSecret": secret, "deviceCode": d["deviceCode"]}
	want := func(exception, code string) {
		t.Helper()
		a, out := h.awsJSON("/aws/oidc/token", poll)
		if a.StatusCode != http.StatusBadRequest || a.Header.Get("x-amzn-ErrorType") != exception || out["error"] != code || out["error_description"] == "" {
			t.Errorf("%d %s %s, want %s", a.StatusCode, a.Header.Get("x-amzn-ErrorType"), a.body, exception)
		}
	}
	want("AuthorizationPendingException", "authorization_pending")
	want("SlowDownException", "slow_down")
	h.clock = h.clock.Add(11 * time.Second)
	h.post("/device", url.Values{"user_code": {d["userCode"].(string)}, "answer": {"approve"}}).want(t, http.StatusOK)
	if a, out := h.awsJSON("/aws/oidc/token", poll); out["accessToken"] == nil || out["refreshToken"] == nil {
		t.Error(a.StatusCode, a.body)
	}
	want("InvalidGrantException", "invalid_grant")
	_, d = h.awsJSON("/aws/oidc/device_authorization", map[string]any{"clientId": id, "clientSecret": secret, "startUrl": "https://x"})
	poll["deviceCode"] = d["deviceCode"]
	h.post("/device", url.Values{"user_code": {d["userCode"].(string)}, "answer": {"deny"}}).want(t, http.StatusOK)
	want("AccessDeniedException", "access_denied")
	_, d = h.awsJSON("/aws/oidc/device_authorization", map[string]any{"clientId": id, "clientSecret": secret, "startUrl": "https://x"})
	poll["deviceCode"] = d["deviceCode"]
	h.clock = h.clock.Add(10 * time.Minute)
	want("ExpiredTokenException", "expired_token")
}

// TestAWSErrors ensures status, header and body of each error.
func TestAWSErrors(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, secret := h.register("c", "http://127.0.0.1/oauth/callback")
	got := h.programTokens()
	h.aws.assignments[1].Require = broker.Requirement{MFA: true}
	oidc := func(path string, body any) func() answer {
		return func() answer { a, _ := h.awsJSON("/aws/oidc/"+path, body); return a }
	}
	portal := func(path, token string) func() answer {
		return func() answer { a, _ := h.portal(path, token); return a }
	}
	for _, row := range []struct {
		name      string
		do        func() answer
		status    int
		exception string
	}{
		{"not JSON", func() answer {
			return h.do(http.MethodPost, "/aws/oidc/token", strings.NewReader("grantType=x"), header("Content-Type", "application/x-www-form-urlencoded"))
		}, 400, "InvalidRequestException"},
		{"broken JSON", func() answer {
			return h.do(http.MethodPost, "/aws/oidc/token", strings.NewReader("{"), header("Content-Type", "application/json"))
		}, 400, "InvalidRequestException"},
		{"unknown client", oidc("token", map[string]any{"clientId": "x", "clientSecret": "y", "grantType": "refresh_token"}), 401, "InvalidClientException"},
		{"wrong secret", oidc("token", map[string]any{"clientId": id, "clientSecret": secret + "x", "grantType": "refresh_token"}), 401, "InvalidClientException"},
		{"secret of another", func() answer {
			_, other := h.register("d", "http://127.0.0.1/oauth/callback")
			return oidc("token", map[string]any{"clientId": id, "clientSecret": other, "grantType": "refresh_token"})()
		}, 401, "InvalidClientException"},
		{"unknown grant", oidc("token", map[string]any{"clientId": id, "clientSecret": secret, "grantType": "password"}), 400, "UnsupportedGrantTypeException"},
		{"dead refresh token", oidc("token", map[string]any{"clientId": id, "clientSecret": secret, "grantType": "refresh_token", "refreshToken": "x"}), 400, "InvalidGrantException"},
		{"confidential client", oidc("client/register", map[string]any{"clientName": "c", "clientType": "confidential"}), 400, "InvalidRequestException"},
		{"no name", oidc("client/register", map[string]any{"clientType": "public"}), 400, "InvalidRequestException"},
		{"foreign redirect", oidc("client/register", map[string]any{"clientName": "c", "clientType": "public", "redirectUris": []string{"https://evil.example/"}}), 400, "InvalidRedirectUriException"},
		{"no such operation", oidc("nothing", map[string]any{}), 400, "InvalidRequestException"},
		{"no token", portal("assignment/accounts", ""), 401, "UnauthorizedException"},
		{"dead token", portal("assignment/accounts", "x"), 401, "UnauthorizedException"},
		{"refresh token", portal("assignment/accounts", got.Refresh), 401, "UnauthorizedException"},
		{"browser's token", portal("assignment/accounts", h.cookies["__Host-rolegate_session"].Value), 401, "UnauthorizedException"},
		{"no account", portal("assignment/roles", got.Access), 400, "InvalidRequestException"},
		{"too many results", portal("assignment/accounts?max_result=101", got.Access), 400, "InvalidRequestException"},
		{"no results", portal("assignment/accounts?max_result=0", got.Access), 400, "InvalidRequestException"},
		{"not mine", portal("federation/credentials?account_id=111122223333&role_name=Root", got.Access), 403, "ForbiddenException"},
		{"no role", portal("federation/credentials?account_id=111122223333", got.Access), 400, "InvalidRequestException"},
		{"step-up", portal("federation/credentials?account_id=444455556666&role_name=ReadOnly", got.Access), 401, "UnauthorizedException"},
		{"AWS is down", func() answer {
			h.aws.err = broker.Errorf(broker.CodeUnavailable, "STS does not answer.")
			defer func() { h.aws.err = nil }()
			return portal("federation/credentials?account_id=111122223333&role_name=Admin", got.Access)()
		}, 503, "ServiceUnavailableException"},
		{"store is down", func() answer {
			h.store.Down(true)
			defer func() { h.store.Down(false) }()
			return oidc("token", map[string]any{"clientId": id, "clientSecret": secret, "grantType": "urn:ietf:params:oauth:grant-type:device_code", "deviceCode": "x"})()
		}, 500, "InternalServerException"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.in(t)
			a := row.do()
			if a.StatusCode != row.status || a.Header.Get("x-amzn-ErrorType") != row.exception || a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s %s\nwant %d %s", a.StatusCode, a.Header.Get("x-amzn-ErrorType"), a.body, row.status, row.exception)
			}
		})
	}
	h.in(t)
	h.clock = h.clock.Add(90 * 24 * time.Hour)
	if a, _ := h.awsJSON("/aws/oidc/token", map[string]any{"clientId": id, "clientSecret": secret, "grantType": "refresh_token"}); a.Header.Get("x-amzn-ErrorType") != "InvalidClientException" {
		t.Error("a registration lives for ever")
	}
}

// TestAWSRedirects ensures that a registered redirect URI is matched but for
// its port.
func TestAWSRedirects(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, _ := h.register("c", "http://127.0.0.1/oauth/callback")
	for redirect, ok := range map[string]bool{
		"http://127.0.0.1:1/oauth/callback": true, "http://127.0.0.1/oauth/callback": true, "http://127.0.0.1:1/other": false,
		"http://[::1]:1/oauth/callback": false, "http://127.0.0.1:1/oauth/callback/": false, "http://127.0.0.1:1/oauth%2fcallback": false,
		"http://evil.example/oauth/callback": false, program.RedirectPaste: false,
	} {
		a := h.get("/authorize?" + authorization("client_id", id, "redirect_uri", redirect))
		if (a.StatusCode == http.StatusOK) != ok {
			t.Error(redirect, a.StatusCode)
		}
	}
}

// TestAWSPages ensures that pages hold everything once and in order.
func TestAWSPages(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.aws.assignments = nil
	for i := range 250 {
		id := fmt.Sprintf("%012d", 1000+i)
		h.aws.assignments = append(h.aws.assignments, assignment(id, fmt.Sprint("n", i), "Admin"), assignment(id, fmt.Sprint("n", i), "ReadOnly"))
	}
	token := h.programTokens().Access
	for size, pages := range map[string]int{"": 3, "&max_result=100": 3, "&max_result=7": 36, "&max_result=1": 250} {
		var ids []string
		next := ""
		n := 0
		for {
			a, out := h.portal("assignment/accounts?x=1"+size+next, token)
			if a.StatusCode != http.StatusOK || n > 300 {
				t.Fatal(a.StatusCode, a.body)
			}
			n++
			for _, x := range out["accountList"].([]any) {
				ids = append(ids, x.(map[string]any)["accountId"].(string))
			}
			if out["nextToken"] == nil {
				break
			}
			next = "&next_token=" + url.QueryEscape(out["nextToken"].(string))
		}
		if n != pages || len(ids) != 250 || ids[0] != "000000001000" || ids[249] != "000000001249" {
			t.Errorf("%q: %d pages, %d ids", size, n, len(ids))
		}
	}
}

// TestRefusedCredentialsAreNoConsole ensures that what AWS clients are refused is
// an event of credentials, whether the role is not theirs or needs more, and
// that the console's stay the console's.
func TestRefusedCredentialsAreNoConsole(t *testing.T) {
	h := newHouse(t)
	h.mfa = false
	h.aws.assignments[1].Require.MFA = true
	h.signIn()
	access := h.programTokens().Access
	for _, tt := range []struct {
		name string
		do   func()
		want broker.Event
	}{
		{"a role that is not theirs", func() { h.portal("federation/credentials?account_id=111122223333&role_name=Root", access) },
			broker.Event{Action: broker.ActionCredentials, Target: "111122223333/Root", Code: broker.CodeDenied}},
		{"a role that needs more", func() { h.portal("federation/credentials?account_id=444455556666&role_name=ReadOnly", access) },
			broker.Event{Action: broker.ActionCredentials, Target: string(h.aws.assignments[1].RoleARN), Code: broker.CodeStepUp}},
		{"a link to the console", func() { h.get("/go?account=111122223333&role=Root", header("Sec-Fetch-Site", "same-origin")) },
			broker.Event{Action: broker.ActionConsole, Target: "111122223333/Root", Code: broker.CodeDenied}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(h.store.AllEvents())
			tt.do()
			var refused []broker.Event
			for _, e := range h.store.AllEvents()[before:] {
				if e.Outcome == broker.OutcomeRefused {
					refused = append(refused, broker.Event{Action: e.Action, Target: e.Target, Code: e.Code})
				}
			}
			if d := cmp.Diff([]broker.Event{tt.want}, refused); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
