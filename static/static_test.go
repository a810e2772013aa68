package static_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/static"
)

// TestAssets ensures that names carry a hash and nothing else is served.
func TestAssets(t *testing.T) {
	a, err := static.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Path("static.go"); err == nil {
		t.Error("a Go file has a path")
	}
	p, err := a.Path("rolegate.css")
	if err != nil || !a.Has(p) {
		t.Fatalf("%q, %v", p, err)
	}
	for path, status := range map[string]int{p: 200, static.Prefix + "rolegate.css": 404, static.Prefix: 404, p + "/": 404} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodHead, p, nil))
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d bytes, %v", w.Body.Len(), w.Header())
	}
}

var variable = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`)

// TestContrast ensures WCAG 2.2 AA in both colour schemes: 4.5 for text (1.4.3),
// 3 for the edges of controls (1.4.11).
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("rolegate.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "}")
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			colors[m[1]] = m[2]
		}
		for _, row := range []struct {
			fore  string
			backs []string
			least float64
		}{
			{"ink", []string{"bg", "surface", "sunk", "soft"}, 4.5},
			{"muted", []string{"bg", "surface", "sunk"}, 4.5},
			{"accent", []string{"bg", "surface", "soft"}, 4.5},
			{"accent-hover", []string{"surface", "soft-hover"}, 4.5},
			{"on-accent", []string{"accent", "accent-hover"}, 4.5},
			{"warn-ink", []string{"warn-bg"}, 4.5},
			{"wrong", []string{"surface"}, 4.5},
			{"edge", []string{"surface", "bg", "sunk"}, 3},
		} {
			for _, back := range row.backs {
				a, b := luminance(t, colors[row.fore]), luminance(t, colors[back])
				if ratio := (max(a, b) + .05) / (min(a, b) + .05); ratio < row.least {
					t.Errorf("%s: %s on %s has %.2f, want %.1f", scheme, row.fore, back, ratio, row.least)
				}
			}
		}
	}
}

// luminance is WCAG's relative luminance of #rgb or #rrggbb.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	hex = strings.TrimPrefix(hex, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatalf("color %q: %v", hex, err)
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
