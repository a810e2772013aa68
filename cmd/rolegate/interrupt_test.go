//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestInterrupt ensures, with the real program, that Ctrl-C ends each way of
// signing in with one short line and the code that shells know.
func TestInterrupt(t *testing.T) {
	hangs := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		own := "http://" + r.Host
		switch r.URL.Path {
		case "/.well-known/oauth-authorization-server":
			_ = json.NewEncoder(w).Encode(map[string]string{
				"issuer": own, "authorization_endpoint": own + "/authorize", "token_endpoint": own + "/token",
				"device_authorization_endpoint": own + "/d", "revocation_endpoint": own + "/r",
			})
		case "/d":
			_ = json.NewEncoder(w).Encode(map[string]any{"device_code": "d", "user_code": "BCDF-GHJK", "verification_uri": own + "/device", "expires_in": 600, "interval": 1})
		default:
			select { // a server that does not answer
			case <-hangs:
			case <-r.Context().Done():
			}
		}
	}))
	defer srv.Close()
	defer close(hangs)
	for _, tt := range []struct {
		name   string
		args   []string
		ready  string
		signal syscall.Signal
		code   int
	}{
		{"in the browser", []string{"login", "--no-browser", srv.URL}, "Go to:", syscall.SIGINT, 130},
		{"device code", []string{"login", "--device", srv.URL}, "Waiting", syscall.SIGINT, 130},
		{"pasting", []string{"login", "--paste", srv.URL}, "Go to:", syscall.SIGINT, 130},
		{"told to end", []string{"login", "--device", srv.URL}, "Waiting", syscall.SIGTERM, 143},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			cmd := exec.CommandContext(t.Context(), "rolegate", tt.args...)
			cmd.Env = []string{"HOME=" + home, "ROLEGATE_HOME=" + filepath.Join(home, "rolegate"), "PATH=" + os.Getenv("PATH")}
			stdin, err := cmd.StdinPipe() // a terminal at which nobody types
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stdin.Close() }()
			pipe, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(pipe)
			for {
				line, err := r.ReadString('\n')
				if strings.Contains(line, tt.ready) {
					break
				}
				if err != nil {
					t.Fatal(err, cmd.Wait())
				}
			}
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != tt.code {
				t.Errorf("ended with %v, want %d", err, tt.code)
			}
			if !strings.HasSuffix("\n"+string(rest), "\nrolegate: interrupted\n") || strings.Contains(string(rest), "context") {
				t.Errorf("it says %q", rest)
			}
		})
	}
}
