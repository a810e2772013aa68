package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// need returns the value of a peer's variable; without it the test is left out,
// or fails where CI=true.
func need(t testing.TB, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: in CI every peer is needed", name)
		}
		t.Skipf("%s is not set: left out", name)
	}
	return v
}

// ready is the line that `rolegate demo --json` prints.
type ready struct {
	Portal string   `json:"portal"`
	STS    string   `json:"sts"`
	SignIn string   `json:"signin"`
	People []person `json:"people"`
}

type person struct {
	IdP        string `json:"idp"`
	Username   string `json:"username"`
	Password   string `json:"password"`
	TOTPSecret string `json:"totp_secret"`
}

func (r ready) person(t *testing.T, idp, username string) person {
	t.Helper()
	for _, p := range r.People {
		if p.IdP == idp && p.Username == username {
			return p
		}
	}
	t.Fatalf("the demo has no %s at %s", username, idp)
	return person{}
}

// binary builds rolegate once per run of the tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rolegate-e2e")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "rolegate")
	cmd := exec.Command("go", "build", "-o", bin, "github.com/rolegate/rolegate/cmd/rolegate")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return bin, cmd.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// startDemo runs the built program's demo until the test ends.
func startDemo(t *testing.T) ready {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, bin, "demo", "--json", "--listen", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
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
	var r ready
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the demo printed no ready line: %v", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("ready line %q: %v", line, err)
	}
	return r
}

// testLogger writes to the test's output.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
