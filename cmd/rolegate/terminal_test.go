package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rolegate/rolegate/broker"
)

func TestAttackTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext Größe 部門":      "plain\n\ttext Größe 部門",
		"\x1b]0;OWNED\a\x1b[2J":       `\u001b]0;OWNED\u0007\u001b[2J`,
		"a\rb\x7f\b":                  `a\u000db\u007f\u0008`,
		"\u009b2J\u202eevil\u2066":    `\u009b2J\u202eevil\u2066`,
		"\x9b2J\xff":                  `\x9b2J\xff`,
		"\u2028\u2029":                `\u2028\u2029`,
		`{"a":"` + "\u202e" + `"}`:    `{"a":"\u202e"}`,
		"👩\u200d👩 \xf0\x9f\x91\x80\n": "👩\u200d👩 👀\n",
	} {
		for size := 1; size <= len(in); size++ { // however it is cut
			var out bytes.Buffer
			w := &terminal{w: &out}
			for b := []byte(in); len(b) > 0; {
				n := min(size, len(b))
				if k, err := w.Write(b[:n]); k != n || err != nil {
					t.Fatal(k, err)
				}
				b = b[n:]
			}
			got := out.String()
			if last, _ := utf8.DecodeLastRuneInString(in); last == utf8.RuneError {
				got += strings.TrimPrefix(want, got) // the last byte may begin a character
			}
			if got != want {
				t.Errorf("%q by %d bytes is %q, want %q", in, size, got, want)
			}
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestTerminalFails(t *testing.T) {
	if _, err := (&terminal{w: failing{}}).Write([]byte("x")); err == nil {
		t.Error("no error")
	}
}

const steering = "staff\x1b]0;OWNED\a\n  => prod  Admin  saml  by r\u202e"

// steersNothing fails for output that moves the cursor, or that has a line which
// somebody else wrote.
func steersNothing(t *testing.T, out string) {
	t.Helper()
	if strings.ContainsFunc(out, steers) {
		t.Errorf("a terminal is sent %q", out)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "  => prod") {
			t.Errorf("a line is forged:\n%s", out)
		}
	}
}

// TestAttackGroupsInExplain ensures that whoever names groups does not write the
// answer, in the text nor in the JSON.
func TestAttackGroupsInExplain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	people, err := json.Marshal([]broker.Identity{{
		Subject: broker.Subject{Provider: "corp", ID: "1" + steering}, Username: "alice", Groups: []string{steering, "aws-" + steering},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := write("rolegate.yaml", "public_url: https://sso.example.com\nidentity_providers: [{id: corp, saml: {metadata_url: 'https://idp.example.com/m'}}]\n"+
		"accounts: [{id: \"111122223333\", name: prod}]\nroles: [{name: Admin, iam_role: Admin}]\nrules: [{name: r, pattern: '(?s)aws-(?P<account>.*)', roles: [Admin]}]\n")
	for _, more := range [][]string{nil, {"--json"}} {
		var out, errs bytes.Buffer
		args := append([]string{"explain", "alice", "--config", cfg, "--identities", write("people.json", string(people))}, more...)
		if code := run(t.Context(), args, os.Getenv, strings.NewReader(""), &out, &errs); code != 0 || out.Len() == 0 {
			t.Fatalf("%d: %s", code, errs.String())
		}
		steersNothing(t, out.String())
		if more != nil && !json.Valid(out.Bytes()) {
			t.Errorf("no JSON: %s", out.String())
		}
	}
}

// TestAttackServerInTheTerminal ensures that a server does not write to the
// terminal through what it says of the person, nor through its refusals.
func TestAttackServerInTheTerminal(t *testing.T) {
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v any
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server":
			v = map[string]string{
				"issuer": srv.URL, "authorization_endpoint": srv.URL + "/authorize", "token_endpoint": srv.URL + "/oauth/token",
				"device_authorization_endpoint": srv.URL + "/d", "revocation_endpoint": srv.URL + "/r",
			}
		case "/oauth/token":
			v = map[string]any{"access_token": "a", "refresh_token": "b", "expires_in": 3600, "session_expires_at": "2099-01-01T00:00:00Z"}
		case "/api/v1/me":
			v = map[string]any{"username": steering, "idp": steering, "groups": []string{steering}}
		default:
			w.WriteHeader(http.StatusForbidden)
			v = map[string]any{"code": "denied", "detail": steering, "remedy": steering, "trace_id": steering}
		}
		_ = json.NewEncoder(w).Encode(v)
	}))
	defer srv.Close()
	dir := t.TempDir()
	env := func(name string) string {
		return map[string]string{"ROLEGATE_HOME": filepath.Join(dir, "rolegate"), "HOME": dir}[name]
	}
	for _, args := range [][]string{
		{"login", "--paste", srv.URL}, {"login", "--paste", srv.URL, "--json"}, {"status"}, {"status", "--json"}, {"roles"}, {"credentials", "prod", "Admin"},
	} {
		var out, errs bytes.Buffer
		run(t.Context(), args, env, strings.NewReader("code\n"), &out, &errs)
		if out.Len()+errs.Len() == 0 {
			t.Errorf("%q says nothing", args)
		}
		steersNothing(t, out.String()+errs.String())
	}
}
