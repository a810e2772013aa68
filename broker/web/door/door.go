package door

import (
	"net/http"
	"net/url"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/page"
)

// FactorPath is where people use rolegate's own second factor.
const FactorPath = "/mfa"

// Config is what a door works with. All fields but Factors are needed.
type Config struct {
	SignIn   *signin.Service
	Factors  *factor.Service // nil: rolegate has no second factor of its own
	Sessions *cookie.Manager
}

// Door is shared by the pages. It is safe for concurrent use.
type Door struct{ c Config }

// New returns a door.
func New(c Config) *Door { return &Door{c} }

// SessionHandler handles the request of a person who is signed in.
type SessionHandler func(w http.ResponseWriter, r *http.Request, sess *broker.Session) error

// SignedIn hands the request's session to h. Without one, a GET is sent to sign
// in and back to where back says, or to itself where back is nil; a POST is
// refused, as what was clicked may be stale, and its page leads to home.
func (d *Door) SignedIn(home string, back func(*http.Request) string, h SessionHandler) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		sess, err := d.c.Sessions.Current(r)
		switch {
		case broker.CodeOf(err) == broker.CodeUnauthenticated && r.Method == http.MethodGet:
			to := r.URL.RequestURI()
			if back != nil {
				to = back(r)
			}
			SeeOther(w, "/signin?"+url.Values{"return_to": {to}}.Encode())
			return nil
		case broker.CodeOf(err) == broker.CodeUnauthenticated:
			return &page.Failure{Err: err, ReturnTo: home}
		case err != nil:
			return err
		}
		return h(w, r, sess)
	}
}

// Fail adds to an error that asks for a sign-in, or for more proof, the ways to
// it that are open to this person, and back to returnTo. Any other error is
// returned as it is.
func (d *Door) Fail(sess *broker.Session, err error, returnTo string) error {
	code := broker.CodeOf(err)
	if code != broker.CodeStepUp && code != broker.CodeUnauthenticated {
		return err
	}
	f := &page.Failure{Err: err, Provider: sess.Identity.Subject.Provider, ReturnTo: returnTo}
	x, _ := d.Provider(f.Provider) // one that is gone has no name, and proves nothing
	f.Name = x.Name
	if d.Offered(sess) {
		f.Factor, f.Unproven = WithReturn(FactorPath, returnTo), !x.MFA.Proves()
	}
	return f
}

// Offered reports whether the person may use rolegate's own second factor.
func (d *Door) Offered(sess *broker.Session) bool {
	return d.c.Factors != nil && d.c.Factors.Offered(sess)
}

// Meta describes a page of the person: title, entry of the navigation, and who
// they are.
func (d *Door) Meta(sess *broker.Session, title, section string) page.Meta {
	person := page.NewPerson(sess, d.c.SignIn.Providers())
	person.Factors = d.Offered(sess)
	return page.Meta{Title: title, Section: section, Person: person}
}

// Provider returns the identity provider with the id, CodeNotFound if there is
// none.
func (d *Door) Provider(id broker.ProviderID) (broker.Provider, error) {
	for _, x := range d.c.SignIn.Providers() {
		if x.ID == id {
			return x, nil
		}
	}
	return broker.Provider{}, broker.Errorf(broker.CodeNotFound, "There is no identity provider with this name.").
		Fix("Go back to the sign-in page and choose one from the list.")
}

// WithReturn adds to a path of ours where to go on afterwards.
func WithReturn(path, to string) string {
	if to == "/" || to == "" {
		return path
	}
	return path + "?" + url.Values{"return_to": {to}}.Encode()
}

// SeeOther redirects to a path of ours or to an address that an adapter made.
func SeeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}
