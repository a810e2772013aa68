package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/cmd/internal/rolecache"
)

const self = "github.com/rolegate/rolegate/cmd/rolegate-credentials"

// warm is a folder with a cache that is fresh, and nothing else of rolegate:
// without the cache the program cannot even hand over.
type warm struct {
	program, empty string // built alike
	env            []string
}

const output = `{"Version":1,"AccessKeyId":"ASIAEXAMPLE"}`

func newWarm(tb testing.TB) warm {
	tb.Helper()
	dir := tb.TempDir()
	w := warm{program: filepath.Join(dir, "rolegate-credentials"), empty: filepath.Join(dir, "empty"), env: []string{"ROLEGATE_HOME=" + dir}}
	src := w.empty + ".go"
	write(tb, src, []byte("package main\n\nfunc main() {}\n"))
	build(tb, w.program, self)
	build(tb, w.empty, src)

	key := []byte(strings.Repeat("k", rolecache.KeySize))
	write(tb, rolecache.KeyPath(dir), []byte(strings.Repeat("6b", rolecache.KeySize)))
	name, now := rolecache.Name("prod", "Admin", ""), time.Now()
	sealed, err := rolecache.Encode(key, rolecache.Entry{Issued: now, Expires: now.Add(12 * time.Hour), Output: []byte(output)}, name)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(rolecache.Path(dir, name)), 0o700); err != nil {
		tb.Fatal(err)
	}
	write(tb, rolecache.Path(dir, name), sealed)
	return w
}

func write(tb testing.TB, path string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func build(tb testing.TB, to, source string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
}

// start runs one of the two programs to its end.
func (w warm) start(tb testing.TB, path string, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), path, args...)
	cmd.Env = w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestWarm ensures that a fresh entry is printed without rolegate, which is not
// even there, and that nothing else is.
func TestWarm(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are built without .exe")
	}
	w := newWarm(t)
	if out := w.start(t, w.program, "prod", "Admin"); out != output {
		t.Errorf("%q", out)
	}
	cmd := exec.CommandContext(t.Context(), w.program, "prod", "ReadOnly")
	cmd.Env = w.env
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "neither beside this one nor in the path") {
		t.Errorf("%v %s", err, out)
	}
}

// TestLinksLittle ensures what makes the start quick, counted in what is linked
// and not in time: no package that does much at each start, and at most twice
// the size of an empty program.
func TestLinksLittle(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", self).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(out)) {
		for _, heavy := range []string{"net", "crypto/tls", "crypto/x509", "encoding/json", "encoding/xml", "html/template", "os/exec", "regexp", "log/slog"} {
			if p == heavy || strings.HasPrefix(p, heavy+"/") {
				t.Errorf("it links %s", p)
			}
		}
		if strings.Contains(strings.Split(p, "/")[0], ".") && !strings.HasPrefix(p, "github.com/rolegate/rolegate/cmd/") {
			t.Errorf("it links %s, which is not of the standard library", p)
		}
	}
	w := newWarm(t)
	if few, many := size(t, w.empty), size(t, w.program); many > 2*few {
		t.Errorf("it has %d bytes, an empty program %d", many, few)
	} else {
		t.Logf("it has %.2f times the bytes of an empty program", float64(many)/float64(few))
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// BenchmarkWarm measures a start with a fresh entry against an empty program,
// in pairs, so that a slow moment hits both. The goal is a ratio of 2.
func BenchmarkWarm(b *testing.B) {
	w := newWarm(b)
	var ratios []float64
	for b.Loop() {
		begin := time.Now()
		w.start(b, w.empty)
		between := time.Now()
		w.start(b, w.program, "prod", "Admin")
		ratios = append(ratios, float64(time.Since(between))/float64(between.Sub(begin)))
	}
	sort.Float64s(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "empty")
}
