package idp

import (
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed pages/*.html pages/style.css pages/post.js
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

// login is the sign-in of a person at a provider: password page, second-factor
// page, and a session in the browser.
type login struct {
	dir    *directory
	cookie string // name; providers on one host must not share it
	label  string // of the provider
	// allow are further sources for form-action: Chromium holds the redirects
	// that follow a form to it.
	allow string
	// done continues the request that the login was for.
	done func(w http.ResponseWriter, r *http.Request, id string, s *session)

	mu       sync.Mutex
	sessions map[string]*session
	pending  map[string]*pendingLogin
}

// session is a person signed in at the provider.
type session struct {
	id     string
	person Person
	at     time.Time
	mfa    bool
}

type pendingLogin struct {
	person Person // password was right
}

func newLogin(dir *directory, cookie, label string, done func(http.ResponseWriter, *http.Request, string, *session)) *login {
	return &login{dir: dir, cookie: cookie, label: label, done: done, sessions: map[string]*session{}, pending: map[string]*pendingLogin{}}
}

func (l *login) mount(mux *http.ServeMux) {
	mux.HandleFunc("POST /login", l.password)
	mux.HandleFunc("POST /totp", l.totp)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "pages/style.css") })
	mux.HandleFunc("GET /post.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "pages/post.js") })
}

// current returns the browser's session, nil if there is none.
func (l *login) current(r *http.Request) *session {
	c, err := r.Cookie(l.cookie)
	if err != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[c.Value]
}

type loginPage struct {
	Label   string
	ID      string
	Error   string
	Second  bool
	Wanted  bool // a second factor was asked for
	People  []Person
	Codes   map[string]string
	Heading string
}

// ask shows the password page for the request with the id.
func (l *login) ask(w http.ResponseWriter, id string, wanted bool) {
	l.page(w, http.StatusOK, loginPage{ID: id, Wanted: wanted})
}

func (l *login) page(w http.ResponseWriter, status int, p loginPage) {
	p.Label, p.People, p.Codes = l.label, l.dir.people, map[string]string{}
	for _, x := range p.People {
		p.Codes[x.Username] = x.Code(l.dir.now())
	}
	p.Heading = "Sign in"
	if p.Second {
		p.Heading = "Your second factor"
	}
	render(w, status, "login.html", strings.TrimSpace("'self' "+l.allow), p)
}

// render writes a page with a policy that lets its forms lead to the named
// sources only.
func render(w http.ResponseWriter, status int, name, formAction string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action "+formAction)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, name, data) // the client went away: nobody to tell
}

func (l *login) password(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id := r.PostFormValue("id")
	p, ok := l.dir.password(r.PostFormValue("username"), r.PostFormValue("password"))
	if !ok {
		l.page(w, http.StatusUnauthorized, loginPage{ID: id, Error: "Username or password is wrong."})
		return
	}
	if p.TOTPSecret == "" {
		l.start(w, r, id, p, false)
		return
	}
	l.mu.Lock()
	l.pending[id] = &pendingLogin{person: p}
	l.mu.Unlock()
	l.page(w, http.StatusOK, loginPage{ID: id, Second: true})
}

func (l *login) totp(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	id := r.PostFormValue("id")
	l.mu.Lock()
	p := l.pending[id]
	l.mu.Unlock()
	if p == nil {
		l.page(w, http.StatusUnauthorized, loginPage{ID: id, Error: "Start again with your password."})
		return
	}
	if !l.dir.totp(p.person, r.PostFormValue("code")) {
		l.page(w, http.StatusUnauthorized, loginPage{ID: id, Second: true, Error: "This code is wrong, old or already used."})
		return
	}
	l.mu.Lock()
	delete(l.pending, id)
	l.mu.Unlock()
	l.start(w, r, id, p.person, true)
}

func (l *login) start(w http.ResponseWriter, r *http.Request, id string, p Person, mfa bool) {
	s := &session{id: rand.Text(), person: p, at: l.dir.now(), mfa: mfa}
	l.mu.Lock()
	l.sessions[s.id] = s
	l.mu.Unlock()
	//nolint:gosec // G124: Secure follows the scheme, which is plain http on loopback
	http.SetCookie(w, &http.Cookie{Name: l.cookie, Value: s.id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
	l.done(w, r, id, s)
}
