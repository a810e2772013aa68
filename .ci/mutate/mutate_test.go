package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func findTiny(t *testing.T) *findings {
	t.Helper()
	root, err := filepath.Abs("testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	pkgs, err := load(t.Context(), root, []string{"./..."})
	if err != nil {
		t.Fatal(err)
	}
	return find(pkgs, root)
}

// What is found, and as what: the list is short enough to be read.
func TestFind(t *testing.T) {
	found := findTiny(t)
	var got []string
	for _, m := range found.mutants {
		got = append(got, m.Func+": "+m.Condition+": "+m.Change)
	}
	want := []string{
		`Config.Validate: c.Low < 0: never`,
		`Config.Validate: c.Low < 0: border c.Low < 0`,
		`Config.Validate: return errors.Join(errs...): pass`,
		`Enter: name == "": never`,
		`Enter: age < 18 || name == "root": never`,
		`Enter: age < 18 || name == "root": drop age < 18`,
		`Enter: age < 18 || name == "root": negate age < 18`,
		`Enter: age < 18 || name == "root": border age < 18`,
		`Enter: age < 18 || name == "root": drop name == "root"`,
		`Enter: age < 18 || name == "root": negate name == "root"`,
		`Enter: kind: case "guest": skip "guest"`,
		`Enter: kind: case "banned": skip "banned"`,
		`Enter: return known(name): pass`,
		`known: n == name: always`,
		`known: return errors.New("unknown"): pass`,
		`Read: known(name); err != nil: never`,
		`Read: strconv.ParseInt(string(raw), 10, 64); err != nil: never`,
		`Wait: n == 0: never`,
		`Weigh: return "", err: pass`,
		`Weigh: kg > 9: never`,
		`Weigh: kg > 9: border kg > 9`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	want = []string{"gate/gate.go:55: Read: os.ReadFile(name); err != nil", "gate/gate.go:62: Read: json.Marshal(n); err != nil"}
	if !slices.Equal(found.plumbing, want) {
		t.Errorf("plumbing\n%s\nwant\n%s", strings.Join(found.plumbing, "\n"), strings.Join(want, "\n"))
	}
}

const accepted = `
- {package: gate, func: Enter, condition: 'name == ""', changes: [never], reason: known refuses it too}
- {package: gate, func: Enter, condition: 'age < 18 || name == "root"', changes: ['drop name == "root"'], reason: a test}
- {package: gate, func: Enter, condition: 'kind: case "guest"', changes: ['skip "guest"'], reason: a test}
- {package: gate, func: Read, condition: 'known(name); err != nil', changes: [never], reason: a test}
- {package: elsewhere, func: F, condition: x, changes: [never], reason: not of this run}
`

const parseInt = `- {package: gate, func: Read, condition: 'strconv.ParseInt(string(raw), 10, 64); err != nil', changes: [never], reason: a test}
`

// The whole run: survivors need their reasons, and reasons their survivors.
func TestRun(t *testing.T) {
	for _, tt := range []struct{ name, reasons, err, out string }{
		{"all accepted", accepted + parseInt, "", "gate                               21       16        1         5        0"},
		{
			"one without a reason", accepted, "survivors without a reason: 1",
			"gate/gate.go:59: Read: strconv.ParseInt(string(raw), 10, 64); err != nil: never  [no test reaches it]",
		},
		{
			"one reason too many", accepted + parseInt + "- {package: gate, func: Gone, condition: x, changes: [never], reason: a test}\n",
			"reasons without a survivor: 1", "stale reason: gate Gone: x: never",
		},
		{
			"a reason for what is noticed", accepted + parseInt + "- {package: gate, func: known, condition: 'n == name', changes: [always], reason: a test}\n",
			"reasons without a survivor: 1", "stale reason: gate known: n == name: always",
		},
		{"an empty reason", "- {package: gate, func: F, condition: x, changes: [never], reason: ' '}", "no reason for gate F: x: never", ""},
		{"two reasons", parseInt + parseInt, "two reasons for gate Read", ""},
		{"an unknown key", "- {pkg: gate}", "pkg", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "survivors.yaml")
			if err := os.WriteFile(file, []byte(tt.reasons), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := run(t.Context(), []string{"-root", "testdata/tiny", "-reasons", file, "-spare", "2s", "./gate"}, &out)
			switch {
			case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if !strings.Contains(out.String(), tt.out) {
				t.Errorf("printed\n%s\nwant %q", &out, tt.out)
			}
		})
	}
}

// Tests of another package are asked where the package's own notice nothing.
func TestAlso(t *testing.T) {
	for also, want := range map[string]string{"": "[no test reaches it]", "./door": ""} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"-root", "testdata/tiny", "-only", "Read", "-also", also, "./gate"}, &out)
		line := "Read: known(name); err != nil: never"
		if err == nil || strings.Contains(out.String(), line) != (want != "") || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %v\n%s", also, err, &out)
		}
	}
}

func TestFails(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		err  string
	}{
		{"no packages", nil, "which packages"},
		{"no such package", []string{"-root", "testdata/tiny", "./none"}, "none"},
		{"no reasons file", []string{"-reasons", "testdata/none.yaml", "./gate"}, "none.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(t.Context(), tt.args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// Insertions of one place: what is made first stands outside.
func TestApply(t *testing.T) {
	var e fileEdits
	e.wrap(0, 6, "(", ")")
	e.wrap(0, 1, "[", "]")
	e.wrap(5, 6, "{", "}")
	if got := string(e.apply([]byte("a && b;"))); got != "([a] && {b});" {
		t.Error(got)
	}
}
