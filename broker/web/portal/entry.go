package portal

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/cookie"
)

// direct reports whether the person opened the request themselves: typed, from
// a bookmark, or from a page of ours. A browser that does not say so
// (Fetch Metadata) is not believed.
func direct(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "none" || site == "same-origin"
}

// markEntry adds the judgement of r to a deep link's path.
func (p *Portal) markEntry(r *http.Request, to string) string {
	to, _ = cookie.SplitEntry(to)
	if !direct(r) {
		return to
	}
	return cookie.MarkEntry(to)
}

// returnTo is the local path a request wants to return to. An entry in it is
// kept only when the request itself did not come from another site: then it is
// from a page of ours, which passes on what it was given, or typed by the
// person.
func (p *Portal) returnTo(r *http.Request) string {
	to := broker.LocalPath(r.FormValue("return_to"))
	bare, entered := cookie.SplitEntry(to)
	if entered && direct(r) {
		return to
	}
	return bare
}
