package portal

import (
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
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
	Favourites   *access.Favourites
	Factors      *factor.Service // nil: there is no second factor of our own
	Door         *door.Door
	Sessions     *cookie.Manager
	Book         *session.Book
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
	handle("GET /signin/{idp}", door.Navigation(p.unlessPrefetch(p.start)))
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

// signedIn hands the request's session to h. A deep link comes back with the
// note of who opened it.
func (p *Portal) signedIn(h door.SessionHandler) func(http.ResponseWriter, *http.Request) error {
	return p.c.Door.SignedIn("/", func(r *http.Request) string {
		if r.URL.Path == cookie.EntryPath {
			return markEntry(r, r.URL.RequestURI(), opened)
		}
		return r.URL.RequestURI()
	}, h)
}

func (p *Portal) meta(sess *broker.Session, title, section string) page.Meta {
	m := p.c.Door.Meta(sess, title, section)
	m.FormAction = p.c.AWSOrigins
	return m
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
