package idp

import (
	"bytes"
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"
)

//go:embed pages/*.html pages/style.css pages/post.js
var files embed.FS

var pages = template.Must(template.ParseFS(files, "pages/*.html"))

const (
	flightLife  = 10 * time.Minute
	sessionLife = 8 * time.Hour
	formLimit   = 64 << 10
	maxTries    = 5 // at a second factor, before the password is asked for again
)

const overText = "This sign-in is over. Start again at the service."

// login is the sign-in of a person at a provider: password page, second-factor
// page, and a session in the browser.
type login struct {
	dir      *directory
	cookie   string           // name; providers on one host must not share it
	label    string           // of the provider
	sessions *shelf[*session] // by the cookie's value
	flights  *shelf[*flight]  // by the id in the form
}

// session is a person signed in at the provider.
type session struct {
	id     string // told to services, so not what the cookie holds
	person Person
	at     time.Time
	mfa    bool
}

// flight is a sign-in on its way.
type flight struct {
	wanted bool   // a second factor was asked for
	hint   string // who is expected
	// leads is a further source for form-action: Chromium holds the redirects
	// that follow a form to it.
	leads  string
	resume func(http.ResponseWriter, *session) // ends it

	mu     sync.Mutex
	person *Person // password was right
	tries  int
}

func newLogin(people []Person, now func() time.Time, cookie, label string) (*login, error) {
	dir, err := newDirectory(people, now)
	if err != nil {
		return nil, err
	}
	return &login{dir: dir, cookie: cookie, label: label, sessions: newShelf[*session](now, sessionLife), flights: newShelf[*flight](now, flightLife)}, nil
}

func (l *login) mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", l.home)
	mux.HandleFunc("POST /login", l.password)
	mux.HandleFunc("POST /totp", l.totp)
	mux.HandleFunc("POST /signout", l.signOut)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "pages/style.css") })
	mux.HandleFunc("GET /post.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "pages/post.js") })
}

// current returns the browser's session, nil if there is none.
func (l *login) current(r *http.Request) *session {
	c, err := r.Cookie(l.cookie)
	if err != nil {
		return nil
	}
	s, _ := l.sessions.get(c.Value)
	return s
}

type loginPage struct {
	Label, Heading string
	ID             string
	Error          string
	Username       string
	Second         bool
	Wanted         bool // a second factor was asked for
	People         []demoPerson
}

// demoPerson is what the pages tell about a person: everything.
type demoPerson struct {
	Person
	Code string // accepted now
	Wait int64  // seconds until there is one
}

// ask shows the password page.
func (l *login) ask(w http.ResponseWriter, f *flight) {
	id := rand.Text()
	l.flights.put(id, f)
	l.page(w, http.StatusOK, f, loginPage{ID: id, Username: f.hint})
}

func (l *login) page(w http.ResponseWriter, status int, f *flight, p loginPage) {
	p.Label, p.Wanted, p.Heading = l.label, f.wanted, "Sign in"
	if p.Second {
		p.Heading = "Your second factor"
	}
	for _, x := range l.dir.people {
		d := demoPerson{Person: x}
		if x.TOTPSecret != "" {
			d.Code, d.Wait = l.dir.offer(x)
		}
		p.People = append(p.People, d)
	}
	render(w, status, "login.html", "'self' "+f.leads, p)
}

func (l *login) password(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	id, username := r.PostFormValue("id"), r.PostFormValue("username")
	f, ok := l.flights.get(id)
	if !ok {
		refuse(w, http.StatusBadRequest, overText)
		return
	}
	p, ok := l.dir.password(username, r.PostFormValue("password"))
	switch {
	case !ok:
		l.page(w, http.StatusUnauthorized, f, loginPage{ID: id, Username: username, Error: "Username or password is wrong."})
	case p.TOTPSecret == "" || p.OnRequest && !f.wanted:
		l.start(w, r, id, p, false)
	default:
		f.mu.Lock()
		f.person, f.tries = &p, 0
		f.mu.Unlock()
		l.page(w, http.StatusOK, f, loginPage{ID: id, Second: true})
	}
}

func (l *login) totp(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	id := r.PostFormValue("id")
	f, ok := l.flights.get(id)
	if !ok {
		refuse(w, http.StatusBadRequest, overText)
		return
	}
	f.mu.Lock()
	p := f.person
	if f.tries++; f.tries >= maxTries {
		f.person = nil // this try still counts
	}
	f.mu.Unlock()
	switch {
	case p == nil:
		l.page(w, http.StatusUnauthorized, f, loginPage{ID: id, Error: "Start again with your password."})
	case !l.dir.totp(*p, r.PostFormValue("code")):
		l.page(w, http.StatusUnauthorized, f, loginPage{ID: id, Second: true, Error: "This code is wrong, old or already used."})
	default:
		l.start(w, r, id, *p, true)
	}
}

// start makes a new session in the place of the browser's old one, and ends the
// flight.
func (l *login) start(w http.ResponseWriter, r *http.Request, id string, p Person, mfa bool) {
	f, ok := l.flights.take(id)
	if !ok {
		refuse(w, http.StatusBadRequest, overText)
		return
	}
	if old, err := r.Cookie(l.cookie); err == nil {
		l.sessions.take(old.Value)
	}
	s, secret := &session{id: rand.Text(), person: p, at: l.dir.now(), mfa: mfa}, rand.Text()
	l.sessions.put(secret, s)
	l.setCookie(w, r, secret)
	f.resume(w, s)
}

func (l *login) setCookie(w http.ResponseWriter, r *http.Request, value string) {
	c := &http.Cookie{Name: l.cookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil} //nolint:gosec // G124: Secure follows the scheme, which is plain http on loopback
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

type homePage struct{ Label, Name string }

// home says who is signed in, and lets them sign out: the way to be somebody
// else in a demo.
func (l *login) home(w http.ResponseWriter, r *http.Request) {
	p := homePage{Label: l.label}
	if s := l.current(r); s != nil {
		p.Name = s.person.Name
	}
	render(w, http.StatusOK, "home.html", "'self'", p)
}

func (l *login) signOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(l.cookie); err == nil {
		l.sessions.take(c.Value)
	}
	l.setCookie(w, r, "")
	render(w, http.StatusOK, "home.html", "'self'", homePage{Label: l.label})
}

// refuse shows a page that leads nowhere.
func refuse(w http.ResponseWriter, status int, text string) {
	render(w, status, "error.html", "'none'", text)
}

// render writes a page with a policy that lets its forms lead to the named
// sources only, and only the page that posts by itself run the one script.
func render(w http.ResponseWriter, status int, name, formAction string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	script := ""
	if name == "post.html" {
		script = "script-src 'self'; "
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; "+script+"frame-ancestors 'none'; base-uri 'none'; form-action "+formAction)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client went away: nobody to tell
}

// origin of an address, as a source for a policy; "" if it is not http.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
