package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

var (
	keyOnPage      = regexp.MustCompile(`<code id="key" class="key">([A-Z2-7 ]+)</code>`)
	recoveryOnPage = regexp.MustCompile(`<li><code>([a-z2-7-]{19})</code>`)
	idOnPage       = regexp.MustCompile(`name="id" value="([A-Za-z0-9_-]+)"`)
	optionsOnPage  = regexp.MustCompile(`data-options="([^"]+)"`)
	pasteOnPage    = regexp.MustCompile(`<pre id="code"[^>]*>([^<]+)<`)
)

// gatherPrograms finds what programs send and get.
func (s secrets) gatherPrograms(x exchange) {
	switch x.path {
	case "/authorize":
		if u, err := url.Parse(x.header.Get("Location")); err == nil {
			s.add(ourCode, u.Query()["code"]...)
		}
		for _, m := range pasteOnPage.FindAllStringSubmatch(x.body, -1) {
			s.add(ourCode, m[1])
		}
	case "/oauth/token", "/aws/oidc/token", "/oauth/device_authorization", "/aws/oidc/device_authorization", "/aws/oidc/client/register":
		var sent struct {
			Verifier string `json:"codeVerifier"`
		}
		_ = json.Unmarshal([]byte(x.raw), &sent) // a form has none
		s.add(ourVerifier, x.form.Get("code_verifier"), sent.Verifier)
		var got map[string]any
		_ = json.Unmarshal([]byte(x.body), &got)
		for name, k := range map[string]kind{
			"access_token": ourAccess, "accessToken": ourAccess, "refresh_token": ourRefresh, "refreshToken": ourRefresh, "device_code": deviceCode,
			"deviceCode": deviceCode, "user_code": userCode, "userCode": userCode, "clientSecret": registration,
		} {
			if v, ok := got[name].(string); ok {
				s.add(k, v)
			}
		}
	}
	for _, path := range []string{"/slo", "/backchannel-logout"} {
		if strings.HasSuffix(x.path, path) {
			for _, name := range []string{"SAMLRequest", "SAMLResponse", "logout_token"} {
				s.add(logoutMessages, append(x.form[name], x.query[name]...)...)
			}
		}
	}
}

// gatherFactors finds what second factors are made of.
func (s secrets) gatherFactors(x exchange) {
	if !strings.HasPrefix(x.path, "/mfa") {
		return
	}
	for _, m := range keyOnPage.FindAllStringSubmatch(x.body, -1) {
		s.add(factorKey, m[1], strings.ReplaceAll(m[1], " ", ""))
	}
	for _, m := range recoveryOnPage.FindAllStringSubmatch(x.body, -1) {
		s.add(recoveryCode, m[1], strings.ReplaceAll(m[1], "-", ""))
	}
	for _, m := range idOnPage.FindAllStringSubmatch(x.body, -1) {
		s.add(ceremony, m[1])
	}
	s.add(ceremony, x.form["id"]...)
	var answer struct {
		Response struct{ Signature, AttestationObject string }
	}
	if json.Unmarshal([]byte(x.form.Get("answer")), &answer) == nil {
		s.add(passkeyAnswer, answer.Response.Signature, answer.Response.AttestationObject)
	}
}

// onPage returns what a page shows.
func (p *planting) onPage(b *formbrowser.Browser, what *regexp.Regexp) string {
	p.Helper()
	m := what.FindStringSubmatch(b.Body)
	if m == nil {
		p.Fatalf("no %s at %v (%d)\n%.3000s", what, b.URL, b.Status, b.Body)
	}
	return html.UnescapeString(m[1])
}

// post sends a form of a page and wants a status.
func (p *planting) post(b *formbrowser.Browser, flow, path string, status int, form url.Values) {
	p.Helper()
	must(p.T, b, b.Post(p.Context(), p.d.Portal+path, form))
	p.wants(b, status, flow)
}

