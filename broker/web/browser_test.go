package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

type with func(*http.Request)

const withoutCookies = "Test-Without-Cookies"

// asProgram sends a program's access token, and no cookie.
func asProgram(token string) with {
	return func(r *http.Request) {
		r.Header.Set(withoutCookies, "1")
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Del("Accept")
	}
}

func header(k, v string) with { return func(r *http.Request) { r.Header.Set(k, v) } }

func fromElsewhere(r *http.Request) {
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if r.Method == http.MethodPost {
		r.Header.Set("Origin", "https://elsewhere.example")
	}
}

func fromHere(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }

func typed(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }

// do sends a request with the cookies that a browser would send and keeps those
// it is given.
func (h *house) do(method, target string, body io.Reader, opts ...with) answer {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, h.public+target, body)
	r.Header.Set("Accept", "text/html")
	for _, o := range opts {
		o(r)
	}
	cross := r.Header.Get("Sec-Fetch-Site") == "cross-site"
	if r.Header.Get(withoutCookies) != "" {
		r.Header.Del(withoutCookies)
	} else {
		h.addCookies(r, cross)
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(h.cookies, c.Name)
		} else {
			h.cookies[c.Name] = c
		}
	}
	return answer{resp, w.Body.String()}
}

func (h *house) addCookies(r *http.Request, cross bool) {
	for _, c := range h.cookies {
		if cross && c.SameSite != http.SameSiteNoneMode && r.Method != http.MethodGet {
			continue
		}
		r.AddCookie(c)
	}
}

func (h *house) get(target string, opts ...with) answer {
	h.t.Helper()
	return h.do(http.MethodGet, target, nil, opts...)
}

func (h *house) post(target string, form url.Values, opts ...with) answer {
	h.t.Helper()
	opts = append([]with{header("Content-Type", "application/x-www-form-urlencoded"), fromHere}, opts...)
	return h.do(http.MethodPost, target, strings.NewReader(form.Encode()), opts...)
}

// acs posts the identity provider's answer, as its page would.
func (h *house) acs() answer {
	h.t.Helper()
	from := fromElsewhere
	if strings.HasPrefix(h.public, "http://") {
		from = header("Sec-Fetch-Site", "same-site") // peers on other ports of the same name
	}
	return h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}, from)
}

// signIn goes through the SAML provider.
func (h *house) signIn() {
	h.t.Helper()
	if a := h.get("/signin/okta"); a.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("begin: %d %s", a.StatusCode, a.body)
	}
	if a := h.acs(); a.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("acs: %d %s", a.StatusCode, a.body)
	}
}

// inAs signs another person in.
func (h *house) inAs(subject string) {
	h.t.Helper()
	h.person = subject
	h.signIn()
}

func (a answer) want(t testing.TB, status int, parts ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d\n%s", a.StatusCode, status, a.body)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			t.Errorf("body lacks %q:\n%s", p, a.body)
		}
	}
	return a
}

// leads is where an answer sends the browser, by a redirect or by a page that
// leads on at once.
func (a answer) leads() string {
	if to, ok := strings.CutPrefix(a.Header.Get("Refresh"), "0; url="); ok {
		return to
	}
	return a.Header.Get("Location")
}

// wantPage wants a page that leads on at once, and so ends a chain of redirects.
func (a answer) wantPage(t testing.TB, want string) {
	t.Helper()
	if a.StatusCode != http.StatusOK || a.leads() != want || !strings.Contains(a.body, `href="`+strings.ReplaceAll(want, "&", "&amp;")+`"`) {
		t.Fatalf("status %d to %q, want a page that leads to %q\n%s", a.StatusCode, a.leads(), want, a.body)
	}
}

func (a answer) wantLocation(t testing.TB, want string) {
	t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != want {
		t.Fatalf("status %d to %q, want 303 to %q\n%s", a.StatusCode, got, want, a.body)
	}
}
