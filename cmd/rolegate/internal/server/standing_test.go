package server_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// said returns the level and text of each log line about identity providers.
func (w *liveWorld) said() []string {
	w.Helper()
	var out []string
	for line := range strings.Lines(w.log.String()) {
		var x struct{ Level, Msg, Provider string }
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			w.Fatal(err)
		}
		if strings.HasPrefix(x.Msg, "identity provider ") {
			out = append(out, x.Level+" "+x.Provider+" "+x.Msg)
		}
	}
	return out
}

func (w *liveWorld) wantSaid(what string, want ...string) {
	w.Helper()
	if got := strings.Join(w.said(), "\n"); got != strings.Join(want, "\n") {
		w.Errorf("%s: the log says\n%s\nand not\n%s", what, got, strings.Join(want, "\n"))
	}
}

// TestDownIsLoggedOnce ensures that a provider that cannot be read is in the log
// once, however often it is tried, and once more when it can be read again, for
// both protocols; and that metrics and status say the same.
func TestDownIsLoggedOnce(t *testing.T) {
	const (
		up        = "INFO corp identity provider answers"
		down      = "WARN corp identity provider does not answer"
		opDown    = "WARN op identity provider does not answer"
		otherDown = "WARN other identity provider does not answer"
	)
	w := newLiveWorld(t)
	w.wantSaid("at the start", up)
	path := filepath.Join(w.dir, "idp.xml")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if w.SAML["corp"].Refresh(t.Context()) == nil || w.OIDC["op"].Refresh(t.Context()) == nil || w.SAML["other"].Refresh(t.Context()) == nil {
			t.Fatal("a provider that is away was read")
		}
	}
	w.wantSaid("down", up, down, opDown, otherDown)
	for _, p := range w.live.State().Providers {
		if !p.Status.Down() || p.Status.Since.IsZero() || p.Status.Failures != 3 {
			t.Errorf("%s: %+v", p.ID, p.Status)
		}
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.SAML["corp"].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.wantSaid("up again", up, down, opDown, otherDown, up)
}

// TestRefusedReloadStays ensures that a configuration that is not taken is on
// the administrators' page until one is.
func TestRefusedReloadStays(t *testing.T) {
	w := newLiveWorld(t)
	if w.live.Current().Refused() != nil {
		t.Error("refused before any reload")
	}
	if err := w.reload("name: Acme", "nam: Acme"); err == nil {
		t.Fatal("a wrong configuration was taken")
	}
	x := w.live.Current().Refused()
	if x == nil || x.At.IsZero() || x.Trigger != "SIGHUP" || len(x.Problems) == 0 || !strings.Contains(x.Problems[0], "rolegate.yaml:") {
		t.Fatalf("%+v", x)
	}
	if err := w.reload("name: Acme", "name: Apex"); err != nil {
		t.Fatal(err)
	}
	if x := w.live.Current().Refused(); x != nil {
		t.Errorf("still refused: %+v", x)
	}
}

// TestLogHasNoSecretOfAnAddress ensures that the log and the status of a
// provider that is down do not hold the query of its address, which may be a key. User and password are
// refused by the configuration.
func TestLogHasNoSecretOfAnAddress(t *testing.T) {
	w := newLiveWorld(t)
	if err := w.reload("https://127.0.0.1:1/metadata", "https://127.0.0.1:1/metadata?key=planted-key"); err != nil {
		t.Fatal(err)
	}
	text := w.log.String()
	for _, p := range w.live.State().Providers {
		if p.Status.Err != nil {
			text += p.Status.Err.Error()
		}
	}
	if strings.Contains(text, "planted") || !strings.Contains(text, "127.0.0.1:1/metadata") {
		t.Errorf("the log says\n%s", text)
	}
}
