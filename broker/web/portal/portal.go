package portal

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/page"
)

// Destination is a place in the AWS console that people may choose.
type Destination struct {
	Path string // as in [broker.Destination]
	Name string
}

// Config is what the portal works with. All fields but the last three are
// needed.
type Config struct {
	SignIn       *signin.Service
	Access       *access.Service
	Logout       *signin.Logout
	Shelf        *access.Favourites
	Factors      *factor.Service // nil: there is no second factor of our own
	Sessions     *cookie.Manager
	People       *session.Book
	Pages        *page.Set
	Destinations []Destination
	Regions      map[broker.Partition][]string
	AWSOrigins   []string // sign-in and console origins, which POST /console leads to
	// IdPOrigins are further origins that a provider's POST-binding endpoint
	// redirects to; the endpoint's own origin is always allowed.
	IdPOrigins map[broker.ProviderID][]string
	Now        func() time.Time // nil: time.Now
}

// Portal serves the pages.
type Portal struct {
	c     Config
	menus map[broker.Partition]template.HTML // of the regions
}

// New returns the portal.
func New(c Config) *Portal {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Portal{c: c, menus: regionMenus(c.Regions)}
}

// Handle registers a handler that returns its error.
type Handle = func(pattern string, h func(http.ResponseWriter, *http.Request) error)

// Mount registers the routes.
func (p *Portal) Mount(handle Handle) {
	// Public.
	handle("GET /signin", p.chooser)
	handle("POST /signin", p.chooseByEmail)
	handle("GET /signin/{idp}", p.unlessPrefetch(p.start))
	handle("POST /signin/{idp}", p.stepUp)
	handle("POST /signout", p.signOut)
	// Signed in.
	handle("GET /{$}", p.signedIn(p.list))
	handle("GET /go", p.unlessPrefetch(p.signedIn(p.deepLink)))
	handle("GET /access", p.signedIn(p.access))
	handle("GET /credentials", p.signedIn(p.askCredentials))
	handle("POST /credentials", p.signedIn(p.credentials))
	handle("POST /console", p.signedIn(p.console))
	handle("POST /favourites", p.signedIn(p.mark))
	handle("GET /sessions", p.signedIn(p.sessions))
	handle("POST /sessions/end", p.signedIn(p.endSession))
	handle("POST /sessions/end-others", p.signedIn(p.endOthers))
	handle("POST /sessions/end-all", p.signedIn(p.endAll))
	if p.c.Factors != nil {
		p.mountFactors(handle)
	}
}

type sessionHandler func(w http.ResponseWriter, r *http.Request, sess *broker.Session) error

// signedIn hands the request's session to h. Without one, a GET is sent to
// sign in and back; a POST is refused, as what was clicked may be stale.
func (p *Portal) signedIn(h sessionHandler) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		sess, err := p.c.Sessions.Current(r)
		switch {
		case broker.CodeOf(err) == broker.CodeUnauthenticated && r.Method == http.MethodGet:
			to := r.URL.RequestURI()
			if r.URL.Path == cookie.EntryPath {
				to = p.markEntry(r, to)
			}
			seeOther(w, "/signin?"+url.Values{"return_to": {to}}.Encode())
			return nil
		case broker.CodeOf(err) == broker.CodeUnauthenticated:
			return &page.Failure{Err: err, ReturnTo: "/"}
		case err != nil:
			return err
		}
		return h(w, r, sess)
	}
}

func (p *Portal) meta(sess *broker.Session, title, section string) page.Meta {
	person := page.NewPerson(sess, p.c.SignIn.Providers())
	person.Factors = p.offered(sess)
	return page.Meta{Title: title, Section: section, Person: person, FormAction: p.c.AWSOrigins}
}

func (p *Portal) offered(sess *broker.Session) bool {
	return p.c.Factors != nil && p.c.Factors.Offered(sess)
}

func (p *Portal) provider(id broker.ProviderID) (broker.Provider, error) {
	for _, x := range p.c.SignIn.Providers() {
		if x.ID == id {
			return x, nil
		}
	}
	return broker.Provider{}, broker.Errorf(broker.CodeNotFound, "There is no identity provider with this name.").
		Fix("Go back to the sign-in page and choose one from the list.")
}

// fail adds to err how to sign in again and come back to returnTo.
func (p *Portal) fail(sess *broker.Session, err error, returnTo string) error {
	code := broker.CodeOf(err)
	if code != broker.CodeStepUp && code != broker.CodeUnauthenticated {
		return err
	}
	f := &page.Failure{Err: err, Provider: sess.Identity.Subject.Provider, ReturnTo: returnTo}
	x, xerr := p.provider(f.Provider)
	if xerr == nil {
		f.Name = x.Name
	}
	if p.offered(sess) {
		f.Factor, f.Unproven = mfaPath("/mfa", returnTo), !x.MFA.Proves()
	}
	return f
}

func (p *Portal) unlessPrefetch(h func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !prefetch(r) {
			return h(w, r)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// prefetch reports whether the browser asks ahead of the person, or for the
// headers only.
func prefetch(r *http.Request) bool {
	if r.Method == http.MethodHead {
		return true
	}
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		v := strings.ToLower(r.Header.Get(name))
		if strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview") {
			return true
		}
	}
	return false
}

// seeOther redirects to a path of ours or to an address an adapter made.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}
