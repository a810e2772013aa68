package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/idp"
)

// TestConfig ensures that a wrong configuration stops the start.
func TestConfig(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*web.Config)
		want   string
	}{
		{"plain http", func(c *web.Config) { c.PublicURL = "http://sso.example.com" }, "must be https"},
		{"plain http under .localhost", func(c *web.Config) { c.PublicURL = "http://rolegate.localhost:8080" }, "must be https"},
		{"path in public URL", func(c *web.Config) { c.PublicURL = "https://sso.example.com/x" }, "without a path"},
		{"no public URL", func(c *web.Config) { c.PublicURL = "" }, "it is missing"},
		{"nothing to work with", func(c *web.Config) { c.SignIn, c.Logger = nil, nil }, "are needed"},
		{"directive in an origin", func(c *web.Config) { c.AWSOrigins = []string{"https://a.example; script-src *"} }, "not an origin"},
		{"path in an origin", func(c *web.Config) { c.IdPOrigins = map[broker.ProviderID][]string{"x": {"https://a.example/"}} }, "not an origin"},
		{"wildcard for everything", func(c *web.Config) { c.AWSOrigins = []string{"*"} }, "not an origin"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var c web.Config
			newHouse(t, func(_ *house, good *web.Config) { c = *good })
			row.change(&c)
			if _, err := web.New(c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
		})
	}
	t.Run("wildcard host", func(t *testing.T) {
		newHouse(t, func(_ *house, c *web.Config) { c.AWSOrigins = []string{"https://*.console.aws.amazon.com"} })
	})
}

// TestHeaders ensures what every answer carries, whatever it is.
func TestHeaders(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/signin", "/nothing", "/healthz", "/saml/okta/metadata", "/api/v1/me", "/static/nothing.css", "/"} {
		a := h.get(path)
		for k, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
			"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000",
		} {
			if got := a.Header.Get(k); got != want {
				t.Errorf("%s: %s is %q", path, k, got)
			}
		}
		csp := a.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action "} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(a.Header.Get("X-Request-Id")) {
			t.Errorf("%s: request id %q", path, a.Header.Get("X-Request-Id"))
		}
	}
	plain := newHouse(t, func(h *house, c *web.Config) {
		h.public, c.PublicURL = "http://localhost:8080", "http://localhost:8080"
	})
	if got := plain.get("/signin").Header.Get("Strict-Transport-Security"); got != "" {
		t.Errorf("HSTS on plain http: %q", got)
	}
}

// TestBodyLimits ensures that a body is not read beyond its limit.
func TestBodyLimits(t *testing.T) {
	for _, row := range []struct {
		name, path string
		size       int
		status     int
	}{
		{"sign-in form", "/signin", 65 << 10, 413},
		{"console form", "/console", 65 << 10, 413},
		{"large SAML answer", "/saml/okta/acs", 1 << 20, 303},
		{"huge SAML answer", "/saml/okta/acs", 5 << 18, 413},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			h.get("/signin/okta")
			form := url.Values{"RelayState": {h.saml.last.State}, "SAMLResponse": {strings.Repeat("A", row.size)}}
			opt := fromHere
			if strings.HasPrefix(row.path, "/saml/") {
				opt = fromElsewhere
			}
			h.post(row.path, form, opt).want(t, row.status)
		})
	}
	t.Run("huge callback", func(t *testing.T) {
		h := newHouse(t)
		h.get("/oidc/entra/callback?state=s&code="+strings.Repeat("c", 17<<10)).want(t, http.StatusBadRequest, "too long")
	})
	t.Run("broken form", func(t *testing.T) {
		h := newHouse(t)
		h.do(http.MethodPost, "/saml/okta/acs", strings.NewReader("a=%zz"), header("Content-Type", "application/x-www-form-urlencoded"), fromElsewhere).
			want(t, http.StatusBadRequest, "cannot be read")
	})
}

// TestUnknownAndWrongMethod ensures pages of our own where the mux has a line.
func TestUnknownAndWrongMethod(t *testing.T) {
	h := newHouse(t)
	h.get("/nothing").want(t, http.StatusNotFound, "Nothing here", "/static/rolegate.")
	h.get("/static/../server.go").want(t, http.StatusNotFound)
	h.get("/static/").want(t, http.StatusNotFound)
	a := h.get("/console").want(t, http.StatusMethodNotAllowed, "does not work that way")
	if a.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
	h.do("DELETE", "/signin", nil).want(t, http.StatusMethodNotAllowed)
}

// TestPanic ensures that a panic is one refused request and no more.
func TestPanic(t *testing.T) {
	h := newHouse(t, func(_ *house, c *web.Config) {
		c.Documents.JWKS = func() ([]byte, error) { panic("planted-panic") }
	})
	a := h.get("/aws/jwks.json").want(t, http.StatusInternalServerError, "Something went wrong")
	if strings.Contains(a.body, "planted") {
		t.Error("the page names the panic")
	}
	if !strings.Contains(h.logs.String(), "planted-panic") || !strings.Contains(h.logs.String(), "server_test.go") {
		t.Error("the log does not tell what panicked where")
	}
	h.get("/healthz").want(t, http.StatusOK)
}

