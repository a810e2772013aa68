package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzQuery ensures that no query breaks a signed-in page, opens the console by
// itself, or makes a list longer than a page.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"q=prod&page=2", "account=prod&role=Admin&destination=%00", "assignment=x;y", "q=%ff&page=1e9", "return_to=//evil.example", "%zz"} {
		f.Add(q)
	}
	h := newHouse(f)
	h.aws.assignments = many(200)
	h.signIn()
	f.Fuzz(func(t *testing.T, query string) {
		h.t = t
		// What the URL parser would refuse never reaches the server.
		if u, err := url.Parse("/?" + query); err != nil || strings.ContainsFunc(u.RawQuery, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return
		}
		query, _, _ = strings.Cut(query, "#")
		for _, path := range []string{"/", "/go", "/access", "/credentials", "/signin"} {
			a := h.get(path+"?"+query, fromElsewhere)
			if a.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
			if rows := len(rowPattern.FindAllString(a.body, -1)); rows > 50 {
				t.Errorf("%s: %d rows", path, rows)
			}
			if loc := a.Header.Get("Location"); loc != "" && (!strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//")) {
				t.Errorf("%s led to %q", path, loc)
			}
		}
		if h.aws.assumed > 0 {
			t.Error("a role was assumed")
		}
		h.mem.events = nil
		h.logs.Reset()
	})
}
