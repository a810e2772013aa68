package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
)

// snapshot keeps what a house is now. The function it returns puts it back, so
// that each execution of a fuzz target meets the same house without building
// one.
func (h *house) snapshot() func(testing.TB) {
	state, sessions, cookies := maps.Clone(h.mem.state), maps.Clone(h.mem.sessions), maps.Clone(h.cookies)
	factors, clock := slices.Clone(h.mem.factors), h.clock
	return func(t testing.TB) {
		h.t = t
		h.mem.state, h.mem.sessions, h.cookies = maps.Clone(state), maps.Clone(sessions), maps.Clone(cookies)
		h.mem.factors, h.clock = slices.Clone(factors), clock
		h.mem.events, h.aws.assumed = nil, 0
		h.logs.Reset()
	}
}

// foreign is text that a fuzz target sends, with the names of what the server
// gave out put in for the values.
type foreign map[string]string

func (f foreign) fill(s string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(f)) {
		pairs = append(pairs, k, f[k])
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// unsendable reports that a URL parser refuses the query before it reaches us.
func unsendable(query string) bool {
	u, err := url.Parse("/?" + query)
	return err != nil || u.Fragment != "" || strings.Contains(query, "#") || strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// asForm sends a body as a program does.
func (h *house) asForm(path, body, authorization string) answer {
	return h.do(http.MethodPost, path, strings.NewReader(body), header(withoutCookies, "1"), header("Accept", "application/json"),
		header("Content-Type", "application/x-www-form-urlencoded"), func(r *http.Request) {
			if authorization != "" {
				r.Header["Authorization"] = []string{authorization}
			}
		})
}

// recoveryPattern is a recovery code as its page shows it.
var recoveryPattern = regexp.MustCompile(`\b[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}\b`)

// oauthErrors are all that the token endpoint may say (RFC 6749 5.2, RFC 8628
// 3.5).
var oauthErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unsupported_grant_type", "access_denied", "expired_token", "authorization_pending", "slow_down",
}

// programDocument checks that an answer is one document that nobody keeps, and
// that a refusal has a known error, words, and no token.
func programDocument(t *testing.T, a answer) tokens {
	t.Helper()
	var out tokens
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.Header.Get("Cache-Control") != "no-store" || a.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%d %v %s (%v)", a.StatusCode, a.Header, a.body, err)
	}
	if a.StatusCode != http.StatusOK && (!slices.Contains(oauthErrors, out.Error) || out.Text == "" || out.Access != "" || out.Refresh != "") {
		t.Errorf("refused with %s", a.body)
	}
	return out
}

// lettings are what a house gave out to programs, each good for one use.
func lettings(h *house) foreign {
	h.signIn()
	id, secret := h.register("botocore", "http://127.0.0.1/oauth/callback")
	granted := h.programTokens()
	waiting, approved := h.startDevice("waits"), h.startDevice("box")
	h.post("/device", url.Values{"user_code": {approved.UserCode}, "answer": {"approve"}})
	return foreign{
		"~CODE": h.code(), "~VERIFIER": verifier, "~CHALLENGE": challengeOf(verifier), "~CLI": program.CLIClientID, "~LOOPBACK": url.QueryEscape(loopback), "~ACCESS": granted.Access, "~REFRESH": granted.Refresh,
		"~DEVICE": approved.DeviceCode, "~WAITING": waiting.DeviceCode, "~USER": waiting.UserCode, "~ID": id, "~SECRET": secret,
		"~GDEVICE": "urn:ietf:params:oauth:grant-type:device_code", "~GEXCHANGE": "urn:ietf:params:oauth:grant-type:token-exchange",
		"~TACCESS": "urn:ietf:params:oauth:token-type:access_token",
	}
}

