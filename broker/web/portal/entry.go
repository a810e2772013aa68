package portal

import (
	"net/http"
	"net/url"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/cookie"
)

// direct reports whether the request comes from the person or from a page of
// ours: typed, from a bookmark, or same-origin. A browser that does not say so
// (Fetch Metadata) is not believed.
//
// It does not say where the chain of requests began: a browser calls the
// redirect behind a form of ours same-origin, whatever led to the form. What
// opens the console asks [opened] instead.
func direct(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "none" || site == "same-origin"
}

// opened reports whether the person opened the address themselves: typed, or
// from a bookmark. No page leads there, neither of ours nor of others.
func opened(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Site") == "none" }

// foreign reports whether a browser says that another site led to the request.
func foreign(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Site") != "" && !direct(r) }

// markEntry adds the judgement of r to a deep link's path.
func markEntry(r *http.Request, to string, judge func(*http.Request) bool) string {
	to, _ = cookie.SplitEntry(to)
	if !judge(r) {
		return to
	}
	return cookie.MarkEntry(to)
}

// returnTo is the local path a request wants to return to. An entry in it is
// kept only when the request itself did not come from another site: then it is
// from a page of ours, which passes on what it was given, or typed by the
// person. What another site gives holds no entry at any depth, as it goes
// through forms of ours.
func (p *Portal) returnTo(r *http.Request) string {
	to := broker.LocalPath(r.FormValue("return_to"))
	if direct(r) {
		if bare, entered := cookie.SplitEntry(to); !entered {
			return bare
		}
		return to
	}
	return withoutEntry(to, maxNested)
}

// maxNested is how deep return paths are in one another, of ours two.
const maxNested = 4

// withoutEntry takes entries off a return path and off the return paths in it.
func withoutEntry(to string, depth int) string {
	bare, _ := cookie.SplitEntry(to)
	u, err := url.Parse(bare)
	if err != nil || depth == 0 {
		return "/"
	}
	q := u.Query()
	if !q.Has("return_to") {
		return bare
	}
	q.Set("return_to", withoutEntry(broker.LocalPath(q.Get("return_to")), depth-1))
	u.RawQuery = q.Encode()
	return broker.LocalPath(u.String())
}
