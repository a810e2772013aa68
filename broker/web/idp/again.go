package idp

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// came reports whether err says that nothing was under way for an answer, or
// that it was taken before: what a person sees who goes back in the browser, or
// in again at the provider's page.
func came(err error) bool {
	if broker.CodeOf(err) != broker.CodeUnauthenticated {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "no pending request under this state") || strings.Contains(text, "was used before")
}

// cameAgain leads who is signed in to the portal; the answer is refused all the
// same, and changes nothing. A browser does not send the session's cookie with
// another site's form, so there it is asked to look once more, by a GET.
func (f *Federation) cameAgain(w http.ResponseWriter, r *http.Request, id broker.ProviderID, traceID string, err error) error {
	failure := f.failure(id, traceID, err)
	if r.Method == http.MethodPost {
		failure.Refresh = "/saml/" + url.PathEscape(string(id)) + "/acs?" + url.Values{"trace": {traceID}}.Encode()
		return failure
	}
	return f.portalOr(w, r, failure)
}

// portalOr leads to the portal if there is a live session, and is err otherwise.
func (f *Federation) portalOr(w http.ResponseWriter, r *http.Request, err error) error {
	if _, sessErr := f.c.Sessions.Current(r); sessErr != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", "/")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

var traceForm = regexp.MustCompile(`^[a-z]{1,12}-[a-z]{1,12}-[a-z]{1,12}-[0-9]{2}$`)

// again is where a refused answer leads, and where the browser goes whose person
// asks for the address anew.
func (f *Federation) again(w http.ResponseWriter, r *http.Request) error {
	id := broker.ProviderID(r.PathValue("idp"))
	if _, ok := f.c.SAML[id]; !ok {
		return unknownProvider()
	}
	trace := r.URL.Query().Get("trace")
	if !traceForm.MatchString(trace) {
		trace = ""
	}
	return f.portalOr(w, r, f.failure(id, trace, broker.Errorf(broker.CodeUnauthenticated, "This sign-in has expired, was already used, or did not begin here.").
		Fix("Start again from the portal.").Because(errors.New("asked for by GET"))))
}
