package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/cmd/internal/rolecache"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

// fuzzServer is an address that no fuzz target asks: what is sent there is
// answered inside.
const fuzzServer = "https://sso.example.com"

// fuzzTime is the present of fuzz targets.
var fuzzTime = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

type inside func(*http.Request) (int, string)

func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := i(r)
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Request: r, Header: http.Header{"Date": {fuzzTime.Format(http.TimeFormat)}},
	}, nil
}

const (
	goodMetadata = `{"issuer":"` + fuzzServer + `","authorization_endpoint":"` + fuzzServer + `/authorize","token_endpoint":"` + fuzzServer + `/oauth/token",` +
		`"device_authorization_endpoint":"` + fuzzServer + `/oauth/device_authorization","revocation_endpoint":"` + fuzzServer + `/oauth/revoke"}`
	goodTokens = `{"access_token":"planted-access","refresh_token":"planted-refresh","expires_in":3600,"session_expires_at":"2026-11-24T19:00:00Z"}`
)

// inFuzzHome returns a client whose server is answer, signed in if it says so.
func inFuzzHome(f *testing.F, signedIn bool, answer func(*http.Request) (int, string)) (*client.Client, string) {
	f.Helper()
	dir := filepath.Join(f.TempDir(), "home")
	started := false
	c, err := client.New(client.Config{
		Env: func(name string) string { return map[string]string{"ROLEGATE_HOME": dir}[name] }, Now: func() time.Time { return fuzzTime },
		HTTP: &http.Client{Transport: inside(func(r *http.Request) (int, string) {
			switch {
			case started:
				return answer(r)
			case strings.HasPrefix(r.URL.Path, "/.well-known/"):
				return http.StatusOK, goodMetadata
			case r.URL.Path == "/oauth/token":
				return http.StatusOK, goodTokens
			}
			return http.StatusOK, `{"username":"alice"}`
		})},
	})
	if err != nil {
		f.Fatal(err)
	}
	if signedIn {
		in := client.Login{Server: fuzzServer, Way: client.PasteBack, Show: func(string, string) {}, Paste: func() (string, error) { return "code", nil }}
		if _, _, err := c.Login(f.Context(), in); err != nil {
			f.Fatal(err)
		}
	}
	started = true
	return c, dir
}

// FuzzProfiles: of whatever stands in the AWS config file, nothing but our block
// changes, byte for byte; writing again changes nothing; and taking all roles
// away leaves the rest as it was.
func FuzzProfiles(f *testing.F) {
	const block = "# BEGIN rolegate (made by rolegate profiles write; what you change in here is lost)\n[profile prod-Admin]\nregion = r\n# END rolegate\n"
	for _, s := range []string{
		"", "[default]\nregion = x", "[default]\r\nregion = x\r\n", "\n\n\n", "\x00\xff[[[", "a\n" + block + "b\n", block, block + block, "# END rolegate\n" + block, "# END rolegate\n# BEGIN rolegate", "x# BEGIN rolegate", "# BEGIN rolegate", " # BEGIN rolegate\n\t# END rolegate",
		"[profile prod-Admin]\n", "[ profile   prod-Admin ]\n", "[profile prod-Admin", strings.ReplaceAll(block, "\n", "\r\n"), "# END rolegate", "x # BEGIN rolegate\n# END rolegate\n", "[profile \n# BEGIN rolegate\n# END rolegate\nprod-Admin]",
	} {
		f.Add([]byte(s), "prod", "Admin")
	}
	f.Add([]byte("[default]\n"), "a b\n[profile evil]\ncredential_process = sh", "R \"o\\ $(x)\n# END rolegate\n")
	path := filepath.Join(f.TempDir(), "config")
	f.Fuzz(func(t *testing.T, file []byte, account, role string) {
		plan := func(text []byte, all []api.Assignment) (client.Change, error) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			return client.Profiles{Path: path, Region: "r", Program: []string{"/bin/x"}, Server: "https://s"}.Plan(all)
		}
		all := []api.Assignment{{ID: "1", Account: broker.Account{ID: "111122223333", Name: account}, Role: role}}
		c, err := plan(file, all)
		if err != nil {
			if code := broker.CodeOf(err); code != broker.CodeConflict && code != broker.CodeUnavailable || len(c.After()) > 0 {
				t.Errorf("%q: %v, and a file", file, err)
			}
			return
		}
		head, block, tail := around(t, c.After())
		oldHead, oldBlock, oldTail := around(t, file)
		// In a file that had no block, ours comes last, behind one blank line.
		kept := head == oldHead && tail == oldTail
		if oldBlock == "" {
			kept = tail == "" && strings.TrimRight(head, "\n") == strings.TrimRight(oldHead, "\n") && len(head) <= max(len(oldHead), len(strings.TrimRight(oldHead, "\n"))+2)
		}
		if !kept {
			t.Errorf("%q became %q", file, c.After())
		}
		// What is in the block is a profile of ours and nothing that a name brought.
		lines := strings.Split(strings.TrimSuffix(block, "\n"), "\n")
		if len(lines) != 5 || !strings.HasPrefix(lines[1], "[profile ") || !strings.HasPrefix(lines[2], "credential_process = /bin/x 111122223333 ") || lines[3] != "region = r" {
			t.Errorf("the role %q in %q is written as %q", role, account, block)
		}
		again, err := plan(c.After(), all)
		if err != nil || len(again.Diff) != 0 || !bytes.Equal(again.After(), c.After()) {
			t.Errorf("not stable: %q, then %q (%v)", c.After(), again.After(), err)
		}
		without, err := plan(c.After(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if h, _, tl := around(t, without.After()); h != head || tl != tail {
			t.Errorf("%q without roles is %q", c.After(), without.After())
		}
	})
}

// around returns what stands before, in and behind the block of a file that has
// one at most, found in another way than the code finds it.
func around(t *testing.T, file []byte) (head, block, tail string) {
	t.Helper()
	lines := strings.SplitAfter(string(file), "\n")
	begin := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "# BEGIN rolegate") })
	end := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "# END rolegate" })
	if begin < 0 || end < begin {
		return string(file), "", ""
	}
	return strings.Join(lines[:begin], ""), strings.Join(lines[begin:end+1], ""), strings.Join(lines[end+1:], "")
}

