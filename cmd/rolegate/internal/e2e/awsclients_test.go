package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// laptop is a person's computer: a home folder with our two programs and the
// AWS files they write.
type laptop struct {
	t    *testing.T
	d    ready
	home string
	bin  string
}

func newLaptop(t *testing.T) *laptop {
	t.Helper()
	d := startDemo(t)
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(filepath.Dir(bin), "rolegate-credentials")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", small, "github.com/rolegate/rolegate/cmd/rolegate-credentials")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return &laptop{t: t, d: d, home: t.TempDir(), bin: bin}
}

// env is the environment of programs on the laptop, in which nothing of this
// machine's own AWS settings is left.
func (l *laptop) env(more ...string) []string {
	out := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + l.home, "ROLEGATE_HOME=" + filepath.Join(l.home, "rolegate"),
		"AWS_ENDPOINT_URL_STS=" + l.d.STS, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "NODE_NO_WARNINGS=1",
	}
	return append(out, more...)
}

func (l *laptop) run(env []string, name string, args ...string) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (l *laptop) rolegate(env []string, args ...string) string {
	l.t.Helper()
	out, errs, err := l.run(env, l.bin, args...)
	if err != nil {
		l.t.Fatalf("rolegate %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

var printedAddress = regexp.MustCompile(`^  (http\S+)$`)

// login runs rolegate login; bob answers in the browser.
func (l *laptop) login() {
	t := l.t
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.bin, "login", "--no-browser", l.d.Portal)
	cmd.Env = l.env()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		if m := printedAddress.FindStringSubmatch(lines.Text()); m != nil {
			l.letIn(m[1])
			break
		}
	}
	rest, _ := io.ReadAll(pipe)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("login: %v\n%s", err, rest)
	}
}

func (l *laptop) letIn(address string) {
	t := l.t
	t.Helper()
	bob := l.d.person(t, "oidc", "bob")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b, err := formbrowser.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error {
			return b.Get(t.Context(), l.d.Portal+"/signin/oidc?"+url.Values{"return_to": {u.RequestURI()}}.Encode())
		},
		func() error {
			return b.Submit(t.Context(), formbrowser.Has("username"), map[string]string{"username": bob.Username, "password": bob.Password})
		},
		func() error {
			return b.Submit(t.Context(), formbrowser.Has("code_challenge"), map[string]string{"answer": "yes"})
		},
	} {
		if err := step(); err != nil {
			t.Fatalf("%v\n%s", err, b.Body)
		}
	}
}

// expire makes the token file say that its access token has ended, so that the
// next client has to refresh it.
func (l *laptop) expire() {
	t := l.t
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.home, ".aws/sso/cache/*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	doc["expiresAt"] = "2020-01-01T00:00:00Z"
	if b, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

const wantARN = "arn:aws:sts::333333333333:assumed-role/RolegateReadOnly/bob@example.com"

// container runs serve-credentials and returns its two variables.
func (l *laptop) container() []string {
	t := l.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, l.bin, "serve-credentials", "development", "ReadOnly")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay, cmd.Env, cmd.Stderr = 5*time.Second, l.env(), t.Output()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	var out []string
	lines := bufio.NewScanner(pipe)
	for len(out) < 2 && lines.Scan() {
		out = append(out, strings.ReplaceAll(strings.TrimPrefix(lines.Text(), "export "), "'", ""))
	}
	return out
}

