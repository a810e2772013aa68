package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/cmd/internal/rolecache"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

// server answers as rolegate does, for one person with two roles.
type server struct {
	*httptest.Server
	now      func() time.Time
	assumed  atomic.Int64
	refused  atomic.Int64 // refreshes that came with a used token
	rotation sync.Mutex
	refresh  string
	n        int
	access   map[string]bool
	problem  func() *api.Problem // of role-credentials
	broken   atomic.Bool
	life     time.Duration
	device   url.Values // what a device code was asked for with
}

func newServer(t *testing.T, now func() time.Time) *server {
	t.Helper()
	s := &server{now: now, access: map[string]bool{}, life: time.Hour, problem: func() *api.Problem { return nil }}
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, map[string]string{
			"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/oauth/token",
			"device_authorization_endpoint": s.URL + "/oauth/device_authorization", "revocation_endpoint": s.URL + "/oauth/revoke",
		})
	})
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		s.rotation.Lock()
		defer s.rotation.Unlock()
		if r.FormValue("grant_type") == "refresh_token" && r.FormValue("refresh_token") != s.refresh {
			s.refused.Add(1)
			write(w, 400, map[string]string{"error": "invalid_grant", "error_description": "This sign-in was ended because a refresh token was used twice: somebody else may have a copy of it."})
			return
		}
		s.n++
		s.refresh = fmt.Sprint("refresh-", s.n)
		token := fmt.Sprint("planted-access-", s.n)
		s.access = map[string]bool{token: true}
		write(w, 200, map[string]any{"access_token": token, "refresh_token": s.refresh, "expires_in": 3600, "session_expires_at": s.now().Add(10 * time.Hour)})
	})
	mux.HandleFunc("POST /oauth/device_authorization", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.device = r.PostForm
		write(w, 200, map[string]any{"device_code": "d", "user_code": "BCDF-GHJK", "verification_uri": s.URL + "/device", "expires_in": 600, "interval": 1})
	})
	mux.HandleFunc("POST /oauth/revoke", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, struct{}{}) })
	signedIn := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			s.rotation.Lock()
			ok := s.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
			s.rotation.Unlock()
			if !ok {
				write(w, 401, api.Problem{Code: broker.CodeUnauthenticated, Detail: "This sign-in has ended."})
				return
			}
			h(w, r)
		}
	}
	mux.HandleFunc("GET "+api.PathMe, signedIn(func(w http.ResponseWriter, _ *http.Request) { write(w, 200, api.Me{Username: "alice"}) }))
	mux.HandleFunc("GET "+api.PathAssignments, signedIn(func(w http.ResponseWriter, _ *http.Request) {
		write(w, 200, api.Assignments{Assignments: roles("prod/Admin", "prod/ReadOnly", "staging/Admin")})
	}))
	mux.HandleFunc("POST "+api.PathRoleCredentials, signedIn(func(w http.ResponseWriter, _ *http.Request) {
		if p := s.problem(); p != nil {
			write(w, p.Status, p)
			return
		}
		s.assumed.Add(1)
		write(w, 200, api.RoleCredentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "planted-secret", SessionToken: "planted-token", AccountID: "111122223333", Expiration: s.now().Add(s.life),
		})
	}))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.broken.Load() {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func roles(names ...string) []api.Assignment {
	var out []api.Assignment
	for i, n := range names {
		account, role, _ := strings.Cut(n, "/")
		id := broker.AccountID(fmt.Sprintf("%012d", 111122223333+len(account)))
		out = append(out, api.Assignment{ID: broker.AssignmentID(fmt.Sprint(i)), Account: broker.Account{ID: id, Name: account}, Role: role})
	}
	return out
}

// person is a computer with its own clock.
type person struct {
	*client.Client
	dir string
	env func(string) string
	now time.Time
	s   *server
}

func newPerson(t *testing.T) *person {
	t.Helper()
	p := &person{dir: filepath.Join(t.TempDir(), "home"), now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	p.env = func(name string) string {
		if name == "ROLEGATE_HOME" {
			return p.dir
		}
		return ""
	}
	p.s = newServer(t, func() time.Time { return p.now })
	p.Client = p.another(t, func() time.Time { return p.now })
	return p
}

// another is a second process on the same computer.
func (p *person) another(t *testing.T, now func() time.Time) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Env: p.env, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *person) login(t *testing.T, change ...func(*client.Login)) error {
	t.Helper()
	in := client.Login{
		Server: p.s.URL, Way: client.PasteBack, Show: func(string, string) {}, Paste: func() (string, error) { return "code", nil },
	}
	for _, f := range change {
		f(&in)
	}
	_, _, err := p.Login(t.Context(), in)
	return err
}

func (p *person) credentials(t *testing.T) ([]byte, []error, error) {
	t.Helper()
	var warned []error
	b, err := p.Credentials(t.Context(), "prod", "Admin", 0, func(err error) { warned = append(warned, err) })
	return b, warned, err
}

// TestDeviceCodeAsksForProof ensures that --mfa and --max-age reach the page that
// lets a device in.
func TestDeviceCodeAsksForProof(t *testing.T) {
	p := newPerson(t)
	if err := p.login(t, func(in *client.Login) { in.Way, in.MFA, in.MaxAge = client.DeviceCode, true, 15*time.Minute }); err != nil {
		t.Fatal(err)
	}
	if got := p.s.device; got.Get("acr_values") != "mfa" || got.Get("max_age") != "900" {
		t.Errorf("asked with %v", got)
	}
}

// TestCache ensures that the server is asked once, and again before the end.
func TestCache(t *testing.T) {
	p := newPerson(t)
	if err := p.login(t); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		asked int64
	}{{0, 1}, {10 * time.Minute, 1}, {34 * time.Minute, 1}, {2 * time.Minute, 2}, {time.Minute, 2}} {
		p.now = p.now.Add(step.after)
		if _, _, err := p.credentials(t); err != nil {
			t.Fatal(err)
		}
		if got := p.s.assumed.Load(); got != step.asked {
			t.Errorf("after %s the server was asked %d times, want %d", step.after, got, step.asked)
		}
	}
	// Nothing is readable without the key.
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte("planted")) {
			t.Errorf("%s holds a secret in the clear", path)
		}
		info, infoErr := d.Info()
		if infoErr == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %s", path, info.Mode())
		}
		return errors.Join(err, infoErr)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSingleFlight ensures that many processes which start at once ask the
