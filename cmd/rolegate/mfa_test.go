package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestResetOfNobody ensures that an empty name, as an unset variable gives it, is
// not everybody, nor the only one there is.
func TestResetOfNobody(t *testing.T) {
	s := &script{T: t, env: map[string]string{"WORK": t.TempDir()}}
	text, err := os.ReadFile("testdata/mfa.txtar")
	if err != nil {
		t.Fatal(err)
	}
	s.unpack(string(text))
	t.Chdir(s.env["WORK"])
	one := `[{"provider": "corp", "id": "alice-1", "username": "alice", "factors": 1, "sessions": 1}]`
	if err := os.WriteFile("one.json", []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.fill("rolegate.db", "one.json"); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"mfa", "reset", ""}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	if code != exitInvalid || !strings.Contains(errs.String(), "USER is empty") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if err := s.held("rolegate.db", "corp/alice-1", "1 1"); err != nil {
		t.Error(err)
	}
}
