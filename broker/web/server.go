package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
	webadmin "github.com/rolegate/rolegate/broker/web/admin"
	"github.com/rolegate/rolegate/broker/web/awssso"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/idp"
	"github.com/rolegate/rolegate/broker/web/oauth"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/portal"
	"github.com/rolegate/rolegate/static"
	"github.com/rolegate/rolegate/templates"
)

// The parts of Config that its rooms define.
type (
	MetadataSource = idp.MetadataSource
	Documents      = idp.Documents
	Destination    = portal.Destination
	Health         = webadmin.Health
	Simulate       = webadmin.Simulate
)

// Config is what the server works with.
type Config struct {
	SignIn     *signin.Service
	Access     *access.Service
	Logout     *signin.Logout
	Favourites *access.Favourites
	Journal    *journal.Journal
	Factors    *factor.Service // nil: there is no second factor of our own
	Programs   *program.Service

	// Book is for everybody's own sessions. With Admin there is a part for
	// administrators, which shows Health and simulates changes.
	Book     *session.Book
	Admin    *admin.Service
	Health   Health
	Simulate Simulate

	// SAML is our service-provider side of each SAML identity provider, OIDC our
	// keys at each OpenID provider; Documents is our issuer side.
	SAML      map[broker.ProviderID]MetadataSource
	OIDC      map[broker.ProviderID]idp.KeySource
	Documents Documents

	// PublicURL is the only source of our own origin: https, or http on a
	// loopback name, without a path.
	PublicURL string

	// Destinations and Regions fill the console picker. Nil Regions means the
	// commercial and public regions known when this was built.
	Destinations []Destination
	Regions      map[broker.Partition][]string

	// AWSOrigins are the sign-in and console origins of the configured
	// partitions, for the content security policy. IdPOrigins are further
	// origins a provider's POST binding redirects to.
	AWSOrigins []string
	IdPOrigins map[broker.ProviderID][]string

	Ready          func(ctx context.Context) error // nil: always ready
	Observe        func(route string, status int)  // is told of each answer, route is the pattern; nil: nobody is
	Logger         *slog.Logger
	TrustedProxies []netip.Prefix   // whose X-Forwarded-For is believed
	Now            func() time.Time // nil: time.Now
}

// Validate lists what is wrong with the settings, as [broker.Problems]. The use
// cases, which the program adds to them, are looked at by [New].
func (c Config) Validate() error { return c.settings().Err() }

func (c Config) settings() broker.Problems {
	var ps broker.Problems
	if _, err := broker.ParsePublicURL(c.PublicURL); err != nil {
		ps.Add("PublicURL", "%v", err)
	}
	for i, o := range c.AWSOrigins {
		if err := checkOrigin(o); err != nil {
			ps.Add(fmt.Sprintf("AWSOrigins[%d]", i), "%v", err)
		}
	}
	for id, origins := range c.IdPOrigins {
		for i, o := range origins {
			if err := checkOrigin(o); err != nil {
				ps.Add(fmt.Sprintf("IdPOrigins[%s][%d]", id, i), "%v", err)
			}
		}
	}
	return ps
}

// parts lists what the program did not add to the settings.
func (c Config) parts() broker.Problems {
	var ps broker.Problems
	if c.SignIn == nil || c.Access == nil || c.Logout == nil || c.Book == nil || c.Favourites == nil || c.Programs == nil || c.Journal == nil || c.Logger == nil {
		ps.Add("", "SignIn, Access, Logout, Favourites, Programs, Book, Journal and Logger are needed")
	}
	return ps
}

// checkOrigin keeps what would end a directive out of the policy.
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || o != u.Scheme+"://"+u.Host {
		return fmt.Errorf("%q is not an origin (scheme://host[:port])", broker.RedactURL(o))
	}
	for _, c := range []byte(o) {
		if c <= ' ' || c == ';' || c == ',' || c == '\'' || c >= 0x7f {
			return fmt.Errorf("%q is not an origin (scheme://host[:port])", broker.RedactURL(o))
		}
	}
	return nil
}

// Server answers all of rolegate's routes.
type Server struct {
	c        Config
	sessions *cookie.Manager
	bodies   *bodyGate
	pages    *page.Set
	assets   *static.Assets
	mux      *http.ServeMux
	chain    http.Handler
	https    bool
	fallback []byte // the error page, rendered at start
	bare     []byte // the same without a trace id
	patterns []string

	notUnderstood sync.Once // what a trusted proxy says of its client
}