// server once, and that one of them refreshes.
func TestSingleFlight(t *testing.T) {
	p := newPerson(t)
	if err := p.login(t); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(2 * time.Hour) // the access token has ended
	now := p.now
	var wg sync.WaitGroup
	for range 8 {
		c := p.another(t, func() time.Time { return now })
		wg.Go(func() {
			if _, err := c.Credentials(t.Context(), "prod", "Admin", 0, func(error) {}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, r := p.s.assumed.Load(), p.s.refused.Load(); n != 1 || r != 0 {
		t.Errorf("%d calls, %d refused refreshes", n, r)
	}
}

// TestTroubles ensures that each trouble has a code and words of its own.
func TestTroubles(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(t *testing.T, p *person) error
		code   broker.Code
		says   string
		remedy string
	}{
		{"second factor", func(t *testing.T, p *person) error {
			p.s.problem = func() *api.Problem {
				return &api.Problem{Status: 401, Code: broker.CodeStepUp, Detail: "Admin in prod needs a second factor.", StepUp: &api.StepUp{MFA: true, MaxAuthAgeSeconds: 900}}
			}
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeStepUp, "needs a second factor", "rolegate login --mfa --max-age 15m0s"},
		{"denied", func(t *testing.T, p *person) error {
			p.s.problem = func() *api.Problem {
				return &api.Problem{Status: 403, Code: broker.CodeDenied, Detail: "AWS refused.", TraceID: "acorn-actor-adobe-01"}
			}
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeDenied, "trace acorn-actor-adobe-01", ""},
		{"network down", func(t *testing.T, p *person) error {
			p.s.broken.Store(true)
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeUnavailable, "cannot be reached", "network"},
		{"not a rolegate", func(t *testing.T, p *person) error {
			p.s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeUnavailable, "does not answer as a rolegate server", "address"},
		{"clock behind", func(t *testing.T, p *person) error {
			server := p.now.Add(2 * time.Hour)
			p.s.now = func() time.Time { return server }
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeConflict, "clock of this computer is 2h0m0s behind", "Set the clock"},
		{"clock ahead", func(t *testing.T, p *person) error {
			server := p.now.Add(-30 * time.Minute)
			p.s.now = func() time.Time { return server }
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeConflict, "clock of this computer is 30m0s ahead", "Set the clock"},
		{"stolen refresh token", func(t *testing.T, p *person) error {
			p.s.rotation.Lock()
			p.s.refresh, p.s.access = "the thief's", nil
			p.s.rotation.Unlock()
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeUnauthenticated, "used twice", ""},
		{"session over", func(t *testing.T, p *person) error {
			p.now = p.now.Add(11 * time.Hour)
			_, _, err := p.credentials(t)
			return err
		}, broker.CodeUnauthenticated, "Your sign-in has ended", "rolegate login"},
		{"key lost", func(t *testing.T, p *person) error {
			if err := os.Remove(rolecache.KeyPath(p.dir)); err != nil {
				t.Fatal(err)
			}
			_, err := p.another(t, func() time.Time { return p.now }).Assignments(t.Context())
			return err
		}, broker.CodeUnauthenticated, "not signed in", "rolegate login"},
		{"token file of AWS clients cannot be written", func(t *testing.T, p *person) error {
			blocked := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(blocked, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p.s.Config.Handler = withRegistration(p.s.Config.Handler)
			return p.login(t, func(in *client.Login) { in.SSO = client.SSO{Session: "x", Region: "r", Home: blocked} })
		}, broker.CodeConflict, "cannot be made", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPerson(t)
			if err := p.login(t); err != nil {
				t.Fatal(err)
			}
			err := row.do(t, p)
			if broker.CodeOf(err) != row.code || !strings.Contains(broker.Message(err), row.says) || !strings.Contains(broker.Remedy(err), row.remedy) {
				t.Errorf("%s: %q %q", broker.CodeOf(err), broker.Message(err), broker.Remedy(err))
			}
		})
	}
}

func withRegistration(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/aws/oidc/client/register" {
			_, _ = w.Write([]byte(`{"clientId":"c","clientSecret":"s","clientSecretExpiresAt":1800000000}`))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// TestCacheOutlivesTheServer ensures that credentials which AWS still takes are
// given while the server is down, with a warning, and dead ones are not.
func TestCacheOutlivesTheServer(t *testing.T) {
	p := newPerson(t)
	if err := p.login(t); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.credentials(t); err != nil {
		t.Fatal(err)
	}
	p.s.broken.Store(true)
	p.now = p.now.Add(50 * time.Minute)
	if b, warned, err := p.credentials(t); err != nil || len(warned) != 1 || !bytes.Contains(b, []byte("ASIAEXAMPLE")) {
		t.Error(string(b), warned, err)
	}
	p.now = p.now.Add(10 * time.Minute)
	if _, _, err := p.credentials(t); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Error(err)
	}
}

// TestKeyring ensures that with the keyring no key is in a file, and that a
// locked one has its own message.
func TestKeyring(t *testing.T) {
	keyring.MockInit()
	p := newPerson(t)
	if err := p.login(t, func(in *client.Login) { in.Keyring = true }); err != nil {
		t.Fatal(err)
	}
	if _, err := rolecache.ReadKey(p.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the key is in a file too:", err)
	}
	now := func() time.Time { return p.now }
	if _, err := p.another(t, now).Assignments(t.Context()); err != nil {
		t.Error(err)
	}
	keyring.MockInitWithError(errors.New("locked"))
	if _, err := p.another(t, now).Assignments(t.Context()); broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(broker.Message(err), "keyring") {
		t.Error(err)
	}
	keyring.MockInit() // another keyring, which does not know us
	if _, err := p.another(t, now).Assignments(t.Context()); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Error(err)
	}
}

// TestForeignEndpoints ensures that a server cannot send our tokens elsewhere.
func TestForeignEndpoints(t *testing.T) {
	p := newPerson(t)
	for name, doc := range map[string]string{
		"other issuer": `{"issuer":"https://evil.example"}`,
		"other token endpoint": `{"issuer":"` + p.s.URL + `","authorization_endpoint":"` + p.s.URL + `/a","device_authorization_endpoint":"` + p.s.URL +
			`/d","revocation_endpoint":"` + p.s.URL + `/r","token_endpoint":"https://evil.example/t"}`,
		"look-alike": `{"issuer":"` + p.s.URL + `","authorization_endpoint":"` + p.s.URL + `.evil.example/a"}`,
	} {
		p.s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(doc)) })
		if err := p.login(t); broker.CodeOf(err) != broker.CodeInvalid {
			t.Error(name, err)
		}
	}
}

// TestCallback ensures that only the answer to our own question ends the wait.
func TestCallback(t *testing.T) {
	p := newPerson(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var statuses []int
	_, _, err := p.Login(ctx, client.Login{Server: p.s.URL, Way: client.Loopback, Show: func(address, _ string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Error(err)
			return
		}
		q := r.URL.Query()
		for _, answer := range []string{
			"?code=evil", "?code=evil&state=wrong&iss=" + p.s.URL, "?code=evil&state=" + q.Get("state") + "&iss=https://evil.example",
			"/other?code=evil&state=" + q.Get("state") + "&iss=" + p.s.URL, "?code=good&state=" + q.Get("state") + "&iss=" + p.s.URL,
		} {
			resp, err := http.Get(q.Get("redirect_uri") + answer) //nolint:noctx // a browser of the test
			if err != nil {
				t.Error(err)
				return
			}
			statuses = append(statuses, resp.StatusCode)
			_ = resp.Body.Close()
		}
	}})
	if err != nil || fmt.Sprint(statuses) != "[404 404 404 404 200]" {
		t.Error(statuses, err)
	}
}

// TestMatch ensures what a person's words mean.
func TestMatch(t *testing.T) {
	all := roles("production/Admin", "production/ReadOnly", "prod-eu/Admin", "staging/ReadOnly")
	for words, want := range map[string]string{
		"production/Admin": "production/Admin", "PRODUCTION admin": "production/Admin", "stag": "staging/ReadOnly", "eu adm": "prod-eu/Admin",
		"prdctn only": "production/ReadOnly", "Admin production": "production/Admin",
		"admin": "conflict", "prod": "conflict", "": "not_found", "nothing": "not_found", "production root": "not_found",
	} {
		a, err := client.Match(all, words)
		got := a.Account.Name + "/" + a.Role
		if err != nil {
			got = string(broker.CodeOf(err))
		}
		if got != want {
			t.Errorf("%q means %s, want %s", words, got, want)
		}
	}
}

// TestProfilesKeepTheRest ensures that what is not ours stays as it was, byte
// for byte, whatever it looks like.
func TestProfilesKeepTheRest(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no end of line": "[default]\nregion = x", "windows": "[default]\r\nregion = x\r\n", "comment": "# END of something\n[profile a]\n",
		"blank": "\n\n\n", "not INI": "\x00\xff[[[",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
				t.Fatal(err)
			}
			p := client.Profiles{Path: path, Region: "r", Program: []string{"/bin/x"}, Server: "https://s"}
			for _, all := range [][]api.Assignment{roles("prod/Admin"), roles("prod/Admin", "a b/R-o"), nil, roles("x/Y")} {
				c, err := p.Plan(all)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Write(); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(string(b), strings.TrimRight(text, "\n")) || strings.Count(string(b), "# BEGIN rolegate") != 1 {
					t.Errorf("%q", b)
				}
				again, err := p.Plan(all)
				if err != nil || len(again.Diff) != 0 {
					t.Errorf("not stable: %q %v", again.Diff, err)
				}
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
					t.Error(info.Mode(), err)
				}
			}
		})
	}
}

// TestProfilesGrowWithTheRoles ensures that ten times the roles cost about ten
// times the memory: with a quadratic comparison it was a hundred times, and
// 1.1 GB for 3,000 roles.
func TestProfilesGrowWithTheRoles(t *testing.T) {
	cost := func(n int) uint64 {
		var before, after []string
		for i := range n {
			before = append(before, fmt.Sprintf("account-%d/Admin", i))
			if i%7 != 0 { // some go, and as many come
				after = append(after, fmt.Sprintf("account-%d/Admin", i))
			} else {
				after = append(after, fmt.Sprintf("account-%d/ReadOnly", i))
			}
		}
		p := client.Profiles{Path: filepath.Join(t.TempDir(), "config"), Region: "r", Program: []string{"/bin/x"}, Server: "https://s"}
		c, err := p.Plan(roles(before...))
		if err != nil || len(c.Diff) != 4*n+1 || c.Write() != nil {
			t.Fatal(len(c.Diff), err)
		}
		all := roles(after...)
		var begin, end runtime.MemStats
		runtime.ReadMemStats(&begin)
		c, err = p.Plan(all)
		runtime.ReadMemStats(&end)
		if changed := (n + 6) / 7; err != nil || len(c.Diff) != 4*changed {
			t.Fatalf("%d lines differ for %d roles: %v", len(c.Diff), changed, err)
		}
		return end.TotalAlloc - begin.TotalAlloc
	}
	few, many := cost(300), cost(3000)
	t.Logf("300 roles: %d bytes, 3,000: %d", few, many)
	if many > 30*few {
		t.Errorf("3,000 roles cost %d bytes, 300 cost %d", many, few)
	}
}

// TestProfilesRace ensures that a change by another program is not overwritten.
func TestProfilesRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	p := client.Profiles{Path: path, Region: "r", Program: []string{"/bin/x"}}
	c, err := p.Plan(roles("prod/Admin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("[default]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(); broker.CodeOf(err) != broker.CodeConflict {
		t.Error(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "[default]\n" {
		t.Errorf("%q", b)
	}
}