// FuzzTokenForm: no form at the token endpoint gets a token but one that holds,
// once each, something that was given out and what belongs to it; and each
// token that leaves was recorded.
func FuzzTokenForm(f *testing.F) {
	for _, s := range []string{
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~VERIFIER",
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~CHALLENGE",
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~VERIFIER",
		"grant_type=refresh_token&client_id=~CLI&refresh_token=~REFRESH", "grant_type=refresh_token&client_id=~ID&client_secret=~SECRET&refresh_token=~REFRESH",
		"grant_type=refresh_token&client_id=~CLI&refresh_token=~ACCESS", "grant_type=~GDEVICE&client_id=~CLI&device_code=~DEVICE",
		"grant_type=~GDEVICE&client_id=~CLI&device_code=~WAITING", "grant_type=~GDEVICE&client_id=~CLI&device_code=~USER",
		"grant_type=~GEXCHANGE&client_id=~CLI&subject_token=~ACCESS&subject_token_type=~TACCESS&audience=~ID",
		"grant_type=~GEXCHANGE&client_id=~CLI&subject_token=~REFRESH&subject_token_type=~TACCESS&audience=~ID",
		"grant_type=password&client_id=~CLI&username=alice&password=x", "grant_type=refresh_token;client_id=~CLI", "%zz", "",
	} {
		f.Add(s, "")
	}
	f.Add("grant_type=~GDEVICE&device_code=~DEVICE", "Basic cm9sZWdhdGUtY2xpOg==")
	f.Add("grant_type=refresh_token&client_id=~CLI&refresh_token=~REFRESH", "Basic cm9sZWdhdGUtY2xpOng=")
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	// What is genuine is taken, or nothing behind the first check is tried.
	for _, s := range []string{
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~VERIFIER",
		"grant_type=~GDEVICE&client_id=~CLI&device_code=~DEVICE", "grant_type=refresh_token&client_id=~CLI&refresh_token=~REFRESH",
		"grant_type=~GEXCHANGE&client_id=~CLI&subject_token=~ACCESS&subject_token_type=~TACCESS&audience=~ID",
	} {
		h.asForm("/oauth/token", given.fill(s), "").want(f, http.StatusOK)
		again(f)
	}
	f.Fuzz(func(t *testing.T, body, authorization string) {
		again(t)
		body = given.fill(body)
		a := h.asForm("/oauth/token", body, authorization)
		out := programDocument(t, a)
		if a.StatusCode != http.StatusOK {
			return
		}
		form, err := url.ParseQuery(body)
		for k, v := range form {
			if len(v) != 1 {
				t.Errorf("%q with %s twice got tokens", body, k)
			}
		}
		id := form.Get("client_id")
		if id == "" {
			id = "~CLI" // by HTTP Basic; the CLI's is the only id of these that fits there
		}
		var good bool
		switch form.Get("grant_type") {
		case "authorization_code":
			good = form.Get("code") == given["~CODE"] && form.Get("code_verifier") == verifier && form.Get("redirect_uri") == loopback
		case "refresh_token":
			good = form.Get("refresh_token") == given["~REFRESH"]
		case given["~GDEVICE"]:
			good = form.Get("device_code") == given["~DEVICE"]
		case given["~GEXCHANGE"]:
			good = form.Get("subject_token") == given["~ACCESS"] && form.Get("audience") == given["~ID"]
		}
		if err != nil || !good || given.fill(id) != program.CLIClientID || out.Access == "" || out.Refresh == "" {
			t.Errorf("%q got tokens: %s", body, a.body)
		}
		if !slices.ContainsFunc(h.mem.events, func(e broker.Event) bool { return e.Action == broker.ActionToken && e.Outcome == broker.OutcomeOK }) {
			t.Errorf("released with the events %v", h.mem.events)
		}
		if strings.Contains(h.logs.String(), out.Access) || strings.Contains(h.logs.String(), out.Refresh) {
			t.Error("the log holds a token")
		}
	})
}

// FuzzRevoke: no form ends a program's session but one that holds a token of
// it, from the program it was given to.
func FuzzRevoke(f *testing.F) {
	for _, s := range []string{
		"client_id=~CLI&token=~REFRESH", "client_id=~CLI&token=~ACCESS&token_type_hint=access_token", "client_id=~CLI&token=~REFRESHx", "client_id=~ID&client_secret=~SECRET&token=~REFRESH",
		"client_id=~CLI&token=~ACCESS&token=x", "client_id=~CLI&token=.", "client_id=~CLI", "token=~ACCESS", "%zz", "",
	} {
		f.Add(s, "")
	}
	f.Add("token=~ACCESS", "Basic cm9sZWdhdGUtY2xpOg==")
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, body, authorization string) {
		again(t)
		body = given.fill(body)
		a := h.asForm("/oauth/revoke", body, authorization)
		programDocument(t, a)
		form, _ := url.ParseQuery(body)
		dead := !h.alive(given["~ACCESS"])
		mine := form.Get("token") == given["~ACCESS"] || form.Get("token") == given["~REFRESH"]
		if dead && (!mine || a.StatusCode != http.StatusOK) {
			t.Errorf("%q ended the session: %d", body, a.StatusCode)
		}
		if !dead && form.Get("token") == given["~REFRESH"] && a.StatusCode == http.StatusOK && form.Get("client_id") == program.CLIClientID {
			t.Errorf("%q left the session alive", body)
		}
	})
}

