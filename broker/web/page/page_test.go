package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rolegate/rolegate/broker/web/page"
)

type assets struct{}

func (assets) Path(name string) (string, error) { return "/static/" + name, nil }

type sample struct {
	page.Meta
	name   string
	Secret string
	Broken []int
}

func (s sample) Template() string { return s.name }

func set(t *testing.T) *page.Set {
	t.Helper()
	s, err := page.New(fstest.MapFS{
		"layout.html": {Data: []byte(`<title>{{.Title}}</title>{{template "main" .}}`)},
		"good.html":   {Data: []byte(`{{define "main"}}<p>{{.Secret}}</p>{{end}}`)},
		"broken.html": {Data: []byte(`{{define "main"}}<p>{{.Secret}}</p>{{index .Broken 7}}{{end}}`)},
	}, assets{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRenderIsWhole ensures that a page that breaks half-way leaves nothing
// behind, neither in its answer nor in the next page's.
func TestRenderIsWhole(t *testing.T) {
	s := set(t)
	for _, name := range []string{"broken", "unknown"} {
		w := httptest.NewRecorder()
		if err := s.Render(w, http.StatusOK, sample{name: name, Secret: "planted"}); err == nil {
			t.Errorf("%s was rendered", name)
		}
		if w.Body.Len() > 0 || len(w.Header()) > 0 {
			t.Errorf("%s left %q %v", name, w.Body, w.Header())
		}
	}
	w := httptest.NewRecorder()
	err := s.Render(w, http.StatusTeapot, sample{name: "good", Secret: "<b>", Meta: page.Meta{
		Title: "t", Refresh: "/x", FormAction: []string{"https://a.example"},
	}})
	if err != nil || w.Code != http.StatusTeapot || w.Body.String() != "<title>t</title><p>&lt;b&gt;</p>" {
		t.Errorf("%d %q %v", w.Code, w.Body, err)
	}
	if w.Header().Get("Refresh") != "0; url=/x" || w.Header().Get("Cache-Control") != "no-store" ||
		!strings.HasSuffix(w.Header().Get("Content-Security-Policy"), "form-action 'self' https://a.example") {
		t.Errorf("%v", w.Header())
	}
}

// TestNewRefusesBrokenPages ensures that a page that does not parse stops the
// start.
func TestNewRefusesBrokenPages(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"no layout": {"a.html": {Data: []byte("x")}},
		"layout":    {"layout.html": {Data: []byte("{{if}}")}},
		"page":      {"layout.html": {Data: []byte("x")}, "a.html": {Data: []byte("{{nosuchfunction}}")}},
	} {
		if _, err := page.New(files, assets{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLasts(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30 s", 15 * time.Minute: "15 min", time.Hour: "1 h", 90 * time.Minute: "1 h 30 min", 12 * time.Hour: "12 h",
	} {
		if got := page.Lasts(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