// FuzzSessionFile: no session file but the one that was sealed is read, and
// whatever is there instead says so and asks to sign in again.
func FuzzSessionFile(f *testing.F) {
	f.Add([]byte{}, uint16(0), byte(1))
	f.Add([]byte("{}"), uint16(3), byte(0x80))
	f.Add([]byte(strings.Repeat("\x00", 40)), uint16(60000), byte(0xff))
	c, dir := inFuzzHome(f, true, func(*http.Request) (int, string) { return http.StatusServiceUnavailable, "" })
	path := filepath.Join(dir, "session")
	genuine, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if server, err := c.Server(); err != nil || server != fuzzServer {
		f.Fatal("the genuine file is refused, so nothing is tried:", server, err)
	}
	f.Fuzz(func(t *testing.T, foreign []byte, at uint16, change byte) {
		damaged := bytes.Clone(genuine)
		damaged[int(at)%len(damaged)] ^= change
		for _, b := range [][]byte{foreign, damaged, genuine[:int(at)%len(genuine)], append(bytes.Clone(genuine), foreign...)} {
			if bytes.Equal(b, genuine) {
				continue
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if server, err := c.Server(); broker.CodeOf(err) != broker.CodeUnauthenticated || server != "" || broker.Remedy(err) == "" {
				t.Errorf("%x is the session of %q (%v)", b, server, err)
			}
		}
	})
}

// FuzzCachedCredentials: a credentials file of which one byte is changed, which
// is cut, or which is another's, gives nobody credentials.
func FuzzCachedCredentials(f *testing.F) {
	f.Add([]byte("planted-secret"), []byte{}, uint16(0), byte(1))
	f.Add([]byte{}, []byte("x"), uint16(200), byte(0x80))
	c, dir := inFuzzHome(f, true, func(*http.Request) (int, string) { return http.StatusServiceUnavailable, "" })
	key, err := rolecache.ReadKey(dir)
	if err != nil {
		f.Fatal(err)
	}
	name := rolecache.Name("prod", "Admin", "")
	path := rolecache.Path(dir, name)
	f.Fuzz(func(t *testing.T, output, foreign []byte, at uint16, change byte) {
		e := rolecache.Entry{Issued: fuzzTime, Expires: fuzzTime.Add(time.Hour), Output: output}
		sealed, err := rolecache.Encode(key, e, name)
		if err != nil {
			t.Fatal(err)
		}
		other, err := rolecache.Encode(key, e, rolecache.Name("prod", "ReadOnly", ""))
		if err != nil {
			t.Fatal(err)
		}
		read := func(b []byte) ([]byte, error) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return c.Credentials(t.Context(), "prod", "Admin", 0, func(error) {})
		}
		if got, err := read(sealed); err != nil || !bytes.Equal(got, output) {
			t.Fatalf("the genuine file gives %q (%v)", got, err)
		}
		damaged := bytes.Clone(sealed)
		damaged[int(at)%len(damaged)] ^= change
		for _, b := range [][]byte{foreign, damaged, other, sealed[:int(at)%len(sealed)], append(bytes.Clone(sealed), 0)} {
			if bytes.Equal(b, sealed) {
				continue
			}
			// The server is down, so what comes can only be from the file.
			if got, err := read(b); err == nil {
				t.Errorf("%x gives %q", b, got)
			}
			if e, err := rolecache.Read(dir, key, name); err == nil || len(e.Output) > 0 {
				t.Errorf("%x is read as %q", b, e.Output)
			}
		}
	})
}