// FuzzDeviceAuthorization: a device code that is given out waits for a person,
// whatever the form says, and what it says of its host is one clean line.
func FuzzDeviceAuthorization(f *testing.F) {
	for _, s := range []string{
		"client_id=~CLI&host=alices-laptop", "client_id=~CLI&host=a%0Ab%E2%80%AE%00%ff", "client_id=~ID&client_secret=~SECRET", "client_id=~ID&client_secret=x",
		"client_id=~CLI&host=" + strings.Repeat("%E2%82%AC", 200), "client_id=~CLI&host=" + strings.Repeat("x", 99) + "+" + strings.Repeat("x", 99), "client_id=~CLI&status=approved&source=x", "client_id=x", "%zz", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, body string) {
		again(t)
		a := h.asForm("/oauth/device_authorization", given.fill(body), "")
		programDocument(t, a)
		if a.StatusCode != http.StatusOK {
			return
		}
		var d deviceStart
		if err := json.Unmarshal([]byte(a.body), &d); err != nil || d.Complete != d.URI+"?user_code="+d.UserCode || d.URI != h.public+"/device" {
			t.Fatalf("%s (%v)", a.body, err)
		}
		var rec struct{ Status, Host, Source string }
		_, raw, _ := bytes.Cut(h.mem.state["device/"+broker.NewSecret(d.DeviceCode).Hash()], []byte{0}) // as [sealer] writes it
		if err := json.Unmarshal(raw, &rec); err != nil || rec.Status != "pending" || rec.Source != "" || rec.Host != broker.CleanLabel(rec.Host, 100) {
			t.Errorf("%q is kept as %s (%v)", body, raw, err)
		}
	})
}

