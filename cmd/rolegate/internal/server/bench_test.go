package server_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
)

// cpu is the time this process has computed, without waiting for the disk.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cost of one operation: by the clock, and what the process computed for it.
type cost struct{ elapsed, busy float64 }

// measure runs one for each of the inputs that prepare makes outside the timed
// part, and reports elapsed and computing time as ratios to those of bare, if
// there is one yet.
func measure[T any](b *testing.B, bare cost, prepare func() T, one func(T)) cost {
	const batch = 64
	var inputs []T
	var busy, began time.Duration
	began = cpu(b)
	for b.Loop() {
		if len(inputs) == 0 {
			b.StopTimer()
			busy += cpu(b) - began
			for range batch {
				inputs = append(inputs, prepare())
			}
			began = cpu(b)
			b.StartTimer()
		}
		one(inputs[0])
		inputs = inputs[1:]
	}
	busy += cpu(b) - began
	c := cost{elapsed: float64(b.Elapsed()) / float64(b.N), busy: float64(busy) / float64(b.N)}
	if bare.elapsed > 0 && bare.busy > 0 {
		b.ReportMetric(c.elapsed/bare.elapsed, "bare")
		b.ReportMetric(c.busy/bare.busy, "cpu-bare")
	}
	return c
}

// BenchmarkSignIn is a SAML sign-in without network, beside bare: one RSA-2048
// verification and one RSA-2048 signature in the same run. "parts" verifies the
// answer, maps the person to 20 roles, writes the session and mints the
// assertion; "whole" is the same through the use case with everything else that
// a sign-in keeps: pending request, replay guard, names, identity, event, trace.
func BenchmarkSignIn(b *testing.B) {
	w := newWorld(b)
	ctx, sp, engine := b.Context(), w.SAML["corp"], w.config.Engine()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	nothing := func() struct{} { return struct{}{} }
	var bare cost
	b.Run("bare", func(b *testing.B) {
		sum := sha256.Sum256([]byte("x"))
		bare = measure(b, cost{}, nothing, func(struct{}) {
			sig, err := rsa.SignPKCS1v15(nil, idpKey().key, crypto.SHA256, sum[:])
			must(err)
			must(rsa.VerifyPKCS1v15(&idpKey().key.PublicKey, crypto.SHA256, sum[:], sig))
		})
	})
	mint := func(sub broker.Subject, as []broker.Assignment) {
		if len(as) != 20 {
			b.Fatal(len(as), "assignments")
		}
		_, err := w.Issuer.Assert(ctx, broker.AssertionRequest{
			Via: broker.ViaSAML, Subject: sub, Account: as[0].Account, RoleARN: as[0].RoleARN, ProviderARN: as[0].ProviderARN,
			SessionName: "alice@example.com", SourceIdentity: "alice", Duration: time.Hour,
		})
		must(err)
	}
	book, err := session.New(session.Config{
		EnderConfig: session.EnderConfig{Store: w.Store, List: w.Store, Revoker: w.Store, Journal: w.Journal},
		Sealer:      w.Sealer, Policies: map[broker.ProviderID]broker.MFAPolicy{"corp": {}},
	})
	must(err)
	signIn, err := signin.New(signin.Config{
		Providers: []broker.Provider{{ID: "corp", IdP: sp}}, Mapper: engine, Kept: session.Sealed{State: w.Store, Sealer: w.Sealer}, Book: book,
		Names: w.Store, Identities: session.Identities{Store: w.Store, Sealer: w.Sealer}, Journal: w.Journal,
	})
	must(err)
	for _, groups := range []int{20, 500} {
		b.Run(fmt.Sprintf("parts/groups=%d", groups), func(b *testing.B) {
			now := time.Now()
			request := broker.AuthRequest{ID: "id-" + fmt.Sprintf("%032d", groups), State: "s", Provider: "corp", CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
			form := url.Values{"SAMLResponse": {respond(b, idpKey(), request.ID, groups)}, "RelayState": {"s"}}
			b.ReportAllocs()
			measure(b, bare, nothing, func(struct{}) {
				auth, err := sp.Finish(ctx, request, form)
				must(err)
				id, err := engine.Identity(ctx, auth)
				must(err)
				as, err := engine.Assignments(ctx, id)
				must(err)
				body, err := json.Marshal(id)
				must(err)
				token, err := broker.RandomSecret(rand.Reader)
				must(err)
				must(w.Store.SaveSession(ctx, broker.SessionRow{
					Key: token.Hash(), Subject: id.Subject, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour), Body: body,
				}))
				mint(id.Subject, as)
			})
		})
		b.Run(fmt.Sprintf("whole/groups=%d", groups), func(b *testing.B) {
			prepare := func() signin.Answer {
				w.cookies = map[string]*http.Cookie{}
				id, relay := w.begin()
				return signin.Answer{
					Provider: "corp", State: relay, Binding: broker.NewSecret(w.cookies["__Host-rolegate_signin"].Value),
					Form: url.Values{"SAMLResponse": {respond(b, idpKey(), id, groups)}, "RelayState": {relay}},
				}
			}
			b.ReportAllocs()
			measure(b, bare, prepare, func(in signin.Answer) {
				done, _, err := signIn.Finish(ctx, in)
				must(err)
				as, err := engine.Assignments(ctx, done.Session.Identity)
				must(err)
				mint(done.Session.Identity.Subject, as)
			})
		})
	}
}

// BenchmarkAuthenticatedRequest is what a signed-in request costs through the
// wired server, beside one read of the session from its store.
func BenchmarkAuthenticatedRequest(b *testing.B) {
	w := newWorld(b)
	w.signIn()
	key := broker.NewSecret(w.cookies[sessionCookie].Value).Hash()
	var get float64
	b.Run("one SQLite get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.Store.Session(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
		get = float64(b.Elapsed()) / float64(b.N)
	})
	for _, path := range []string{"/api/v1/me", "/api/v1/assignments", "/"} {
		b.Run(path, func(b *testing.B) {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, portal+path, nil)
			for _, c := range w.cookies {
				r.AddCookie(c)
			}
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				w.Handler.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code, rec.Body)
				}
			}
			if get > 0 {
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/get, "gets")
			}
		})
	}
}
