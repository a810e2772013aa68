package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
)

// awsExceptions are the only errors by which AWS's clients tell what to do.
var awsExceptions = []string{
	"InvalidRequestException", "InvalidClientException", "InvalidGrantException", "InvalidRedirectUriException", "UnsupportedGrantTypeException", "AccessDeniedException",
	"ExpiredTokenException", "AuthorizationPendingException", "SlowDownException", "UnauthorizedException", "ForbiddenException", "ResourceNotFoundException", "TooManyRequestsException",
}

// FuzzAWSOIDC: no document below /aws/oidc gets a token but one with a
// registered client and what was given out; each registration that is accepted
// works, and each refusal is one that the clients know.
func FuzzAWSOIDC(f *testing.F) {
	paths := []string{"client/register", "device_authorization", "token"}
	for i, seeds := range [][]string{
		{
			`{"clientName":"botocore","clientType":"public","scopes":["sso:account:access"],"redirectUris":["http://127.0.0.1/oauth/callback"],"grantTypes":["authorization_code"]}`,
			`{"clientName":"x","clientType":"public"}`, `{"clientName":"\u0000","clientType":"public"}`, `{"clientName":"x","clientType":"confidential"}`,
			`{"clientName":"x","clientType":"public","redirectUris":["https://evil.example/"]}`, `{"clientName":"x","clientType":"public"}{}`, `[`, `null`, ``,
		},
		{`{"clientId":"~ID","clientSecret":"~SECRET","startUrl":"https://x"}`, `{"clientId":"~ID","clientSecret":"x"}`, `{"clientId":"rolegate-cli"}`, `{"clientId":["~ID"]}`},
		{
			`{"grantType":"~GDEVICE","clientId":"~ID","clientSecret":"~SECRET","deviceCode":"~AWSDEVICE"}`, `{"grantType":"~GDEVICE","clientId":"~ID","clientSecret":"~SECRET","deviceCode":"~DEVICE"}`,
			`{"grantType":"~GDEVICE","clientId":"rolegate-cli","deviceCode":"~DEVICE"}`, `{"grantType":"refresh_token","clientId":"~ID","clientSecret":"~SECRET","refreshToken":"~REFRESH"}`,
			`{"grantType":"refresh_token","clientId":"rolegate-cli","refreshToken":"~REFRESH"}`, `{"GRANTTYPE":"~GDEVICE","clientid":"~ID","clientsecret":"~SECRET","devicecode":"~AWSDEVICE"}`,
			`{"grantType":"authorization_code","clientId":"rolegate-cli","code":"~CODE","redirectUri":"http://127.0.0.1:49152/callback","codeVerifier":"~VERIFIER"}`,
		},
	} {
		for _, s := range seeds {
			f.Add(uint8(i), s, "application/json")
		}
	}
	f.Add(uint8(2), `{"grantType":"refresh_token","clientId":"rolegate-cli","refreshToken":"~REFRESH"}`, "application/x-amz-json-1.1; charset=utf-8")
	f.Add(uint8(2), `{"grantType":"refresh_token","clientId":"rolegate-cli","refreshToken":"~REFRESH"}`, "text/plain")
	h := newHouse(f)
	given := lettings(h)
	_, started := h.awsJSON("/aws/oidc/device_authorization", map[string]any{"clientId": given["~ID"], "clientSecret": given["~SECRET"], "startUrl": "https://x"})
	given["~AWSDEVICE"] = fmt.Sprint(started["deviceCode"])
	h.post("/device", url.Values{"user_code": {fmt.Sprint(started["userCode"])}, "answer": {"approve"}})
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, which uint8, body, contentType string) {
		again(t)
		body = given.fill(body)
		path := paths[int(which)%len(paths)]
		send := func(path, body string) (answer, map[string]any) {
			a := h.do(http.MethodPost, "/aws/oidc/"+path, strings.NewReader(body), header(withoutCookies, "1"), header("Accept", ""), header("Content-Type", contentType))
			return a, document(t, a)
		}
		a, out := send(path, body)
		if a.StatusCode != http.StatusOK {
			return
		}
		var in struct {
			ClientID, ClientSecret, GrantType, DeviceCode, RefreshToken, Code, RedirectURI, CodeVerifier string
		}
		if err := json.Unmarshal([]byte(body), &in); err != nil && path != "client/register" {
			t.Fatalf("%q was taken (%v)", body, err)
		}
		known := in.ClientID == program.CLIClientID && in.ClientSecret == "" || in.ClientID == given["~ID"] && in.ClientSecret == given["~SECRET"]
		switch path {
		case "client/register":
			b, err := json.Marshal(map[string]any{"clientId": out["clientId"], "clientSecret": out["clientSecret"], "startUrl": "https://x"})
			if a, _ := send("device_authorization", string(b)); err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("%q is registered and not known: %d %v", body, a.StatusCode, err)
			}
		case "device_authorization":
			if !known {
				t.Errorf("%q got a device code", body)
			}
		default:
			// What was given to one client is not good for the other.
			cli := in.ClientID == program.CLIClientID
			good := in.GrantType == given["~GDEVICE"] && (cli && in.DeviceCode == given["~DEVICE"] || !cli && in.DeviceCode == given["~AWSDEVICE"]) ||
				cli && in.GrantType == "refresh_token" && in.RefreshToken == given["~REFRESH"] ||
				cli && in.GrantType == "authorization_code" && in.Code == given["~CODE"] && in.CodeVerifier == verifier && in.RedirectURI == loopback
			if !known || !good || out["refreshToken"] == "" || len(h.store.AllEvents()) == 0 {
				t.Errorf("%q got tokens: %s, events %v", body, a.body, h.store.AllEvents())
			}
		}
	})
}

