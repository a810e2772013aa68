package web_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/portal"
	"github.com/rolegate/rolegate/static"
	"github.com/rolegate/rolegate/templates"
)

// nowhere is a response that is thrown away.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkPortal renders the portal's page beside one bare RSA-2048 signature
// (R), the unit that pages are measured in; the column R is the ratio.
func BenchmarkPortal(b *testing.B) {
	var bare float64 // ns
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
		bare = float64(b.Elapsed()) / float64(b.N)
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
	sessions := cookie.NewManager(nil, true)
	p := portal.New(portal.Config{
		SignIn: h.broker.SignIn, Sessions: sessions, Pages: pages, Regions: portal.Regions(),
		Door:         door.New(door.Config{SignIn: h.broker.SignIn, Sessions: sessions}),
		Destinations: []portal.Destination{{Path: "", Name: "Console home"}, {Path: "ec2/home", Name: "EC2"}}, Now: h.aws.now,
	})
	sess := &broker.Session{Identity: broker.Identity{Username: "alice"}, ExpiresAt: h.clock}
	for _, row := range []struct {
		name  string
		n     int
		shelf int // rows that are shown again as favourites and recents
		query map[string][]string
	}{
		{"20 roles", 20, 0, nil},
		{"20 roles and a shelf of 10", 20, 10, nil},
		{"5000 roles, first page", 5000, 10, nil},
		{"5000 roles, search", 5000, 10, map[string][]string{"q": {"staging read"}}},
		{"5000 roles, search for nothing", 5000, 10, map[string][]string{"q": {"nothing-like-this"}}},
	} {
		as := many(row.n)
		shelf := access.AtHand{Favourites: as[:row.shelf/2], Recent: as[row.shelf/2 : row.shelf]}
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := pages.Render(nowhere{http.Header{}}, http.StatusOK, p.NewListPage(sess, as, shelf, row.query)); err != nil {
					b.Fatal(err)
				}
			}
			if bare > 0 {
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/bare, "R")
			}
		})
	}
}

// BenchmarkAuthenticatedRequest is what a signed-in request costs in all, the
// chain, the cookie, the session and the log line, beside one bare read of the
// session from SQLite; the column gets is the ratio.
func BenchmarkAuthenticatedRequest(b *testing.B) {
	h := newHouse(b, func(_ *house, c *web.Config) { c.Logger = slog.New(slog.NewJSONHandler(nowhere{}, nil)) })
	h.clock = time.Now()
	h.signIn()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, h.public+"/api/v1/me", nil)
	for _, c := range h.cookies {
		r.AddCookie(c)
	}
	key := broker.NewSecret(h.cookies["__Host-rolegate_session"].Value).Hash()
	var get float64 // ns
	b.Run("one SQLite get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.store.Store.Session(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
		get = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("signed in", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w := httptest.NewRecorder()
			h.server.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				b.Fatal(w.Body)
			}
		}
		if get > 0 {
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/get, "gets")
		}
	})
}
