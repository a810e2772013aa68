package web_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/federation"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/portal"
	"github.com/rolegate/rolegate/broker/web/session"
	"github.com/rolegate/rolegate/static"
	"github.com/rolegate/rolegate/templates"
)

// nowhere is a response that is thrown away.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkPortal renders the portal's page beside one bare RSA-2048 signature
// (R), the unit that pages are measured in.
func BenchmarkPortal(b *testing.B) {
	b.Run("R", func(b *testing.B) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.Sum256([]byte("R"))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	assets, err := static.New()
	if err != nil {
		b.Fatal(err)
	}
	pages, err := page.New(templates.FS, assets)
	if err != nil {
		b.Fatal(err)
	}
	h := newHouse(b)
	p := portal.New(portal.Config{
		SignIn: broker.NewSignIn(broker.SignInConfig{}), Sessions: session.NewManager(nil, true), Pages: pages, Regions: portal.Regions(),
		Destinations: []portal.Destination{{Path: "", Name: "Console home"}, {Path: "ec2/home", Name: "EC2"}}, Now: h.aws.now,
	})
	sess := &broker.Session{Identity: broker.Identity{Username: "alice"}, ExpiresAt: h.clock}
	for _, row := range []struct {
		name  string
		n     int
		query map[string][]string
	}{
		{"20 roles", 20, nil},
		{"5000 roles, first page", 5000, nil},
		{"5000 roles, search", 5000, map[string][]string{"q": {"staging read"}}},
		{"5000 roles, search for nothing", 5000, map[string][]string{"q": {"nothing-like-this"}}},
	} {
		as := many(row.n)
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := pages.Render(nowhere{http.Header{}}, http.StatusOK, p.NewListPage(sess, as, row.query)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAuthenticatedRequest is what the chain, the cookie and the session
// cost, on a store that answers at once.
func BenchmarkAuthenticatedRequest(b *testing.B) {
	h := newHouse(b, func(_ *house, c *web.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil))
		c.Documents = federation.Documents{}
	})
	h.signIn()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, h.public+"/api/v1/me", nil)
	for _, c := range h.cookies {
		r.AddCookie(c)
	}
	for name, path := range map[string]string{"signed in": "/api/v1/me", "healthz": "/healthz"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.URL.Path = path
				h.server.ServeHTTP(nowhere{http.Header{}}, r)
			}
		})
	}
}
