package door

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
)

// Handler answers a request, or returns why not.
type Handler = func(w http.ResponseWriter, r *http.Request) error

// Navigation hands only what a browser opens as a page of its own to h: with a
// picture, a frame or a script of any page, the browsers of an office could use
// up what its address may do. A browser that does not say (Fetch Metadata) is
// believed.
func Navigation(h Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
		if mode != "" && mode != "navigate" || dest != "" && dest != "document" {
			return errNoNavigation
		}
		return h(w, r)
	}
}

var errNoNavigation = broker.Errorf(broker.CodeInvalid, "Another page asked for this address in the background, so nothing was done.").
	Fix("To sign in, open the portal.")
