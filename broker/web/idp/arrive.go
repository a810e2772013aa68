package idp

import (
	"net/http"
	"net/url"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/page"
)

// ArrivePage asks a person who comes from an identity provider unasked whether
// to sign in. Without it, any site could sign a browser in as somebody else.
type ArrivePage struct {
	page.Meta
	Provider, Name, Username, Email string
	Action, Token                   string
}

// Template names the page.
func (ArrivePage) Template() string { return "arrive" }

func (f *Federation) ask(w http.ResponseWriter, a *signin.Arrival) error {
	f.c.Sessions.Bind(w, a.Binding)
	return f.c.Pages.Render(w, http.StatusOK, ArrivePage{
		Meta: page.Meta{Title: "Sign in"}, Provider: a.Provider.Name, Name: a.Identity.DisplayName(),
		Username: a.Identity.Username, Email: a.Identity.Email,
		Action: "/saml/" + url.PathEscape(string(a.Provider.ID)) + "/agree", Token: a.Token.Reveal(),
	})
}

// agree is the person's click. It is no cross-site route: the middleware has
// refused whatever another site sent.
func (f *Federation) agree(w http.ResponseWriter, r *http.Request) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; !ok {
		return unknownProvider()
	}
	replaces := ""
	switch sess, err := f.c.Sessions.Current(r); {
	case err == nil:
		replaces = sess.Key
	case broker.CodeOf(err) != broker.CodeUnauthenticated:
		return err
	}
	out, traceID, err := f.c.SignIn.Agree(r.Context(), signin.Agreement{
		Provider: id, Token: broker.NewSecret(r.PostForm.Get("arrival")), Binding: f.c.Sessions.Binding(r), Replaces: replaces,
	})
	if err != nil {
		return f.failure(id, traceID, err)
	}
	return f.begin(w, out)
}