// FuzzAnswer: whatever the server answers, an error has a code, words that fit
// one line of a terminal and no token; and what is taken for credentials is
// complete and still good.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"access_key_id":"ASIA","secret_access_key":"s","session_token":"t","expiration":"2026-11-24T10:00:00Z","account_id":"111122223333"}`,
		`{"access_key_id":"ASIA","expiration":"2026-11-24T10:00:00Z"}`, `{"expiration":"9999-12-31T23:59:59.999999999+14:00"}`, `{}`, `null`, `[]`, `[`, ``, `<html>`,
		`{"code":"step_up","detail":"More.","step_up":{"mfa":true,"max_auth_age_seconds":9223372036854775807},"trace_id":"a-b-c-01"}`,
		`{"code":"denied","detail":"\u001b[2J\u202e","remedy":"\r\n","trace_id":"\u0007"}`, `{"error":"slow_down","error_description":"x"}`, `{"code":"unauthenticated"}`, `{"code":"nonsense","detail":"x"}`,
	} {
		for _, status := range []uint16{200, 204, 302, 400, 401, 429, 503} {
			f.Add(status, []byte(s))
		}
	}
	var status int
	var body []byte
	var elsewhere []string
	c, dir := inFuzzHome(f, true, func(r *http.Request) (int, string) {
		if r.URL.Scheme+"://"+r.URL.Host != fuzzServer {
			elsewhere = append(elsewhere, r.URL.String())
		}
		switch r.URL.Path {
		case api.PathAssignments:
			return http.StatusOK, `{"assignments":[{"id":"1","account":{"id":"111122223333","name":"prod"},"role":"Admin"}]}`
		case api.PathRoleCredentials:
			return status, string(body)
		}
		return http.StatusServiceUnavailable, `{"error":"temporarily_unavailable","error_description":"x"}`
	})
	path := rolecache.Path(dir, rolecache.Name("prod", "Admin", ""))
	f.Fuzz(func(t *testing.T, s uint16, b []byte) {
		status, body, elsewhere = int(s), b, nil
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		got, err := c.Credentials(t.Context(), "prod", "Admin", 0, func(error) {})
		if len(elsewhere) > 0 {
			t.Errorf("asked %q", elsewhere)
		}
		if err != nil {
			terminal(t, err)
			return
		}
		var out client.Credentials
		if err := json.Unmarshal(got, &out); err != nil || status != http.StatusOK || out.Version != 1 || out.AccessKeyID == "" || out.SecretAccessKey == "" || out.SessionToken == "" {
			t.Errorf("%d %q became %q (%v)", status, b, got, err)
		}
		if until, err := time.Parse(time.RFC3339, out.Expiration); err != nil || !until.After(fuzzTime) {
			t.Errorf("%q is good until %q (%v)", b, out.Expiration, err)
		}
	})
}