// document reads an answer below /aws: a document in any case, or nothing with
// 200, and a refusal with its exception.
func document(t *testing.T, a answer) map[string]any {
	t.Helper()
	out := map[string]any{}
	if a.StatusCode == http.StatusOK && a.body == "" {
		return out
	}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("%d %q (%v)", a.StatusCode, a.body, err)
	}
	if x := a.Header.Get("x-amzn-ErrorType"); a.StatusCode != http.StatusOK && (a.StatusCode >= http.StatusInternalServerError || !slices.Contains(awsExceptions, x)) {
		t.Errorf("refused with %d %q %s", a.StatusCode, x, a.body)
	}
	return out
}

// FuzzAWSPortal: no request below /aws/portal gets anything but with an access
// token, credentials only for a role that the person has, and pages are never
// longer than asked for.
func FuzzAWSPortal(f *testing.F) {
	paths := []string{"assignment/accounts", "assignment/roles", "federation/credentials", "logout"}
	for i := range paths {
		for _, q := range []string{
			"", "account_id=111122223333&role_name=Admin", "account_id=111122223333&role_name=Root", "account_id=444455556666&role_name=ReadOnly&account_id=1", "max_result=1",
			"max_result=1&next_token=000000000001", "max_result=101", "max_result=%2B7&next_token=%ff", "next_token=" + strings.Repeat("9", 301), "account_id=%00&role_name=%0a",
		} {
			f.Add(uint8(i), q, "~ACCESS")
		}
		for _, token := range []string{"", "~REFRESH", "~BROWSER", "~ACCESS ", "~ACCESS,~ACCESS", "\x00"} {
			f.Add(uint8(i), "account_id=111122223333&role_name=Admin", token)
		}
	}
	f.Add(uint8(3), "ult=%", "~ACCESS")
	h := newHouse(f)
	given := lettings(h)
	given["~BROWSER"] = h.cookies["__Host-rolegate_session"].Value
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, which uint8, query, token string) {
		if unsendable(query) {
			return
		}
		again(t)
		path := paths[int(which)%len(paths)]
		method := http.MethodGet
		if path == "logout" {
			method = http.MethodPost
		}
		token = given.fill(token)
		a := h.do(method, "/aws/portal/"+path+"?"+query, nil, header("Accept", ""), func(r *http.Request) { r.Header["X-Amz-Sso_bearer_token"] = []string{token} })
		out := document(t, a)
		if path == "logout" {
			_, err := url.ParseQuery(query) // one that does not parse is refused on every route
			if dead := !h.alive(given["~ACCESS"]); dead != (token == given["~ACCESS"] && err == nil) {
				t.Errorf("%q signed out: %t (%d)", token, dead, a.StatusCode)
			}
			return
		}
		if a.StatusCode != http.StatusOK {
			if strings.Contains(a.body, "planted") || h.aws.assumed > 0 {
				t.Errorf("refused with %s, %d roles assumed", a.body, h.aws.assumed)
			}
			return
		}
		if token != given["~ACCESS"] {
			t.Fatalf("%q is a token", token)
		}
		q, _ := url.ParseQuery(query)
		size := 100
		if _, err := fmt.Sscan(q.Get("max_result"), &size); err == nil && (size < 1 || size > 100) {
			t.Errorf("max_result %q was taken", q.Get("max_result"))
		}
		for _, name := range []string{"accountList", "roleList"} {
			if list, ok := out[name].([]any); ok && len(list) > size {
				t.Errorf("%q: %d entries", query, len(list))
			}
		}
		_, released := out["roleCredentials"]
		has := slices.ContainsFunc(h.aws.assignments, func(a broker.Assignment) bool {
			return string(a.Account.ID) == q.Get("account_id") && strings.EqualFold(a.Role, q.Get("role_name"))
		})
		if released != (path == "federation/credentials") || released && (!has || h.aws.assumed != 1 || !mintedOnce(h.store.AllEvents(), broker.ActionCredentials)) {
			t.Errorf("%q: released %t, %d roles assumed, events %v", query, released, h.aws.assumed, h.store.AllEvents())
		}
	})
}
