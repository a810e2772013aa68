package idp

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// maxCallback bounds the query of an OpenID Connect callback.
const maxCallback = 16 << 10

// MetadataSource makes one of our metadata documents.
type MetadataSource interface {
	Metadata() ([]byte, error)
}

// KeySource makes the document of our public keys at an OpenID provider.
type KeySource interface {
	JWKS() ([]byte, error)
}

// Documents are what IAM reads of us. A nil one is not served.
type Documents struct {
	Metadata  func() ([]byte, error) // SAML metadata as an identity provider
	Discovery func() ([]byte, error) // openid-configuration
	JWKS      func() ([]byte, error)
}

// Config is what the routes work with.
type Config struct {
	SignIn     *signin.Service
	Logout     *signin.Logout
	Sessions   *cookie.Manager
	Pages      *page.Set
	SAML       map[broker.ProviderID]MetadataSource // our side of each SAML provider
	OIDC       map[broker.ProviderID]KeySource      // of each OpenID provider
	Documents  Documents
	IdPOrigins map[broker.ProviderID][]string // as in the portal's configuration
}

// Federation serves the routes.
type Federation struct{ c Config }

// New returns the routes' handlers.
func New(c Config) *Federation { return &Federation{c: c} }

// Handle registers a handler that returns its error.
type Handle = func(pattern string, h func(http.ResponseWriter, *http.Request) error)

// Mount registers the routes.
func (f *Federation) Mount(handle Handle) {
	handle("GET /saml/{idp}/metadata", f.metadata)
	handle(PatternACS, f.acs)
	handle("GET /saml/{idp}/acs", f.again)
	handle("POST /saml/{idp}/agree", f.agree)
	handle("GET /saml/{idp}/slo", f.logoutByGet)
	handle(PatternSLO, f.logoutByPost)
	handle("GET /oidc/{idp}/callback", door.Navigation(f.callback))
	handle(PatternBackChannel, f.backChannel)
	handle("GET /oidc/{idp}/signed-out", f.signedOut)
	handle("GET /oidc/{idp}/jwks.json", f.clientKeys)
	f.document(handle, "GET /aws/saml/metadata", "application/samlmetadata+xml", f.c.Documents.Metadata)
	f.document(handle, "GET /.well-known/openid-configuration", "application/json", f.c.Documents.Discovery)
	f.document(handle, "GET /aws/jwks.json", "application/json", f.c.Documents.JWKS)
}

// The routes that take a POST from another site: an identity provider's page,
// or the identity provider itself. None of them reads the session cookie.
const (
	PatternACS         = "POST /saml/{idp}/acs"
	PatternSLO         = "POST /saml/{idp}/slo"
	PatternBackChannel = "POST /oidc/{idp}/backchannel-logout"
)

func (f *Federation) metadata(w http.ResponseWriter, r *http.Request) error {
	m, ok := f.c.SAML[broker.ProviderID(r.PathValue("idp"))]
	if !ok {
		return unknownProvider()
	}
	b, err := m.Metadata()
	if err != nil {
		return err
	}
	write(w, "application/samlmetadata+xml", b)
	return nil
}

// clientKeys serves the keys that an OpenID provider knows us by (OpenID Connect
// registration: jwks_uri).
func (f *Federation) clientKeys(w http.ResponseWriter, r *http.Request) error {
	k, ok := f.c.OIDC[broker.ProviderID(r.PathValue("idp"))]
	if !ok {
		return unknownProvider()
	}
	b, err := k.JWKS()
	if err != nil {
		return err
	}
	write(w, "application/json", b)
	return nil
}

func unknownProvider() error {
	return broker.Errorf(broker.CodeNotFound, "There is no such identity provider here.").
		Fix("Check the address in the identity provider's settings.")
}

func (f *Federation) acs(w http.ResponseWriter, r *http.Request) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; !ok {
		return unknownProvider()
	}
	return f.finish(w, r, id, r.PostForm.Get("RelayState"), r.PostForm)
}

func (f *Federation) callback(w http.ResponseWriter, r *http.Request) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; ok {
		return unknownProvider()
	}
	if len(r.URL.RawQuery) > maxCallback {
		return broker.Errorf(broker.CodeInvalid, "The answer of your identity provider is too long.").Fix("Start again from the portal.")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return broker.Errorf(broker.CodeInvalid, "The answer of your identity provider cannot be read.").
			Fix("Start again from the portal.").Because(err)
	}
	return f.finish(w, r, id, q.Get("state"), q)
}

func (f *Federation) finish(w http.ResponseWriter, r *http.Request, id broker.ProviderID, state string, form url.Values) error {
	out, traceID, err := f.c.SignIn.Finish(r.Context(), signin.Answer{
		Provider: id, State: state, Binding: f.c.Sessions.Binding(r), Form: form,
	})
	if err != nil && came(err) {
		return f.cameAgain(w, r, id, traceID, err)
	}
	if err != nil {
		return f.failure(id, traceID, err)
	}
	if out.Arrival != nil {
		return f.ask(w, out.Arrival)
	}
	return f.begin(w, out)
}

func (f *Federation) failure(id broker.ProviderID, traceID string, err error) *page.Failure {
	return &page.Failure{Err: err, TraceID: traceID, Provider: id, Name: f.name(id), ReturnTo: "/"}
}

// ContinuePage leads on at once.
type ContinuePage struct {
	page.Meta
	Text, Label, Href string
	Other, OtherHref  string // a second way on, if there is one
}

// Template names the page.
func (ContinuePage) Template() string { return "continue" }

// begin gives the browser its session and sends it on.
func (f *Federation) begin(w http.ResponseWriter, out signin.Result) error {
	if err := f.c.Sessions.Start(w, out.Token); err != nil {
		return err
	}
	to, entered := cookie.SplitEntry(out.ReturnTo)
	if entered {
		// The deep link redirects to AWS. Chromium holds all redirects behind a
		// form to the form-action of the form's page, which here is the provider's:
		// the chain ends with a page of ours.
		f.c.Sessions.Enter(w, to)
		return f.c.Pages.Render(w, http.StatusOK, ContinuePage{
			Meta: page.Meta{Title: "You are signed in", Refresh: to}, Text: "You are being taken to the AWS console.", Label: "Continue", Href: to,
		})
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (f *Federation) document(handle Handle, pattern, contentType string, make func() ([]byte, error)) {
	if make == nil {
		return
	}
	handle(pattern, func(w http.ResponseWriter, _ *http.Request) error {
		b, err := make()
		if err != nil {
			return err
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		write(w, contentType, b)
		return nil
	})
}

func write(w http.ResponseWriter, contentType string, b []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the client went away: nobody to tell
}