// TestDocuments ensures what machines read.
func TestDocuments(t *testing.T) {
	h := newHouse(t, func(_ *house, c *web.Config) {
		c.SAML["broken"] = brokenMetadata{}
	})
	for path, contentType := range map[string]string{
		"/saml/okta/metadata": "application/samlmetadata+xml", "/aws/saml/metadata": "application/samlmetadata+xml",
		"/.well-known/openid-configuration": "application/json", "/aws/jwks.json": "application/json", "/oidc/entra/jwks.json": "application/json",
	} {
		a := h.get(path).want(t, http.StatusOK)
		if got := a.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s: Content-Type %q", path, got)
		}
		if len(a.Cookies()) > 0 {
			t.Errorf("%s sets cookies", path)
		}
	}
	h.get("/saml/broken/metadata").want(t, http.StatusInternalServerError)
	h.get("/saml/entra/metadata").want(t, http.StatusNotFound)
	h.get("/oidc/okta/jwks.json").want(t, http.StatusNotFound)
	without := newHouse(t, func(_ *house, c *web.Config) { c.Documents = idp.Documents{} })
	without.get("/aws/jwks.json").want(t, http.StatusNotFound)
}

type brokenMetadata struct{}

func (brokenMetadata) Metadata() ([]byte, error) { return nil, errors.New("no key") }

// TestHealth ensures that liveness does not depend on anything and readiness
// says what is wrong in public words.
func TestHealth(t *testing.T) {
	var err error
	h := newHouse(t, func(_ *house, c *web.Config) { c.Ready = func(context.Context) error { return err } })
	h.get("/readyz").want(t, http.StatusOK, "ready")
	err = brokertest.ErrDown
	h.store.Down(true)
	h.get("/healthz").want(t, http.StatusOK, "ok")
	a := h.get("/readyz").want(t, http.StatusServiceUnavailable, "The store does not answer.")
	if strings.Contains(a.body, "planted") {
		t.Error("readiness names the cause")
	}
	if !strings.Contains(h.logs.String(), "planted-cause") {
		t.Error("the log lacks the cause")
	}
}

// TestStatic ensures names that change with the content, kept for ever.
func TestStatic(t *testing.T) {
	h := newHouse(t)
	body := h.get("/signin").body
	for _, m := range regexp.MustCompile(`(?:href|src)="(/static/[^"]+)"`).FindAllStringSubmatch(body, -1) {
		a := h.get(m[1]).want(t, http.StatusOK)
		if !strings.Contains(a.Header.Get("Cache-Control"), "immutable") || a.Header.Get("Content-Type") == "" || len(a.Cookies()) > 0 {
			t.Errorf("%s: %v", m[1], a.Header)
		}
		if !regexp.MustCompile(`\.[0-9a-f]{16}\.(css|js|svg)$`).MatchString(m[1]) {
			t.Errorf("%s has no hash", m[1])
		}
	}
	h.get("/favicon.ico").want(t, http.StatusFound)
}

