package portal

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/page"
)

// signOut ends the session here and then sends the browser on to its provider,
// if that has a logout: by a page of our own, as Chromium would hold a redirect
// of the sign-out form to the policy of the page that the form is on.
func (p *Portal) signOut(w http.ResponseWriter, r *http.Request) error {
	sess, err := p.c.Sessions.Current(r)
	// The cookie goes whatever happens to the rest: this browser is signed out.
	if err := p.c.Sessions.Clear(w); err != nil {
		return err
	}
	if err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated {
		return err
	}
	var ended signin.Ended
	if err == nil {
		if ended, err = p.c.Logout.End(r.Context(), sess, p.c.Sessions.Binding(r)); err != nil {
			return err
		}
	}
	if ended.Challenge == nil {
		out := page.NewSignedOut(ended.Provider.Name)
		out.Unreachable, out.TraceID = ended.Unreachable, ended.TraceID
		return p.c.Pages.Render(w, http.StatusOK, out)
	}
	p.c.Sessions.Bind(w, ended.Binding)
	x, purpose := ended.Provider, "sign out there too"
	if ended.Challenge.Form == nil {
		return p.c.Pages.Render(w, http.StatusOK, continueTo(x.Name, purpose, ended.Challenge.URL))
	}
	out, err := page.NewPost("Continue to "+x.Name, "You are being taken to "+x.Name+" to "+purpose+".", *ended.Challenge, p.c.IdPOrigins[x.ID])
	if err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}
