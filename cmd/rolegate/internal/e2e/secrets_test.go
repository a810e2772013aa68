package e2e_test

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// safeBuffer is a log for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// leaks returns which secrets stand in the log or in a file of the folder.
func leaks(t *testing.T, log, dir string, secrets map[string]string) []string {
	t.Helper()
	places := map[string]string{"log": log}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "client.secret" {
			return err
		}
		b, err := os.ReadFile(path)
		places[e.Name()] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for name, secret := range secrets {
		if len(secret) < 8 {
			t.Fatalf("%s is too short to look for: %q", name, secret)
		}
		for place, text := range places {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				out = append(out, name+" in "+place)
			}
		}
	}
	return out
}

// TestPlantedSecrets runs sign-ins, refusals, credentials and console links,
// and ensures that nothing secret that passed through rolegate is in its log,
// its database or the AWS trail.
func TestPlantedSecrets(t *testing.T) {
	var log safeBuffer
	dir := t.TempDir()
	d, err := demo.Start(t.Context(), demo.Options{
		Listen: "localhost:0", Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	secrets := map[string]string{}

	b := newFormBrowser(t)
	must(t, b, b.Get(t.Context(), d.Portal+"/signin/saml"))
	must(t, b, b.Submit(t.Context(), formbrowser.Has("username"), map[string]string{"username": "bob", "password": "bob-demo"}))
	f, ok := b.Find(formbrowser.Has("SAMLResponse"))
	if !ok {
		t.Fatalf("no response at %v", b.URL)
	}
	secrets["SAML response"] = f.Fields.Get("SAMLResponse")
	secrets["relay state"] = f.Fields.Get("RelayState")
	// First spoiled, so that the refusal's path is looked at too.
	spoiled := url.Values{"SAMLResponse": {f.Fields.Get("SAMLResponse")[:4000]}, "RelayState": {f.Fields.Get("RelayState")}}
	thief := newFormBrowser(t)
	must(t, thief, thief.Post(t.Context(), d.Portal+"/saml/saml/acs", spoiled))

	b = newFormBrowser(t)
	b.StopAt(func(u *url.URL) bool { return u.Path == "/oidc/oidc/callback" })
	must(t, b, b.Get(t.Context(), d.Portal+"/signin/oidc"))
	must(t, b, b.Submit(t.Context(), formbrowser.Has("username"), map[string]string{"username": "bob", "password": "bob-demo"}))
	back, err := url.Parse(b.Hops[len(b.Hops)-1])
	if err != nil {
		t.Fatal(err)
	}
	secrets["authorization code"], secrets["state"] = back.Query().Get("code"), back.Query().Get("state")
	b.StopAt(nil)
	must(t, b, b.Get(t.Context(), back.String()))
	for _, c := range b.Cookies(d.Portal) {
		if strings.HasPrefix(c.Name, "rolegate") { // the identity providers share the host
			secrets["cookie "+c.Name] = c.Value
		}
	}
	f, ok = b.Find(func(f formbrowser.Form) bool { return strings.Contains(f.Text, "for Developer in development") })
	if !ok {
		t.Fatalf("no role at %v (%d)", b.URL, b.Status)
	}
	creds := fetchCredentials(t, b, d.Portal, f.Fields.Get("assignment"))
	secrets["secret access key"], secrets["session token"] = creds.SecretAccessKey, creds.SessionToken
	must(t, b, b.Post(t.Context(), d.Portal+"/console", f.Fields))
	for _, hop := range b.Hops {
		if u, err := url.Parse(hop); err == nil && u.Query().Get("SigninToken") != "" {
			secrets["sign-in token"] = u.Query().Get("SigninToken")
		}
	}
	if len(secrets) < 8 {
		t.Errorf("only %d secrets were gathered", len(secrets))
	}
	if found := leaks(t, log.String(), dir, secrets); len(found) > 0 {
		t.Errorf("found: %s", strings.Join(found, ", "))
	}
	// The search finds what is there.
	if found := leaks(t, "level=DEBUG token="+creds.SessionToken, dir, secrets); len(found) != 1 {
		t.Errorf("a secret logged on purpose was found %d times", len(found))
	}
	if log.String() == "" {
		t.Error("the log is empty: nothing was looked at")
	}
}