// FuzzAuthorize: no link lets a program in; and no form does but one of a known
// program, with its own loopback address, a state and a challenge. The browser
// is sent nowhere else.
func FuzzAuthorize(f *testing.F) {
	good := authorization("host", "laptop")
	for _, s := range []string{
		good, good + "&answer=yes", good + "&answer=no", good + "&answer=yes&answer=no", authorization("client_id", "~ID", "answer", "yes", "redirect_uri", "http://127.0.0.1:5/oauth/callback"),
		authorization("redirect_uri", "https://evil.example/cb", "answer", "yes"), authorization("redirect_uri", "http://127.0.0.1:1@evil.example/", "answer", "yes"),
		authorization("redirect_uri", program.RedirectPaste, "answer", "yes"), authorization("redirect_uri", "http://[::1]:5000/cb", "answer", "yes"), authorization("state", "-", "answer", "yes"),
		authorization("code_challenge_method", "plain", "answer", "yes"), authorization("max_age", "99999999999999999999", "acr_values", "mfa", "answer", "yes"), "%zz", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	codes := func() int {
		n := 0
		for k := range h.mem.state {
			if strings.HasPrefix(k, "code/") {
				n++
			}
		}
		return n
	}
	led := func(t *testing.T, a answer, query string) {
		t.Helper()
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", query, a.StatusCode)
		}
		to := a.Header.Get("Location")
		if to == "" {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "http" || u.User != nil || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" || u.Query().Get("iss") != h.public {
			t.Errorf("%q led to %q", query, to)
		}
	}
	f.Fuzz(func(t *testing.T, query string) {
		again(t)
		query = given.fill(query)
		before := codes()
		if !unsendable(query) {
			led(t, h.get("/authorize?"+query), query)
			if codes() != before || len(h.mem.events) > 0 {
				t.Errorf("the link %q did something: %v", query, h.mem.events)
			}
		}
		a := h.do(http.MethodPost, "/authorize", strings.NewReader(query), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		led(t, a, query)
		if codes() == before {
			if strings.Contains(a.Header.Get("Location"), "code=") {
				t.Errorf("%q: a code that is not kept", query)
			}
			return
		}
		form, err := url.ParseQuery(query)
		client := form.Get("client_id")
		if err != nil || client != program.CLIClientID && client != given["~ID"] || form.Get("answer") != "yes" || form.Get("state") == "" ||
			form.Get("code_challenge_method") != "S256" || len(form.Get("code_challenge")) != 43 || form.Get("response_type") != "code" {
			t.Errorf("%q let a program in", query)
		}
		if to := a.Header.Get("Location"); to != "" && !strings.HasPrefix(to, form.Get("redirect_uri")+"?") {
			t.Errorf("%q led to %q", query, to)
		}
		if e := h.mem.events; len(e) != 1 || e[0].Action != broker.ActionClient || e[0].Outcome != broker.OutcomeOK {
			t.Errorf("let in with the events %v", e)
		}
	})
}

// FuzzUserCode: no form approves a device but one with the very code, however it
// is spaced, and the word for yes.
func FuzzUserCode(f *testing.F) {
	for _, s := range []string{
		"user_code=~USER&answer=approve", "user_code=~USER", "user_code=~USER&answer=deny", "user_code=~USER&answer=APPROVE", "user_code=+~USER+-&answer=approve",
		"user_code=~WAITING&answer=approve", "user_code=%C5%BF&answer=approve", "user_code=BBBB-BBBB&answer=approve", "user_code=" + strings.Repeat("-", 50) + "~USER&answer=approve", "%zz", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	key := "device/" + broker.NewSecret(given["~WAITING"]).Hash()
	f.Fuzz(func(t *testing.T, body string) {
		again(t)
		body = given.fill(body)
		if !unsendable(body) {
			before := string(h.mem.state[key])
			if a := h.get("/device?" + body); a.StatusCode >= http.StatusInternalServerError || len(h.mem.events) > 0 || string(h.mem.state[key]) != before {
				t.Errorf("the link %q: %d, %v", body, a.StatusCode, h.mem.events)
			}
		}
		a := h.do(http.MethodPost, "/device", strings.NewReader(body), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", body, a.StatusCode)
		}
		var rec struct{ Status string }
		_, kept, _ := bytes.Cut(h.mem.state[key], []byte{0}) // as [sealer] writes it
		if err := json.Unmarshal(kept, &rec); err != nil {
			t.Fatal(err)
		}
		if rec.Status == "pending" {
			return
		}
		form, err := url.ParseQuery(body)
		typed := strings.NewReplacer("-", "", " ", "", "\t", "").Replace(strings.ToUpper(form.Get("user_code")))
		want := map[string]string{"approve": "approved", "deny": "denied"}[form.Get("answer")]
		if err != nil || typed != strings.ReplaceAll(given["~USER"], "-", "") || rec.Status != want {
			t.Errorf("%q made the device %s", body, rec.Status)
		}
		if e := h.mem.events; len(e) != 1 || e[0].Action != broker.ActionClient {
			t.Errorf("decided with the events %v", e)
		}
	})
}

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
			if !known || !good || out["refreshToken"] == "" || len(h.mem.events) == 0 {
				t.Errorf("%q got tokens: %s, events %v", body, a.body, h.mem.events)
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
		if released != (path == "federation/credentials") || released && (!has || h.aws.assumed != 1 || len(h.mem.events) != 1) {
			t.Errorf("%q: released %t, %d roles assumed, events %v", query, released, h.aws.assumed, h.mem.events)
		}
	})
}

// FuzzDeepLink: whatever a deep link holds, it survives the sign-in unchanged
// and opens a role only when the person themselves opened it, and only one that
// they have.
func FuzzDeepLink(f *testing.F) {
	for _, s := range [][4]string{
		{"prod", "Admin", "", ""}, {"111122223333", "admin", "ec2/home?region=eu-west-1#Instances:x=a b", "eu-west-1"}, {"prod", "Root", "", ""}, {"p&account=x", "Admin#", "%00", "\xff"},
		{"prod", "Admin", "//evil.example", ""}, {"prod", "Admin", "evil", "?"}, {"prod", "Admin", "/go?entry=direct", ""}, {"", "", "", ""}, {strings.Repeat("a", 257), "Admin", "", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3], true)
		f.Add(s[0], s[1], s[2], s[3], false)
	}
	h := newHouse(f)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, account, role, destination, region string, theirs bool) {
		again(t)
		q := url.Values{"account": {account}, "role": {role}, "destination": {destination}, "region": {region}}
		open := fromElsewhere
		if theirs {
			open = typed
		}
		a := h.get("/go?"+q.Encode(), open)
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || a.StatusCode != http.StatusSeeOther || to.Path != "/signin" {
			t.Fatalf("not signed in: %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		h.get("/signin/okta?"+url.Values{"return_to": {to.Query().Get("return_to")}}.Encode(), fromHere).want(t, http.StatusSeeOther)
		back := h.acs().leads()
		u, err := url.Parse(back)
		if err != nil || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") {
			t.Fatalf("led to %q", back)
		}
		if u.Path == "/go" {
			got := u.Query()
			for k, v := range q {
				if got.Get(k) != v[0] {
					t.Errorf("%s was %q and is %q", k, v[0], got.Get(k))
				}
			}
		} else if len(q.Encode()) < 2000 {
			t.Errorf("%q came back as %q", q.Encode(), back)
		}
		a = h.get(back, fromElsewhere) // the redirect comes from the identity provider
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", back, a.StatusCode)
		}
		has := slices.ContainsFunc(h.aws.assignments, func(x broker.Assignment) bool {
			return (string(x.Account.ID) == account || strings.EqualFold(x.Account.Name, account)) && strings.EqualFold(x.Role, role)
		})
		if opened := a.Header.Get("Location") == awsLink; opened && (!has || !theirs) || h.aws.assumed > 0 && !opened && destination != "evil" {
			t.Errorf("opened %t, theirs %t, theirs to open %t, %d roles assumed", opened, theirs, has, h.aws.assumed)
		}
	})
}

