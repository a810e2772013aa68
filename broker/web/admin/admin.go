package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// The routes that others need to know.
const (
	homePath = "/admin"
	// SimulatePath takes a whole configuration, so its body may be larger.
	SimulatePath = "/admin/simulate"
)

// SetupSource is an identity provider that says what to enter at it.
type SetupSource interface {
	Setup() []broker.SetupValue
}

// Key is one of our own keys.
type Key struct {
	Purpose  string
	ID       string
	Active   bool
	NotAfter time.Time // of its certificate; zero: it has none
}

// Endpoint is an address of AWS that is used.
type Endpoint struct{ Name, URL string }

// Health is what the overview shows besides identity providers.
type Health struct {
	Version     string
	Store       string                          // what kind it is
	Ping        func(ctx context.Context) error // of the store
	Keys        func() []Key
	Relaxations []string // every insecure_… setting that is on
	AWS         []Endpoint
	Refused     func() *Refused // nil: configurations are not reloaded
}

// Refused is a configuration that was not taken, so that an older one is in use.
type Refused struct {
	At       time.Time
	Trigger  string
	Problems []string // with their lines
	More     int      // problems that are not listed
}

// Simulation is what a change of the configuration would do.
type Simulation struct {
	Problems []string // with their lines; nothing was evaluated if there are any
	People   int
	Changes  []Change
}

// Change is one difference for one person.
type Change struct {
	Kind     string // gained, lost or changed
	Username string
	Account  string
	Role     string
	What     []string
}

// Simulate evaluates a candidate configuration for people and keeps nothing.
type Simulate func(ctx context.Context, candidate []byte, people []broker.Identity) (Simulation, error)

// Config is what the pages work with. All fields but Now are needed.
type Config struct {
	Admin    *admin.Service
	SignIn   *signin.Service
	Door     *door.Door
	Pages    *page.Set
	Health   Health
	Simulate Simulate
	Now      func() time.Time // nil: time.Now
}

// Admin serves the pages.
type Admin struct{ c Config }

// New returns the pages.
func New(c Config) *Admin {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Admin{c: c}
}

// Handle registers a handler that returns its error.
type Handle = func(pattern string, h func(http.ResponseWriter, *http.Request) error)

// Mount registers the routes, each behind the door.
func (a *Admin) Mount(handle Handle) {
	for pattern, h := range map[string]door.SessionHandler{
		"GET /admin":                  a.overview,
		"GET /admin/traces":           a.traces,
		"GET /admin/sessions":         a.sessions,
		"POST /admin/sessions/end":    a.endSession,
		"POST /admin/sessions/revoke": a.revoke,
		"GET /admin/audit":            a.audit,
		"GET /admin/audit/export":     a.export,
		"GET /admin/explain":          a.explain,
		"GET " + SimulatePath:         a.askSimulate,
		"POST " + SimulatePath:        a.simulate,
		"GET /admin/setup":            a.setup,
	} {
		handle(pattern, a.door(h))
	}
}

// door lets administrators in who proved a second factor. Who is not signed in
// is sent to sign in and back; who lacks the proof can add it and come back.
func (a *Admin) door(h door.SessionHandler) func(http.ResponseWriter, *http.Request) error {
	return a.c.Door.SignedIn(homePath, nil, func(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
		if err := a.c.Admin.Enter(r.Context(), sess); err != nil {
			back := homePath
			if r.Method == http.MethodGet {
				back = r.URL.RequestURI()
			}
			return a.c.Door.Fail(sess, err, back)
		}
		return h(w, r, sess)
	})
}

func (a *Admin) meta(sess *broker.Session, title string) page.Meta {
	return a.c.Door.Meta(sess, title+" · Administration", "admin")
}

func (a *Admin) render(w http.ResponseWriter, p page.Page) error {
	return a.c.Pages.Render(w, http.StatusOK, p)
}

// maxField bounds the short fields of our own forms and links.
const maxField = 256

func fields(values ...string) error {
	for _, v := range values {
		if len(v) > maxField {
			return broker.Errorf(broker.CodeInvalid, "This link or form has been changed and cannot be used.").
				Fix("Go back to the page and fill the form there.")
		}
	}
	return nil
}