// terminal checks an error that a person reads.
func terminal(t *testing.T, err error) {
	t.Helper()
	text := broker.Message(err) + broker.Remedy(err)
	if broker.CodeOf(err) == "" || broker.Message(err) == "" || strings.Contains(text, "planted") {
		t.Errorf("%q %q", broker.CodeOf(err), text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("a terminal is sent %q", text)
	}
}

// FuzzMetadata: whatever a server says about itself, the person and the tokens
// are sent to no other.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		goodMetadata, strings.ReplaceAll(goodMetadata, fuzzServer+"/oauth", "https://evil.example/oauth"), strings.ReplaceAll(goodMetadata, fuzzServer+"/", fuzzServer+".evil.example/"),
		strings.Replace(goodMetadata, "/authorize", "/..//evil.example", 1), strings.Replace(goodMetadata, fuzzServer+"/authorize", fuzzServer+"@evil.example/", 1), `{"issuer":"` + fuzzServer + `"}`, `{}`, `null`, `[`, ``,
	} {
		f.Add([]byte(s), []byte(`{"device_code":"d","user_code":"BCDF-GHJK","verification_uri":"`+fuzzServer+`/device","expires_in":600,"interval":5}`))
		f.Add([]byte(s), []byte(`{"device_code":"d","user_code":"\u001b[2J","verification_uri":"javascript:alert(1)"}`))
	}
	var doc, device []byte
	var elsewhere []string
	c, _ := inFuzzHome(f, false, func(r *http.Request) (int, string) {
		if r.URL.Scheme+"://"+r.URL.Host != fuzzServer {
			elsewhere = append(elsewhere, r.URL.String())
		}
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			return http.StatusOK, string(doc)
		}
		return http.StatusOK, string(device)
	})
	f.Fuzz(func(t *testing.T, m, d []byte) {
		doc, device, elsewhere = m, d, nil
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, way := range []client.Way{client.PasteBack, client.DeviceCode} {
			_, _, err := c.Login(ctx, client.Login{
				Server: fuzzServer, Way: way, Paste: func() (string, error) { return "", nil },
				Show: func(address, code string) {
					if !strings.HasPrefix(address, fuzzServer+"/") || strings.ContainsFunc(address+code, func(r rune) bool { return !unicode.IsPrint(r) }) {
						t.Errorf("%q and %q show %q %q", m, d, address, code)
					}
					if way == client.DeviceCode {
						cancel() // nobody waits for the person here
					}
				},
			})
			if err == nil {
				t.Error("signed in without an answer")
			}
		}
		if len(elsewhere) > 0 {
			t.Errorf("%q made it ask %q", m, elsewhere)
		}
	})
}

// FuzzPaste: what a person pastes goes to the server as it is, but for the
// blanks around it, and changes nothing else of the request.
func FuzzPaste(f *testing.F) {
	for _, s := range []string{"code", " code \r\n", "a&grant_type=refresh_token", "%00", "", "\t", strings.Repeat("x", 70000), "\xff"} {
		f.Add(s)
	}
	var form url.Values
	asked := 0
	c, _ := inFuzzHome(f, false, func(r *http.Request) (int, string) {
		if r.URL.Path != "/oauth/token" {
			return http.StatusOK, goodMetadata
		}
		asked++
		if err := r.ParseForm(); err != nil {
			return http.StatusBadRequest, ""
		}
		form = r.PostForm
		return http.StatusBadRequest, `{"error":"invalid_grant","error_description":"No."}`
	})
	f.Fuzz(func(t *testing.T, pasted string) {
		form, asked = nil, 0
		_, _, err := c.Login(t.Context(), client.Login{Server: fuzzServer, Way: client.PasteBack, Show: func(string, string) {}, Paste: func() (string, error) { return pasted, nil }})
		code := strings.TrimSpace(pasted)
		if err == nil || (asked == 1) != (code != "") {
			t.Fatalf("%q: %v, asked %d times", pasted, err, asked)
		}
		if code != "" && (form.Get("code") != code || form.Get("grant_type") != "authorization_code" || len(form) != 5 || len(form["code"]) != 1 || len(form.Get("code_verifier")) < 43) {
			t.Errorf("%q is sent as %q", pasted, form)
		}
	})
}