// FuzzBinding: no cookies bind a browser to a sign-in but the one it was given
// when that began, however good the identity provider's answer is.
func FuzzBinding(f *testing.F) {
	for _, s := range []string{
		"__Host-rolegate_signin=BINDING", "rolegate_signin=BINDING", "__Host-rolegate_signin=\"BINDING\"", "__Host-rolegate_signin=BINDING; __Host-rolegate_signin=x",
		"__Host-rolegate_signin=x; __Host-rolegate_signin=BINDING", "__Host-rolegate_session=BINDING", "__Host-rolegate_signin=", "=;;=\x00", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	h.get("/signin/okta").want(f, http.StatusSeeOther)
	binding := h.cookies["__Host-rolegate_signin"].Value
	clear(h.cookies)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, cookie string) {
		again(t)
		cookie = strings.ReplaceAll(cookie, "BINDING", binding)
		a := h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}, fromElsewhere, func(r *http.Request) { r.Header["Cookie"] = []string{cookie} })
		_, signedIn := h.cookies["__Host-rolegate_session"]
		if a.StatusCode >= http.StatusInternalServerError || signedIn && !strings.Contains(cookie, binding) || signedIn != (len(h.mem.sessions) == 1) {
			t.Errorf("%q: %d, signed in %t, %d sessions", cookie, a.StatusCode, signedIn, len(h.mem.sessions))
		}
	})
}

// FuzzLogoutMessages: no request at a logout route ends a session but one whose
// message the adapter vouches for, and none leads elsewhere than the provider's
// own address.
func FuzzLogoutMessages(f *testing.F) {
	for i := range 4 {
		for _, s := range []string{
			"SAMLRequest=GOOD&RelayState=x", "SAMLRequest=x", "SAMLResponse=x&RelayState=STATE", "SAMLRequest=GOOD&SAMLResponse=GOOD", "SAMLRequest=GOOD&SAMLRequest=x",
			"logout_token=GOOD", "logout_token=GOOD&logout_token=x", "logout_token=x", "state=STATE", "RelayState=%2F%2Fevil.example&SAMLRequest=GOOD", "%zz", "",
		} {
			f.Add(uint8(i), s)
		}
	}
	h := newHouse(f)
	known(h.saml, "alice", "i1")
	h.signIn()
	known(h.oidc, "alice", "sid-1")
	h.get("/signin/entra")
	h.get("/oidc/entra/callback?code=c&state="+h.oidc.last.State, fromElsewhere)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, which uint8, message string) {
		again(t)
		h.saml.vouches, h.oidc.vouches = "GOOD", "GOOD"
		h.saml.notice = seen(h, "r1", broker.SessionFilter{Provider: "okta", NameID: "alice", SessionIndex: "i1"})
		h.oidc.notice = seen(h, "j1", broker.SessionFilter{Provider: "entra", NameID: "alice", SessionIndex: "sid-1"})
		h.saml.answer = &broker.Challenge{URL: theirSLO + "?SAMLResponse=x"}
		sessions := len(h.mem.sessions)
		var a answer
		switch {
		case which%4 == 0 && !unsendable(message):
			a = h.get("/saml/okta/slo?"+message, fromElsewhere)
		case which%4 == 1:
			a = h.do(http.MethodPost, "/saml/okta/slo", strings.NewReader(message), fromElsewhere, header("Content-Type", "application/x-www-form-urlencoded"))
		case which%4 == 2:
			a = h.do(http.MethodPost, "/oidc/entra/backchannel-logout", strings.NewReader(message), header(withoutCookies, "1"), header("Content-Type", "application/x-www-form-urlencoded"))
		case which%4 == 3 && !unsendable(message):
			a = h.get("/oidc/entra/signed-out?"+message, fromElsewhere)
		default:
			return
		}
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", message, a.StatusCode)
		}
		if to := a.Header.Get("Location"); to != "" && !strings.HasPrefix(to, theirSLO) {
			t.Errorf("%q led to %q", message, to)
		}
		ended := sessions - len(h.mem.sessions)
		if ended > 1 || ended == 1 && !strings.Contains(message, "GOOD") {
			t.Errorf("%q ended %d sessions", message, ended)
		}
		if ok := slices.ContainsFunc(h.mem.events, func(e broker.Event) bool { return e.Action == broker.ActionLogout && e.Outcome == broker.OutcomeOK }); (ended == 1) != ok {
			t.Errorf("%q ended %d sessions with the events %v", message, ended, h.mem.events)
		}
	})
}