// TestAccessLog ensures one line per request, with neither the query nor
// anything that lets somebody in.
func TestAccessLog(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	h.get("/go?account=prod&role=Admin&secret=planted-query", typed)
	h.get("/oidc/entra/callback?code=planted-code&state=x", header(withoutCookies, "1"))
	log := h.logs.String()
	if got := strings.Count(log, `"msg":"request"`); got != 4 {
		t.Errorf("%d lines for 4 requests:\n%s", got, log)
	}
	for _, secret := range append([]string{"planted", h.saml.last.State}, h.cookies["__Host-rolegate_session"].Value, h.cookies["__Host-rolegate_signin"].Value) {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
	for _, want := range []string{`"route":"GET /go"`, `"status":303`, `"code":"unauthenticated"`, `"request_id":"`, `"remote":"192.0.2.1"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}

// TestRemote ensures that forwarded addresses are believed of trusted proxies
// only, in every form that proxies write them.
func TestRemote(t *testing.T) {
	const xff, rfc = "X-Forwarded-For", "Forwarded"
	for _, row := range []struct {
		name, peer string
		headers    [][2]string
		want       string
		warns      bool
	}{
		{"nobody forwards", "198.51.100.7:1", nil, "198.51.100.7", false},
		{"attack: anybody claims", "198.51.100.7:1", [][2]string{{xff, "203.0.113.9"}, {rfc, "for=203.0.113.9"}}, "198.51.100.7", false},
		{"proxy", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9"}}, "203.0.113.9", false},
		{"attack: proxy, claimed before", "10.0.0.1:1", [][2]string{{xff, "127.0.0.1, 203.0.113.9"}}, "203.0.113.9", false},
		{"two proxies", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9, 10.0.0.2"}}, "203.0.113.9", false},
		{"proxy with nonsense", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9, <script>"}}, "10.0.0.1", true},
		{"two proxies, then nonsense", "10.0.0.1:1", [][2]string{{xff, "nonsense, 10.0.0.2"}}, "10.0.0.2", true},
		{"proxy says nothing", "10.0.0.1:1", nil, "10.0.0.1", false},
		{"mapped proxy", "[::ffff:10.0.0.1]:1", [][2]string{{xff, "203.0.113.9"}}, "203.0.113.9", false},
		{"mapped client", "10.0.0.1:1", [][2]string{{xff, "::ffff:203.0.113.9"}}, "203.0.113.9", false},
		{"port", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9:51234"}}, "203.0.113.9", false},
		{"port, two proxies", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9:51234, 10.0.0.4"}}, "203.0.113.9", false},
		{"port of a proxy", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9, 10.0.0.4:80"}}, "203.0.113.9", false},
		{"IPv6", "10.0.0.1:1", [][2]string{{xff, "2001:DB8::1"}}, "2001:db8::1", false},
		{"IPv6 in brackets", "10.0.0.1:1", [][2]string{{xff, "[2001:db8::1]"}}, "2001:db8::1", false},
		{"IPv6 in brackets, port", "10.0.0.1:1", [][2]string{{xff, "[2001:db8::1]:51234"}}, "2001:db8::1", false},
		{"IPv6 with a zone", "10.0.0.1:1", [][2]string{{xff, "fe80::1%eth0"}}, "fe80::1", false},
		{"attack: half a bracket", "10.0.0.1:1", [][2]string{{xff, "[2001:db8::1"}}, "10.0.0.1", true},
		{"attack: an endless port", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9:512345"}}, "10.0.0.1", true},
		{"spaces and empty hops", "10.0.0.1:1", [][2]string{{xff, " ,  203.0.113.9  ,, \t"}}, "203.0.113.9", false},
		{"several headers", "10.0.0.1:1", [][2]string{{xff, "192.0.2.1"}, {xff, "203.0.113.9"}}, "203.0.113.9", false},
		{"several headers, the last a proxy", "10.0.0.1:1", [][2]string{{xff, "203.0.113.9"}, {xff, "10.0.0.2"}}, "203.0.113.9", false},
		{"unknown", "10.0.0.1:1", [][2]string{{xff, "unknown"}}, "10.0.0.1", true},
		{"RFC 7239", "10.0.0.1:1", [][2]string{{rfc, "for=203.0.113.9;proto=https;by=10.0.0.1"}}, "203.0.113.9", false},
		{"RFC 7239, quoted, with port", "10.0.0.1:1", [][2]string{{rfc, `proto=https; For="203.0.113.9:4711"`}}, "203.0.113.9", false},
		{"RFC 7239, IPv6", "10.0.0.1:1", [][2]string{{rfc, `for="[2001:db8:cafe::17]:4711"`}}, "2001:db8:cafe::17", false},
		{"RFC 7239, several", "10.0.0.1:1", [][2]string{{rfc, `for=192.0.2.1, for="203.0.113.9"`}, {rfc, "for=10.0.0.2"}}, "203.0.113.9", false},
		{"RFC 7239, hidden", "10.0.0.1:1", [][2]string{{rfc, "for=_hidden"}}, "10.0.0.1", true},
		{"RFC 7239, without for", "10.0.0.1:1", [][2]string{{rfc, "for=192.0.2.1, proto=https"}}, "10.0.0.1", true},
		{"attack: a comma in quotes", "10.0.0.1:1", [][2]string{{rfc, `for=203.0.113.9;host="a, for=192.0.2.1"`}}, "203.0.113.9", false},
		{"attack: an open quote", "10.0.0.1:1", [][2]string{{rfc, `for="192.0.2.1`}}, "10.0.0.1", true},
		{"attack: Forwarded beside the proxy's own header", "10.0.0.1:1", [][2]string{{rfc, "for=192.0.2.1"}, {xff, "203.0.113.9"}}, "203.0.113.9", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			for range 2 {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)
				r.RemoteAddr = row.peer
				for _, x := range row.headers {
					r.Header.Add(x[0], x[1])
				}
				h.server.ServeHTTP(httptest.NewRecorder(), r)
			}
			if !strings.Contains(h.logs.String(), `"remote":"`+row.want+`"`) {
				t.Errorf("want %s in %s", row.want, h.logs)
			}
			if n := strings.Count(h.logs.String(), "is not understood"); (n == 1) != row.warns || n > 1 {
				t.Errorf("%d warnings in %s", n, h.logs)
			}
		})
	}
}

// TestHostHeader ensures that nothing we write comes from the Host header.
func TestHostHeader(t *testing.T) {
	h := newHouse(t)
	a := h.get("/", func(r *http.Request) { r.Host = "evil.example" })
	a.wantLocation(t, "/signin?return_to=%2F")
	h.signIn()
	a = h.get("/", func(r *http.Request) { r.Host = "evil.example" }).want(t, http.StatusOK)
	if strings.Contains(a.body, "evil.example") {
		t.Error("the page holds the Host header")
	}
}