// FuzzContainer: no request at the credentials endpoint gets credentials but
// one with the token, to the loopback address itself, and from no web page.
func FuzzContainer(f *testing.F) {
	const address, token = "127.0.0.1:4711", "the-token"
	for _, s := range []string{"the-token", "the-token ", "Bearer the-token", "THE-TOKEN", "", "the-token,the-token", "\x00"} {
		f.Add(s, address, "", "", "GET", "/credentials")
	}
	for _, s := range [][4]string{
		{"localhost:4711", "", "", "/credentials"}, {"evil.example:4711", "", "", "/credentials"}, {"127.0.0.1:4711.", "", "", "/credentials"}, {"LOCALHOST:4711", "", "", "/credentials"},
		{address, "https://evil.example", "", "/credentials"}, {address, "null", "", "/credentials"}, {address, "", "cross-site", "/credentials"}, {address, "", "", "/credentials/"}, {address, "", "", "//credentials"},
	} {
		f.Add(token, s[0], s[1], s[2], "GET", s[3])
	}
	f.Add(token, address, "", "", "POST", "/credentials")
	c, _ := inFuzzHome(f, false, nil)
	h := c.Container(address, token, func(context.Context) ([]byte, error) {
		return []byte(`{"Version":1,"AccessKeyId":"ASIA","SecretAccessKey":"planted-secret","SessionToken":"planted-token","Expiration":"2026-11-24T10:00:00Z"}`), nil
	})
	f.Fuzz(func(t *testing.T, authorization, host, origin, site, method, path string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Method, r.Host, r.URL.Path = method, host, path
		r.Header["Authorization"] = []string{authorization}
		for k, v := range map[string]string{"Origin": origin, "Sec-Fetch-Site": site} {
			if v != "" {
				r.Header[k] = []string{v}
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		released := strings.Contains(w.Body.String(), "planted")
		good := authorization == token && (host == address || host == "localhost:4711") && origin == "" && site == "" && method == http.MethodGet && path == client.ContainerPath
		if released != good || released != (w.Code == http.StatusOK) || !json.Valid(w.Body.Bytes()) || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q to %q %s %q from %q %q: %d %s", authorization, host, method, path, origin, site, w.Code, w.Body)
		}
	})
}

// FuzzTokenFile: whatever the server gives for AWS clients, the file of their
// token cache says exactly that and is one document.
func FuzzTokenFile(f *testing.F) {
	f.Add("client", "secret", "access", "refresh", int64(1800000000), int64(3600))
	f.Add("\xff\u2028", `"},{"`, "\x00", "<&>", int64(-1), int64(1))
	f.Add("", "", "a", "b", int64(1)<<62, int64(1)<<40)
	answers := map[string]string{}
	c, dir := inFuzzHome(f, false, func(r *http.Request) (int, string) { return http.StatusOK, answers[r.URL.Path] })
	f.Fuzz(func(t *testing.T, id, secret, access, refresh string, registration, expires int64) {
		encode := func(v any) string {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		answers["/.well-known/oauth-authorization-server"] = goodMetadata
		answers["/aws/oidc/client/register"] = encode(map[string]any{"clientId": id, "clientSecret": secret, "clientSecretExpiresAt": registration})
		answers["/oauth/token"] = encode(map[string]any{"access_token": access, "refresh_token": refresh, "expires_in": expires, "session_expires_at": fuzzTime.Add(time.Hour)})
		answers[api.PathMe] = `{"username":"alice"}`
		answers["/oauth/revoke"] = `{}`
		sso := client.SSO{Session: "corp", Region: "eu-west-1", Home: dir}
		if err := os.Remove(sso.TokenFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		_, _, err := c.Login(t.Context(), client.Login{Server: fuzzServer, Way: client.PasteBack, SSO: sso, Show: func(string, string) {}, Paste: func() (string, error) { return "code", nil }})
		b, readErr := os.ReadFile(sso.TokenFile())
		if err != nil {
			if terminal(t, err); readErr == nil {
				t.Errorf("a file beside %v", err)
			}
			return
		}
		var got map[string]string
		if err := errors.Join(readErr, json.Unmarshal(b, &got)); err != nil {
			t.Fatalf("%q (%v)", b, err)
		}
		// JSON holds no other than valid text, on the way as in the file.
		valid := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		if len(got) != 8 || got["startUrl"] != fuzzServer || got["region"] != "eu-west-1" || got["accessToken"] == "" ||
			!strings.Contains(valid(access), "\ufffd") && (got["accessToken"] != access) || !strings.Contains(valid(refresh), "\ufffd") && got["refreshToken"] != refresh ||
			!strings.Contains(valid(id), "\ufffd") && got["clientId"] != id || !strings.Contains(valid(secret), "\ufffd") && got["clientSecret"] != secret {
			t.Errorf("%q", b)
		}
		for _, name := range []string{"expiresAt", "registrationExpiresAt"} {
			if _, err := time.Parse(time.RFC3339, got[name]); err != nil {
				t.Errorf("%s is %q", name, got[name])
			}
		}
	})
}