// ownFactor sets up both kinds of second factor and uses them, rightly and
// wrongly.
func (p *planting) ownFactor(b *formbrowser.Browser) {
	p.Helper()
	must(p.T, b, b.Get(p.Context(), p.d.Portal+"/mfa/enrol"))
	p.wants(b, http.StatusOK, "set up")
	p.post(b, "an app", "/mfa/enrol/code", http.StatusOK, nil)
	id, key := p.onPage(b, idOnPage), strings.ReplaceAll(p.onPage(b, keyOnPage), " ", "")
	code := func(later time.Duration) string {
		c, err := totp.GenerateCode(key, time.Now().Add(time.Duration(p.ahead.Load())+later))
		if err != nil {
			p.Fatal(err)
		}
		return c
	}
	confirm := func(code string) url.Values { return url.Values{"id": {id}, "name": {"phone"}, "code": {code}} }
	p.post(b, "wrong first code", "/mfa/enrol/code/confirm", http.StatusUnprocessableEntity, confirm(p.plantWrong("first-code")))
	p.post(b, "first code", "/mfa/enrol/code/confirm", http.StatusOK, confirm(code(0)))
	recovery := p.onPage(b, recoveryOnPage)
	p.post(b, "wrong code", "/mfa", http.StatusUnprocessableEntity, url.Values{"code": {p.plantWrong("code-of-app")}})
	p.post(b, "code of the key", "/mfa", http.StatusUnprocessableEntity, url.Values{"code": {key}})
	p.post(b, "recovery code", "/mfa", http.StatusOK, url.Values{"code": {recovery}})
	p.post(b, "recovery code again", "/mfa", http.StatusUnprocessableEntity, url.Values{"code": {recovery}})

	host, err := url.Parse(p.d.Portal)
	if err != nil {
		p.Fatal(err)
	}
	rp := virtualwebauthn.RelyingParty{ID: host.Hostname(), Name: "rolegate", Origin: p.d.Portal}
	credential := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	for len(credential.Key.AttestationData()) != 77 { // the library leaves out leading zeros
		credential = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	must(p.T, b, b.Get(p.Context(), p.d.Portal+"/mfa/enrol"))
	made, err := virtualwebauthn.ParseAttestationOptions(`{"publicKey":` + p.onPage(b, optionsOnPage) + `}`)
	if err != nil {
		p.Fatal(err)
	}
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(made.UserID)})
	answer := func() url.Values {
		return url.Values{"id": {p.onPage(b, idOnPage)}, "name": {"laptop"}}
	}
	form := answer()
	form.Set("answer", virtualwebauthn.CreateAttestationResponse(rp, device, credential, *made))
	p.post(b, "a passkey", "/mfa/enrol/passkey", http.StatusOK, form)
	used := func() url.Values {
		must(p.T, b, b.Get(p.Context(), p.d.Portal+"/mfa"))
		options, err := virtualwebauthn.ParseAssertionOptions(`{"publicKey":` + p.onPage(b, optionsOnPage) + `}`)
		if err != nil {
			p.Fatal(err)
		}
		credential.Counter++
		form := answer()
		form.Set("answer", virtualwebauthn.CreateAssertionResponse(rp, device, credential, *options))
		return form
	}
	form = used()
	p.post(b, "passkey used", "/mfa/passkey", http.StatusOK, form)
	p.post(b, "passkey answer again", "/mfa/passkey", http.StatusUnprocessableEntity, form)
	form = used()
	form.Set("answer", strings.Replace(form.Get("answer"), "webauthn", p.plantWrong("answer"), 1)+"x")
	p.post(b, "passkey answer that is none", "/mfa/passkey", http.StatusUnprocessableEntity, form)
	must(p.T, b, b.Get(p.Context(), p.d.Portal+"/security"))
	p.wants(b, http.StatusOK, "what is set up")
}

// program calls as a program does, and wants a status.
func (p *planting) program(flow, method, path, kind, body string, header http.Header, status int) map[string]any {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), method, p.d.Portal+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != status {
		p.Fatalf("%s: %d, want %d (%v)\n%s", flow, resp.StatusCode, status, err, b)
	}
	out := map[string]any{}
	_ = json.Unmarshal(b, &out) // a logout answers nothing
	return out
}