// FuzzFactorForms: no form proves a second factor but one with a right code,
// none takes a factor away or adds one without it, and a used code is used up.
func FuzzFactorForms(f *testing.F) {
	paths := []string{"/mfa", "/mfa/passkey", "/mfa/enrol/passkey", "/mfa/enrol/code", "/mfa/enrol/code/confirm", "/mfa/remove"}
	for i := range paths {
		for _, s := range []string{
			"code=~TOTP&return_to=%2Faccess", "code=~RECOVERY", "code=000000", "code=~TOTP&code=000000", "code=%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5%D9%A6", "factor=~FACTOR", "id=~CEREMONY&name=x&code=~TOTP",
			"id=x&answer=%7B%7D", "id=" + strings.Repeat("a", 200) + "&answer=" + strings.Repeat("a", 20000), "code=~TOTP&return_to=%2F%2Fevil.example", "%zz", "",
		} {
			f.Add(uint8(i), s)
		}
	}
	h := newHouse(f, ownFactor(f))
	h.aws.mfa = false
	h.signIn()
	a := h.post("/mfa/enrol/code", url.Values{"name": {"phone"}})
	key := strings.ReplaceAll(field(f, a.body, "key"), " ", "")
	code, err := totp.GenerateCode(key, h.clock)
	if err != nil {
		f.Fatal(err)
	}
	a = h.post("/mfa/enrol/code/confirm", url.Values{"id": {field(f, a.body, "id")}, "name": {"phone"}, "code": {code}}).want(f, http.StatusOK)
	given := foreign{"~RECOVERY": recoveryPattern.FindString(a.body), "~FACTOR": h.mem.factors[0].ID}
	h.clock = h.clock.Add(time.Minute)
	h.signIn() // which has not proven a factor
	if given["~TOTP"], err = totp.GenerateCode(key, h.clock); err != nil || given["~RECOVERY"] == "" {
		f.Fatal(err, a.body)
	}
	again := h.snapshot()
	for _, code := range []string{given["~TOTP"], given["~RECOVERY"]} {
		h.post("/mfa", url.Values{"code": {code}}).want(f, http.StatusSeeOther)
		again(f)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		again(t)
		before, factors := h.cookies["__Host-rolegate_session"].Value, len(h.mem.factors)
		path := paths[int(which)%len(paths)]
		body = given.fill(body)
		post := func() answer {
			return h.do(http.MethodPost, path, strings.NewReader(body), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		}
		a := post()
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
		if to := a.Header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("%s: %q led to %q", path, body, to)
		}
		if len(h.mem.factors) != factors {
			t.Errorf("%s: %q changed the factors of a session without proof", path, body)
		}
		if c := h.cookies["__Host-rolegate_session"]; c == nil || c.Value == before {
			return
		}
		form, err := url.ParseQuery(body)
		typed := strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(strings.TrimSpace(form.Get("code")))
		if err != nil || path != "/mfa" || typed != given["~TOTP"] && !strings.EqualFold(typed, strings.ReplaceAll(given["~RECOVERY"], "-", "")) {
			t.Errorf("%s: %q proved a factor", path, body)
		}
		if e := h.mem.events; len(e) != 1 || e[0].Action != broker.ActionMFAUse || e[0].Outcome != broker.OutcomeOK {
			t.Errorf("proven with the events %v", e)
		}
		proven := h.cookies["__Host-rolegate_session"].Value
		if post(); h.cookies["__Host-rolegate_session"].Value != proven {
			t.Errorf("%q was good twice", body)
		}
	})
}
