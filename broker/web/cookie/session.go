package cookie

import (
	"crypto/subtle"
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
)

// entrySeconds is how long a deep link's entry survives the end of a sign-in:
// one redirect.
const entrySeconds = 60

// Manager sets and reads the cookies.
type Manager struct {
	store                *Store
	name, binding, entry string
	secure               bool
}

// NewManager returns a manager. secure is whether our public URL is https.
func NewManager(access *access.Service, secure bool) *Manager {
	prefix := ""
	if secure {
		prefix = "__Host-"
	}
	return &Manager{
		store: &Store{access: access, options: sessions.Options{
			Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
		}},
		name: prefix + "rolegate_session", binding: prefix + "rolegate_signin", entry: prefix + "rolegate_entry",
		secure: secure,
	}
}

// Current returns the session of the request, read from the store once per
// request. CodeUnauthenticated when there is none, CodeUnavailable when the
// store does not answer.
func (m *Manager) Current(r *http.Request) (*broker.Session, error) {
	s, err := m.store.Get(r, m.name)
	if err != nil {
		return nil, err
	}
	return s.Values[keySession].(*broker.Session), nil
}

// Present reports whether the request brings a session cookie, whatever it is
// worth.
func (m *Manager) Present(r *http.Request) bool {
	_, err := r.Cookie(m.name)
	return err == nil
}

// Start makes token the browser's session. It does not read the request's own
// cookie: each sign-in brings a new token.
func (m *Manager) Start(w http.ResponseWriter, token broker.Secret) error {
	s := sessions.NewSession(m.store, m.name)
	options := m.store.options
	s.Options, s.ID = &options, token.Reveal()
	return m.store.Save(nil, w, s)
}

// Clear ends the session's cookie.
func (m *Manager) Clear(w http.ResponseWriter) error {
	s := sessions.NewSession(m.store, m.name)
	options := m.store.options
	options.MaxAge = -1
	s.Options = &options
	return m.store.Save(nil, w, s)
}

// Binding returns the value of the binding cookie, or an empty secret.
func (m *Manager) Binding(r *http.Request) broker.Secret {
	c, err := r.Cookie(m.binding)
	if err != nil {
		return broker.Secret{}
	}
	return broker.NewSecret(c.Value)
}

// Bind sets the binding cookie for as long as a sign-in may take.
func (m *Manager) Bind(w http.ResponseWriter, value broker.Secret) {
	sameSite := http.SameSiteNoneMode
	if !m.secure {
		// Browsers refuse SameSite=None without Secure. On loopback the
		// identity provider is the same site, so Lax is enough.
		sameSite = http.SameSiteLaxMode
	}
	m.set(w, m.binding, value.Reveal(), int(broker.SignInTTL.Seconds()), sameSite)
}

// Enter notes that the person themselves opened the deep link path, for the
// one redirect to it.
func (m *Manager) Enter(w http.ResponseWriter, path string) {
	m.set(w, m.entry, broker.NewSecret(path).Hash(), entrySeconds, http.SameSiteLaxMode)
}

// Entered reports whether [Manager.Enter] was called for the path, and takes
// the note away.
func (m *Manager) Entered(w http.ResponseWriter, r *http.Request, path string) bool {
	c, err := r.Cookie(m.entry)
	if err != nil {
		return false
	}
	m.set(w, m.entry, "", -1, http.SameSiteLaxMode)
	return subtle.ConstantTimeCompare([]byte(c.Value), []byte(broker.NewSecret(path).Hash())) == 1
}

func (m *Manager) set(w http.ResponseWriter, name, value string, maxAge int, sameSite http.SameSite) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: not Secure on plain-http loopback only, and SameSite is the caller's
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: m.secure, SameSite: sameSite,
	})
}
