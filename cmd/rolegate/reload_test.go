package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the program rolegate for whom it starts by that
// name, the scripts first of all.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rolegate": main})
}

const served = `public_url: https://sso.example.com
listen: 127.0.0.1:0
metrics: {listen: 127.0.0.1:0}
identity_providers:
  - {id: corp, name: Acme, saml: {metadata_url: "https://127.0.0.1:1/metadata"}, identity: {groups: claims.groups}}
  - {id: other, name: Elsewhere, saml: {metadata_url: "https://127.0.0.1:1/metadata"}, identity: {groups: claims.groups}}
accounts:
  - {id: "111122223333", name: prod}
roles:
  - {name: Admin, iam_role: RolegateAdmin}
rules:
  - {name: platform, groups: [aws-platform], accounts: [prod], roles: [Admin]}
`

// process is a running rolegate serve.
type process struct {
	*testing.T
	cmd   *exec.Cmd
	lines chan map[string]any // of its log
}

// await returns the next log line with the message.
func (p *process) await(message string) map[string]any {
	p.Helper()
	late := time.After(2 * time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.Fatalf("it ended before %q", message)
			}
			if line["msg"] == message {
				return line
			}
		case <-late:
			p.Fatalf("no %q in the log", message)
		}
	}
}

func (p *process) get(address, path string) string {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.Fatalf("%s: status %d %v\n%s", path, resp.StatusCode, err, b)
	}
	return string(b)
}

// TestSignalReloads ensures that the real program reloads on SIGHUP and by
// itself when the file changes, keeps what works when the file is broken, shows
// all of it on the listener for metrics and nowhere else, and ends on SIGTERM.
func TestSignalReloads(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rolegate.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(served)
	p := &process{T: t, cmd: exec.CommandContext(t.Context(), "rolegate", "serve", "-c", file), lines: make(chan map[string]any, 1000)}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			line := map[string]any{}
			if json.NewDecoder(bytes.NewReader(s.Bytes())).Decode(&line) == nil {
				p.lines <- line
			}
		}
	}()
	scraped := p.await("metrics")["listen"].(string)
	address := p.await("ready")["listen"].(string)
	if body := p.get(address, "/signin"); !strings.Contains(body, "Acme") {
		t.Error(body)
	}

	write(strings.Replace(served, "name: Acme", "name: Apex", 1))
	p.hangUp()
	if line := p.await("configuration reloaded"); line["changed"] != "identity_providers" || line["trigger"] != "SIGHUP" {
		t.Error(line)
	}
	if body := p.get(address, "/signin"); !strings.Contains(body, "Apex") {
		t.Error(body)
	}

	write(strings.Replace(served, "listen: 127.0.0.1:0", "listen: 127.0.0.1:1", 1))
	p.hangUp()
	if line := p.await("configuration problem"); line["key"] != "listen" || line["line"] != 2.0 {
		t.Error(line)
	}
	if body := p.get(address, "/signin"); !strings.Contains(body, "Apex") {
		t.Error(body)
	}
	p.get(address, "/readyz")
	if text := p.get(scraped, "/metrics"); !strings.Contains(text, `rolegate_config_reloads_total{result="refused"} 1`) ||
		!strings.Contains(text, `rolegate_metadata_age_seconds{provider="corp"} -1`) || !strings.Contains(text, `use="aws-saml"`) ||
		!strings.Contains(text, `rolegate_http_requests_total{route="GET /signin",status="2xx"} 3`) {
		t.Error(text)
	}

	write(strings.Replace(served, "name: Acme", "name: Agile", 1)) // and no signal
	if line := p.await("configuration reloaded"); line["trigger"] != "file" {
		t.Error(line)
	}
	if resp, err := http.Get("http://" + address + "/metrics"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("people can read the metrics: %v %v", resp, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range p.lines { // until it ends
	}
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func (p *process) hangUp() {
	p.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.Fatal(err)
	}
}
