package aws

import (
	"embed"
	"html/template"
	"net/http"
	"time"
)

//go:embed console.html console.css chooser.html
var pages embed.FS

var consolePage = template.Must(template.ParseFS(pages, "console.html"))

// Console returns the handler of the console: a page that says who the console
// session's token is, and nothing it knows from elsewhere.
func (a *AWS) Console() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pages, "console.css") })
	mux.HandleFunc("GET /", a.serveConsole)
	return mux
}

func (a *AWS) serveConsole(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if t := r.URL.Query().Get("session"); t != "" {
		//nolint:gosec // G124: Secure follows the scheme, which is plain http on loopback
		http.SetCookie(w, &http.Cookie{Name: "console", Value: t, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
		q := r.URL.Query()
		q.Del("session")
		u := *r.URL
		u.RawQuery = q.Encode()
		h.Set("Location", u.RequestURI())
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	var data struct {
		Session *session
		Page    string
		Region  string
		Left    time.Duration
	}
	if c, err := r.Cookie("console"); err == nil {
		if s, ok := a.readToken(c.Value); ok && a.o.Now().Before(s.Expires) {
			data.Session, data.Left = s, s.Expires.Sub(a.o.Now()).Round(time.Minute)
		}
	}
	data.Page, data.Region = r.URL.Path, r.URL.Query().Get("region")
	h.Set("Content-Type", "text/html; charset=utf-8")
	if data.Session == nil {
		w.WriteHeader(http.StatusForbidden)
	}
	_ = consolePage.Execute(w, data) // the client went away: nobody to tell
}