// Patterns lists every mounted route.
func (s *Server) Patterns() []string { return slices.Clone(s.patterns) }

// New parses the pages and mounts the routes.
func New(c Config) (*Server, error) {
	if err := append(c.settings(), c.parts()...).Err(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Regions == nil {
		c.Regions = portal.Regions()
	}
	u, err := broker.ParsePublicURL(c.PublicURL)
	if err != nil {
		return nil, err
	}
	assets, err := static.New()
	if err != nil {
		return nil, err
	}
	pages, err := page.New(templates.FS, assets)
	if err != nil {
		return nil, err
	}
	s := &Server{
		c: c, pages: pages, assets: assets, mux: http.NewServeMux(), https: u.Scheme == "https",
		sessions: cookie.NewManager(c.Access, u.Scheme == "https"), bodies: newBodyGate(),
	}
	if s.fallback, err = pages.Bytes(newErrorPage(http.StatusInternalServerError, errFallback, fallbackTrace)); err != nil {
		return nil, err
	}
	if s.bare, err = pages.Bytes(newErrorPage(http.StatusInternalServerError, errFallback, "")); err != nil {
		return nil, err
	}
	s.mount()
	if s.chain, err = s.middleware(u); err != nil {
		return nil, err
	}
	return s, nil
}

// ServeHTTP answers the request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.chain.ServeHTTP(w, r) }

func (s *Server) mount() {
	d := door.New(door.Config{SignIn: s.c.SignIn, Factors: s.c.Factors, Sessions: s.sessions})
	// People: public and signed-in pages.
	portal.New(portal.Config{
		SignIn: s.c.SignIn, Access: s.c.Access, Logout: s.c.Logout, Factors: s.c.Factors, Favourites: s.c.Favourites, Sessions: s.sessions, Door: d,
		Book: s.c.Book, Pages: s.pages, Destinations: s.c.Destinations,
		Regions: s.c.Regions, AWSOrigins: s.c.AWSOrigins, IdPOrigins: s.c.IdPOrigins,
	}).Mount(s.handle)
	if s.c.Admin != nil {
		webadmin.New(webadmin.Config{
			Admin: s.c.Admin, SignIn: s.c.SignIn, Door: d, Pages: s.pages, Health: s.c.Health, Simulate: s.c.Simulate,
			Now: s.c.Now,
		}).Mount(s.handle)
	}
	// Identity providers and IAM.
	idp.New(idp.Config{
		SignIn: s.c.SignIn, Logout: s.c.Logout, Sessions: s.sessions, Pages: s.pages, SAML: s.c.SAML, OIDC: s.c.OIDC, Documents: s.c.Documents,
		IdPOrigins: s.c.IdPOrigins,
	}).Mount(s.handle)
	// Programs, and the pages on which people let them in.
	oauth.New(oauth.Config{
		Programs: s.c.Programs, Door: d, Pages: s.pages, PublicURL: s.c.PublicURL,
	}).Mount(s.handle)
	awssso.New(awssso.Config{Programs: s.c.Programs, Access: s.c.Access, PublicURL: s.c.PublicURL}).Mount(s.handle)
	s.handle("GET /api/v1/me", s.me)
	s.handle("GET /api/v1/assignments", s.assignments)
	s.handle("POST /api/v1/role-credentials", s.roleCredentials)
	// Operations.
	s.handle("GET /healthz", s.health)
	s.handle("GET /readyz", s.ready)
	s.handle("GET "+static.Prefix, s.static)
	s.handle("GET /favicon.ico", s.favicon)
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	text(w, http.StatusOK, "ok\n")
	return nil
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) error {
	if s.c.Ready == nil {
		text(w, http.StatusOK, "ready\n")
		return nil
	}
	if err := s.c.Ready(r.Context()); err != nil {
		requestFrom(r.Context()).fail(err)
		w.Header().Set("Retry-After", retryAfter)
		text(w, http.StatusServiceUnavailable, "not ready: "+broker.Message(err)+"\n")
		return nil
	}
	text(w, http.StatusOK, "ready\n")
	return nil
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client went away: nobody to tell
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	if !s.assets.Has(r.URL.Path) {
		return errNotFound
	}
	s.assets.ServeHTTP(w, r)
	return nil
}

// favicon answers the browsers that ask for it whatever the page says.
func (s *Server) favicon(w http.ResponseWriter, _ *http.Request) error {
	p, err := s.assets.Path("mark.svg")
	if err != nil {
		return err
	}
	w.Header().Set("Location", p)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.WriteHeader(http.StatusFound)
	return nil
}
