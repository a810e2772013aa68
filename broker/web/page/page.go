package page

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Assets resolves a static file's name to its URL path.
type Assets interface {
	Path(name string) (string, error)
}

// Meta is what the layout and the response's headers need to know of a page.
type Meta struct {
	Title      string
	Person     *Person  // nil: nobody is signed in, or the page does not say
	Section    string   // the entry of the navigation that is current
	FormAction []string // origins that forms may go to besides our own
	Refresh    string   // address the browser goes to at once, without script
}

// PageMeta returns m; it makes every struct that embeds Meta a [Page].
func (m Meta) PageMeta() Meta { return m }

// Page is a struct of values for one template.
type Page interface {
	PageMeta() Meta
	Template() string // the file's name without .html
}

// Person is who the header of a page greets.
type Person struct {
	Name     string
	Provider string
	Until    time.Time
	Ends     time.Time // if the session is not used
	Renew    string    // address that signs in again
	Soon     bool      // the end is near, and use does not put it off
	Admin    bool      // shows the way to the administrators' part
	Factors  bool      // the person may use rolegate's own second factor
}

// renewWithin is how long before its end a session's page offers to go on.
const renewWithin = 15 * time.Minute

// NewPerson describes the person of a session.
func NewPerson(s *broker.Session, providers []broker.Provider) *Person {
	p := &Person{
		Name: s.Identity.DisplayName(), Until: s.ExpiresAt, Ends: s.ExpiresAt, Provider: string(s.Identity.Subject.Provider), Admin: s.Admin,
		Renew: "/signin/" + url.PathEscape(string(s.Identity.Subject.Provider)),
		// The last use is now, or less than a minute ago.
		Soon: s.ExpiresAt.Sub(s.LastUsedAt) < renewWithin,
	}
	if !s.IdleAt.IsZero() && s.IdleAt.Before(p.Ends) {
		p.Ends = s.IdleAt
	}
	for _, x := range providers {
		if x.ID == s.Identity.Subject.Provider {
			p.Provider = x.Name
		}
	}
	return p
}

// Failure is an error with what its page can offer besides the error's text.
type Failure struct {
	Err      error
	TraceID  string            // of the sign-in, if there was one
	Provider broker.ProviderID // whose sign-in it was, or is to be repeated
	Name     string            // of the provider
	ReturnTo string            // where to go on after signing in again
	Factor   string            // where to use rolegate's own second factor, if it counts
	Unproven bool              // the provider cannot prove a second factor
	Title    string            // of the page; default by the error, or that signing in did not work
	Refresh  string            // where to look once more, with the cookies that were not sent here
}

// Error returns the private text.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Failure) Unwrap() error { return f.Err }

// Set is all pages, parsed.
type Set struct {
	pages   map[string]*template.Template
	buffers sync.Pool
}

// New parses layout.html with each other file of templates. It fails when one
// of them does not parse or names a static file that does not exist.
func New(templates fs.FS, assets Assets) (*Set, error) {
	names, err := fs.Glob(templates, "*.html")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	layout, err := template.New("layout.html").Funcs(template.FuncMap{
		"asset":   assets.Path,
		"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"utc":     func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") },
		"lasts":   Lasts,
		"agent":   Agent,
		"path":    url.PathEscape,
	}).ParseFS(templates, "layout.html")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	s := &Set{pages: map[string]*template.Template{}, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	for _, name := range names {
		if name == "layout.html" {
			continue
		}
		t, err := layout.Clone()
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		if t, err = t.ParseFS(templates, name); err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		s.pages[strings.TrimSuffix(name, ".html")] = t
	}
	return s, nil
}

// Names lists the pages.
func (s *Set) Names() []string {
	out := make([]string, 0, len(s.pages))
	for name := range s.pages {
		out = append(out, name)
	}
	return out
}

// Render writes the page with its headers. Nothing is written when it returns
// an error.
func (s *Set) Render(w http.ResponseWriter, status int, p Page) error {
	b := s.buffers.Get().(*bytes.Buffer)
	defer func() {
		// A page may hold credentials: its bytes do not wait for the next one.
		clear(b.Bytes())
		b.Reset()
		s.buffers.Put(b)
	}()
	if err := s.execute(b, p); err != nil {
		return err
	}
	m := p.PageMeta()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Content-Security-Policy", Policy(m.FormAction...))
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Cookie")
	if m.Refresh != "" {
		h.Set("Refresh", "0; url="+m.Refresh)
	}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client went away: nobody to tell
	return nil
}

// Bytes returns the page's document.
func (s *Set) Bytes(p Page) ([]byte, error) {
	var b bytes.Buffer
	err := s.execute(&b, p)
	return b.Bytes(), err
}

func (s *Set) execute(b *bytes.Buffer, p Page) error {
	t, ok := s.pages[p.Template()]
	if !ok {
		return fmt.Errorf("page: there is no page %q", p.Template())
	}
	if err := t.ExecuteTemplate(b, "layout.html", p); err != nil {
		return fmt.Errorf("page: %s: %w", p.Template(), err)
	}
	return nil
}

// Policy returns the content security policy of a page whose forms go to our
// own origin and the given ones. Chromium applies form-action to the redirects
// of a form's answer too, so the AWS hosts behind POST /console are named.
func Policy(formAction ...string) string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'; " +
		"form-action 'self'" + strings.Join(append([]string{""}, formAction...), " ")
}

// Lasts writes a duration as people say it: "15 min", "1 h", "1 h 30 min".
func Lasts(d time.Duration) string {
	h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case h > 0 && m > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case h > 0:
		return fmt.Sprintf("%d h", h)
	case m > 0:
		return fmt.Sprintf("%d min", m)
	default:
		return fmt.Sprintf("%d s", int(d/time.Second))
	}
}
