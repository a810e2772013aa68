package idp

import (
	"net/http"
	"net/url"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/page"
)

func (f *Federation) logoutByGet(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery) > maxCallback {
		return broker.Errorf(broker.CodeInvalid, "The message of your identity provider is too long.").Fix("Sign out in the portal.")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return broker.Errorf(broker.CodeInvalid, "The message of your identity provider cannot be read.").Fix("Sign out in the portal.").Because(err)
	}
	return f.singleLogout(w, r, q, broker.LogoutMessage{Query: r.URL.RawQuery})
}

func (f *Federation) logoutByPost(w http.ResponseWriter, r *http.Request) error {
	return f.singleLogout(w, r, r.PostForm, broker.LogoutMessage{Form: r.PostForm})
}

// singleLogout serves both directions: the provider's answer to our request, or
// its own request (SAML profiles 4.4.3).
func (f *Federation) singleLogout(w http.ResponseWriter, r *http.Request, values url.Values, m broker.LogoutMessage) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; !ok {
		return unknownProvider()
	}
	switch request, response := values.Has("SAMLRequest"), values.Has("SAMLResponse"); {
	case request == response:
		return broker.Errorf(broker.CodeInvalid, "This is no message about a sign-out.").Fix("Sign out in the portal.")
	case response:
		return f.finishLogout(w, r, id, values.Get("RelayState"), m)
	}
	challenge, traceID, err := f.c.Logout.Receive(r.Context(), id, m)
	switch {
	case err != nil:
		return f.logoutFailure(id, traceID, err)
	case challenge == nil:
		out := page.NewSignedOut(f.name(id))
		out.Asked = true
		return f.c.Pages.Render(w, http.StatusOK, out)
	case challenge.Form == nil:
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", challenge.URL)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	out, err := page.NewPost("Continue to "+f.name(id), "You are being taken back to "+f.name(id)+" to sign out.", *challenge, f.c.IdPOrigins[id])
	if err != nil {
		return err
	}
	return f.c.Pages.Render(w, http.StatusOK, out)
}

// signedOut is where a provider sends the browser back to (RP-Initiated Logout 3).
func (f *Federation) signedOut(w http.ResponseWriter, r *http.Request) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; ok {
		return unknownProvider()
	}
	return f.finishLogout(w, r, id, r.URL.Query().Get("state"), broker.LogoutMessage{Query: r.URL.RawQuery})
}

func (f *Federation) finishLogout(w http.ResponseWriter, r *http.Request, id broker.ProviderID, state string, m broker.LogoutMessage) error {
	p, traceID, err := f.c.Logout.Finish(r.Context(), id, state, f.c.Sessions.Binding(r), m)
	if err != nil {
		return f.logoutFailure(id, traceID, err)
	}
	out := page.NewSignedOut(p.Name)
	_, out.Confirmed = f.c.SAML[id]
	out.Returned = !out.Confirmed
	return f.c.Pages.Render(w, http.StatusOK, out)
}

// backChannel takes a logout token from the provider itself.
func (f *Federation) backChannel(w http.ResponseWriter, r *http.Request) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; ok {
		return unknownProvider()
	}
	_, traceID, err := f.c.Logout.Receive(r.Context(), id, broker.LogoutMessage{Form: r.PostForm})
	if err != nil {
		return &page.BackChannel{Err: f.logoutFailure(id, traceID, err)}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

func (f *Federation) logoutFailure(id broker.ProviderID, traceID string, err error) error {
	return &page.Failure{Err: err, TraceID: traceID, Provider: id, Name: f.name(id), ReturnTo: "/", Title: "Signing out did not work"}
}

func (f *Federation) name(id broker.ProviderID) string {
	for _, p := range f.c.SignIn.Providers() {
		if p.ID == id {
			return p.Name
		}
	}
	return ""
}