func (p *planting) form(flow, path string, status int, pairs ...string) map[string]any {
	p.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.program(flow, http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode(), nil, status)
}

func text(m map[string]any, name string) string { s, _ := m[name].(string); return s }

// approve says yes to a program and returns its code.
func (p *planting) approve(b *formbrowser.Browser, client, redirect, verifier string) string {
	p.Helper()
	sum := sha256.Sum256([]byte(verifier))
	form := url.Values{
		"client_id": {client}, "redirect_uri": {redirect}, "response_type": {"code"}, "state": {"state-of-a-program"}, "host": {"laptop"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	must(p.T, b, b.Get(p.Context(), p.d.Portal+"/authorize?"+form.Encode()))
	p.wants(b, http.StatusOK, "the question about a program")
	form.Set("answer", "yes")
	b.StopAt(func(u *url.URL) bool { return u.Path == "/callback" })
	defer b.StopAt(nil)
	must(p.T, b, b.Post(p.Context(), p.d.Portal+"/authorize", form))
	if redirect == program.RedirectPaste {
		return p.onPage(b, pasteOnPage)
	}
	to, err := url.Parse(b.Hops[len(b.Hops)-1])
	if err != nil || to.Query().Get("code") == "" {
		p.Fatalf("no code at %v (%v)", b.Hops, err)
	}
	return to.Query().Get("code")
}

const (
	programRedirect = "http://127.0.0.1:49152/callback"
	programVerifier = "planted-verifier-planted-verifier-planted-verifier-"
)

// letIn lets programs in by every way, and shows the server old, wrong and
// stolen tokens.
func (p *planting) letIn(b *formbrowser.Browser) {
	p.Helper()
	const token, cli = "/oauth/token", program.CLIClientID
	redeem := func(flow, code, redirect, verifier string, status int) map[string]any {
		return p.form(flow, token, status, "grant_type", "authorization_code", "client_id", cli, "code", code, "redirect_uri", redirect, "code_verifier", verifier)
	}
	code := p.approve(b, cli, programRedirect, programVerifier+"1")
	redeem("another verifier", code, programRedirect, p.plantWrong("verifier")+programVerifier, http.StatusBadRequest)
	code = p.approve(b, cli, programRedirect, programVerifier+"2")
	first := redeem("code for tokens", code, programRedirect, programVerifier+"2", http.StatusOK)
	bearer := func(t string) http.Header { return http.Header{"Authorization": {"Bearer " + t}} }
	p.program("me", http.MethodGet, "/api/v1/me", "", "", bearer(text(first, "access_token")), http.StatusOK)
	p.program("a refresh token as an access token", http.MethodGet, "/api/v1/me", "", "", bearer(text(first, "refresh_token")), http.StatusUnauthorized)
	refresh := func(flow, t string, status int) map[string]any {
		return p.form(flow, token, status, "grant_type", "refresh_token", "client_id", cli, "refresh_token", t)
	}
	second := refresh("refresh", text(first, "refresh_token"), http.StatusOK)
	refresh("refresh again", text(first, "refresh_token"), http.StatusOK) // within the grace
	third := refresh("refresh once more", text(second, "refresh_token"), http.StatusOK)
	p.ahead.Store(int64(2 * time.Minute))
	refresh("a stolen refresh token", text(first, "refresh_token"), http.StatusBadRequest)
	refresh("and its owner's", text(third, "refresh_token"), http.StatusBadRequest)
	p.ahead.Store(0)
	refresh("nobody's refresh token", p.plantWrong("refresh"), http.StatusBadRequest)

	code = p.approve(b, cli, program.RedirectPaste, programVerifier+"3")
	pasted := redeem("pasted code", code, program.RedirectPaste, programVerifier+"3", http.StatusOK)
	redeem("pasted code again", code, program.RedirectPaste, programVerifier+"3", http.StatusBadRequest)
	refresh("tokens of a code used twice", text(pasted, "refresh_token"), http.StatusBadRequest)

	device := func() map[string]any {
		return p.form("device code", "/oauth/device_authorization", http.StatusOK, "client_id", cli, "host", "box")
	}
	poll := func(flow string, d map[string]any, status int) map[string]any {
		return p.form(flow, token, status, "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", cli, "device_code", text(d, "device_code"))
	}
	yes, no := device(), device()
	poll("too early", yes, http.StatusBadRequest)
	must(p.T, b, b.Get(p.Context(), text(yes, "verification_uri_complete")))
	p.wants(b, http.StatusOK, "the page for a user code")
	p.post(b, "wrong user code", "/device", http.StatusUnprocessableEntity, url.Values{"user_code": {p.plantWrong("user-code")}})
	p.post(b, "user code", "/device", http.StatusOK, url.Values{"user_code": {text(yes, "user_code")}})
	p.post(b, "yes", "/device", http.StatusOK, url.Values{"user_code": {text(yes, "user_code")}, "answer": {"approve"}})
	p.post(b, "no", "/device", http.StatusOK, url.Values{"user_code": {text(no, "user_code")}, "answer": {"deny"}})
	p.ahead.Store(int64(10 * time.Second))
	in := poll("let in", yes, http.StatusOK)
	poll("not let in", no, http.StatusBadRequest)
	poll("device code again", yes, http.StatusBadRequest)
	p.ahead.Store(0)
	p.form("revoke", "/oauth/revoke", http.StatusOK, "client_id", cli, "token", text(in, "refresh_token"))
	p.form("revoke nobody's", "/oauth/revoke", http.StatusOK, "client_id", cli, "token", p.plantWrong("revoked"))
}

// sdks does what AWS's clients do.
func (p *planting) sdks(b *formbrowser.Browser) {
	p.Helper()
	call := func(flow, path string, status int, in map[string]any) map[string]any {
		body, err := json.Marshal(in)
		if err != nil {
			p.Fatal(err)
		}
		return p.program(flow, http.MethodPost, "/aws/oidc/"+path, "application/json", string(body), nil, status)
	}
	reg := call("register", "client/register", http.StatusOK, map[string]any{"clientName": "botocore", "clientType": "public", "redirectUris": []string{"http://127.0.0.1/callback"}})
	with := func(more map[string]any) map[string]any {
		out := map[string]any{"clientId": reg["clientId"], "clientSecret": reg["clientSecret"]}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	code := p.approve(b, text(reg, "clientId"), programRedirect, programVerifier+"4")
	got := call("code", "token", http.StatusOK, with(map[string]any{"grantType": "authorization_code", "code": code, "redirectUri": programRedirect, "codeVerifier": programVerifier + "4"}))
	next := call("refresh", "token", http.StatusOK, with(map[string]any{"grantType": "refresh_token", "refreshToken": got["refreshToken"]}))
	call("wrong secret", "token", http.StatusUnauthorized, map[string]any{"clientId": reg["clientId"], "clientSecret": p.plantWrong("client"), "grantType": "refresh_token", "refreshToken": next["refreshToken"]})
	for range 2 {
		d := call("device code", "device_authorization", http.StatusOK, with(map[string]any{"startUrl": p.d.Portal}))
		call("too early", "token", http.StatusBadRequest, with(map[string]any{"grantType": "urn:ietf:params:oauth:grant-type:device_code", "deviceCode": d["deviceCode"]}))
	}
	bearer := http.Header{"X-Amz-Sso_bearer_token": {text(next, "accessToken")}}
	p.program("accounts", http.MethodGet, "/aws/portal/assignment/accounts", "", "", bearer, http.StatusOK)
	p.program("roles", http.MethodGet, "/aws/portal/assignment/roles?account_id=111111111111", "", "", bearer, http.StatusOK)
	p.program("credentials", http.MethodGet, "/aws/portal/federation/credentials?account_id=111111111111&role_name=ReadOnly", "", "", bearer, http.StatusOK)
	p.program("a role that is not mine", http.MethodGet, "/aws/portal/federation/credentials?account_id=111111111111&role_name=Nobody", "", "", bearer, http.StatusForbidden)
	p.program("wrong token", http.MethodGet, "/aws/portal/assignment/accounts", "", "", http.Header{"X-Amz-Sso_bearer_token": {p.plantWrong("portal")}}, http.StatusUnauthorized)
	p.program("log out", http.MethodPost, "/aws/portal/logout", "", "", bearer, http.StatusOK)
}

// logouts sends messages that nobody signed: what they hold is refused, and is
// somebody's name and session all the same.
func (p *planting) logouts() {
	p.Helper()
	doc := func(root string) string {
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
			`<samlp:%s xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns="urn:oasis:names:tc:SAML:2.0:assertion" ID="_planted" Version="2.0" IssueInstant="%s"><Issuer>%s</Issuer><NameID>planted-name-of-%s</NameID></samlp:%[1]s>`,
			root, time.Now().UTC().Format(time.RFC3339), p.d.Portal, root))
	}
	b := newFormBrowser(p.T)
	for _, name := range []string{"SAMLRequest", "SAMLResponse"} {
		message := doc(map[string]string{"SAMLRequest": "LogoutRequest", "SAMLResponse": "LogoutResponse"}[name])
		must(p.T, b, b.Post(p.Context(), p.d.Portal+"/saml/saml/slo", url.Values{name: {message}, "RelayState": {p.plantWrong("relay-" + name)}}))
		p.wants(b, http.StatusUnauthorized, name)
		must(p.T, b, b.Get(p.Context(), p.d.Portal+"/saml/saml/slo?"+url.Values{name: {"planted" + message}, "Signature": {p.plantWrong("signature")}}.Encode()))
		p.wants(b, http.StatusUnauthorized, name+" by GET")
	}
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"logout+jwt"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://login.rolegate.test","aud":"rolegate","sub":"planted-subject"}`)) + "." + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("planted"), 20))
	p.form("logout token", "/oidc/oidc/backchannel-logout", http.StatusBadRequest, "logout_token", token)
}

// tables are all rows of all tables of a schema, as PostgreSQL writes them; what
// is bytes is hexadecimal there.
func tables(t *testing.T, dsn string) []place {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	list := func(query string) (out []string) {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	var out []place
	for _, name := range list(`select quote_ident(table_name) from information_schema.tables where table_schema = current_schema() order by 1`) {
		out = append(out, place{name: "table " + name, text: strings.Join(list(`select x::text from `+name+` x`), "\n")})
	}
	return out
}

// TestPlantedSecretsPostgreSQL is [TestPlantedSecrets] over PostgreSQL, of which
// every table is dumped; and ensures that a secret in one is found.
func TestPlantedSecretsPostgreSQL(t *testing.T) {
	dsn := newSchema(t, need(t, "ROLEGATE_TEST_POSTGRES"))
	p := newPlanting(t, dsn)
	p.run()
	all, places := p.all(), append(p.places(), tables(t, dsn)...)
	enough(t, all)
	rows := map[string]int{}
	for _, at := range places {
		if name, ok := strings.CutPrefix(at.name, "table "); ok && at.text != "" {
			rows[name] = strings.Count(at.text, "\n") + 1
		}
	}
	for _, name := range []string{"events", "sessions", "state", "identities", "factors"} {
		if rows[name] == 0 {
			t.Errorf("the table %s is empty: it was not looked at", name)
		}
	}
	if found := leaks(t, all, places...); len(found) > 0 {
		t.Errorf("found: %s", strings.Join(found, ", "))
	}
	t.Logf("%d secrets looked for in %d places, rows %v", len(all), len(places), rows)

	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	some := map[kind]string{}
	for v, k := range all {
		some[k] = v
	}
	if _, err := db.ExecContext(t.Context(), `create table careless (said text, kept bytea)`); err != nil {
		t.Fatal(err)
	}
	for _, v := range some {
		if _, err := db.ExecContext(t.Context(), `insert into careless values ($1, $2)`, "redeemed with "+v, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	found := strings.Join(leaks(t, all, tables(t, dsn)...), ", ")
	for k := range some {
		if !strings.Contains(found, string(k)+" in table careless") {
			t.Errorf("a %s in a table was not found", k)
		}
	}
	if err := p.d.Close(); err != nil {
		t.Fatal(err)
	}
}