// TestAWSClients ensures that unmodified AWS clients get credentials by each
// channel and that the double knows the person in them.
func TestAWSClients(t *testing.T) {
	l := newLaptop(t)
	l.login()
	sso, process := filepath.Join(l.home, "sso.config"), filepath.Join(l.home, "process.config")
	l.rolegate(l.env("AWS_CONFIG_FILE="+sso), "profiles", "write", "--sso")
	l.rolegate(l.env("AWS_CONFIG_FILE="+process), "profiles", "write")
	channels := map[string][]string{
		"sso_session":        {"AWS_CONFIG_FILE=" + sso, "AWS_PROFILE=development-ReadOnly"},
		"credential_process": {"AWS_CONFIG_FILE=" + process, "AWS_PROFILE=development-ReadOnly"},
		"container":          l.container(),
	}
	clients := map[string]func(t *testing.T, env []string) string{
		"aws-sdk-go-v2": goSDK,
		"AWS SDK for JavaScript": func(t *testing.T, env []string) string {
			out, errs, err := l.run(append(env, "MODULES="+need(t, "ROLEGATE_TEST_AWS_JS")), "node", "../../../../.ci/peers/awsclients/check.mjs")
			if err != nil {
				t.Fatal(err, errs)
			}
			return out
		},
		"botocore": func(t *testing.T, env []string) string {
			out, errs, err := l.run(env, need(t, "ROLEGATE_TEST_BOTOCORE"), "../../../../.ci/peers/awsclients/check.py")
			if err != nil {
				t.Fatal(err, errs)
			}
			return out
		},
	}
	for client, caller := range clients {
		for channel, env := range channels {
			t.Run(client+"/"+channel, func(t *testing.T) {
				l.t = t
				if got := strings.TrimSpace(caller(t, l.env(env...))); got != wantARN {
					t.Errorf("the caller is %q", got)
				}
				if channel != "sso_session" {
					return
				}
				l.expire()
				if got := strings.TrimSpace(caller(t, l.env(env...))); got != wantARN {
					t.Errorf("after a refresh the caller is %q", got)
				}
			})
		}
	}
	l.t = t
	// Signing out takes the token file along.
	l.rolegate(l.env(), "logout")
	if files, _ := filepath.Glob(filepath.Join(l.home, ".aws/sso/cache/*.json")); len(files) > 0 {
		t.Error(files)
	}
}

// goSDK calls with the default configuration of this process.
func goSDK(t *testing.T, env []string) string {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return *out.Arn
}

// TestContainerRefuses has one attack on the container endpoint in each row.
func TestContainerRefuses(t *testing.T) {
	l := newLaptop(t)
	l.login()
	vars := map[string]string{}
	for _, kv := range l.container() {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	uri := vars["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
	token, err := os.ReadFile(vars["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		status int
		change func(r *http.Request)
	}{
		{"good", 200, func(*http.Request) {}},
		{"no token", 401, func(r *http.Request) { r.Header.Del("Authorization") }},
		{"wrong token", 401, func(r *http.Request) { r.Header.Set("Authorization", "x") }},
		{"bearer before the token", 401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+string(token)) }},
		{"rebound name", 403, func(r *http.Request) { r.Host = "evil.example:" + r.URL.Port() }},
		{"web page", 403, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		{"web page without origin", 403, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }},
		{"post", 404, func(r *http.Request) { r.Method = http.MethodPost }},
		{"other path", 404, func(r *http.Request) { r.URL.Path = "/" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", string(token))
			row.change(r)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != row.status {
				t.Errorf("%d %s %v", resp.StatusCode, b, err)
			}
			if (resp.StatusCode == http.StatusOK) != strings.Contains(string(b), "SecretAccessKey") {
				t.Errorf("%d %s", resp.StatusCode, b)
			}
		})
	}
}

// TestCredentialProcessWarm ensures that rolegate-credentials prints the same
// again from the cache, also where there is no rolegate to ask.
func TestCredentialProcessWarm(t *testing.T) {
	l := newLaptop(t)
	l.login()
	small := filepath.Join(filepath.Dir(l.bin), "rolegate-credentials")
	cold, _, err := l.run(l.env(), small, "development", "ReadOnly")
	if err != nil || !strings.Contains(cold, `"Version":1`) {
		t.Fatal(cold, err)
	}
	alone := filepath.Join(t.TempDir(), "rolegate-credentials")
	b, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(alone, b, 0o700); err != nil {
		t.Fatal(err)
	}
	if warm, errs, err := l.run(l.env("PATH="), alone, "development", "ReadOnly"); err != nil || warm != cold {
		t.Error(warm, errs, err)
	}
	// Signed out, it does not print what it had.
	l.rolegate(l.env(), "logout")
	out, errs, err := l.run(l.env(), small, "development", "ReadOnly")
	if err == nil || out != "" || !strings.Contains(errs, "not signed in") {
		t.Error(out, errs, err)
	}
}
