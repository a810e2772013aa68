package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// enter signs bob in at the house.
func (h *house) enter(t testing.TB, ctx context.Context) {
	t.Helper()
	run(t, ctx, chromedp.Navigate(h.portal+"/signin/corp"), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, "bob"), chromedp.SendKeys(`input[name=password]`, "bob-demo"+kb.Enter), waitFor("Accounts and roles"))
}

// browserManyRoles looks at the portal with 1,000 roles and searches it.
func browserManyRoles(t *testing.T) {
	ctx := newBrowser(t)
	h := newHouse(t, manyRoles(1000))
	h.enter(t, ctx)
	run(t, ctx, waitFor("1000 roles. Showing 1 to 50."))
	shootAll(t, ctx, "portal-many")
	tabTo(t, ctx, "Search")
	run(t, ctx, chromedp.KeyEvent("ledger-staging-130"), waitFor("4 of 1000 roles match."))
	tabTo(t, ctx, "Favourite: Developer in ledger")
	run(t, ctx, chromedp.KeyEvent(kb.Enter), waitFor("4 of 1000 roles match."), chromedp.WaitVisible(`#results .star[aria-pressed=true]`, chromedp.ByQuery))
}

// BenchmarkRoles measures the portal with 20 and with 1,000 roles: the server's
// time for the page, its bytes, and what a person waits for in Chromium: the
// first contentful paint, and from a typed key to the filtered list on the
// screen. The columns x are the ratios to 20 roles. It is left out, and says so,
// without Chromium.
func BenchmarkRoles(b *testing.B) {
	need(b, "ROLEGATE_TEST_CHROMIUM")
	few := map[string]float64{}
	for _, row := range []struct {
		name         string
		roles        int
		typed, wants string
	}{
		{"20", 20, "r", "of 20 roles match"},
		{"1000", 1000, "r", "of 1000 roles match"},
	} {
		b.Run(row.name, func(b *testing.B) {
			h := newHouse(b, manyRoles(row.roles))
			report := func(value float64, unit string) {
				b.ReportMetric(value, unit)
				if before, ok := few[unit]; ok && before > 0 {
					b.ReportMetric(value/before, "x-"+unit)
				} else {
					few[unit] = value
				}
			}
			request := h.signedIn(b)
			var body []byte
			for b.Loop() {
				w := httptest.NewRecorder()
				h.server.Handler.ServeHTTP(w, request)
				if body = w.Body.Bytes(); w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
			report(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "server-ms")
			report(float64(len(body)), "page-bytes")
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			if _, err := z.Write(body); err != nil || z.Close() != nil {
				b.Fatal(err)
			}
			report(float64(packed.Len()), "gzip-bytes")
			ctx := newBrowser(b)
			h.enter(b, ctx)
			report(median(b, func() float64 {
				var paint float64
				run(b, ctx, chromedp.Navigate(h.portal), waitFor("Accounts and roles"), chromedp.Evaluate(firstPaint, &paint, wait))
				return paint
			}), "first-paint-ms")
			report(median(b, func() float64 {
				var took float64
				run(b, ctx, chromedp.Navigate(h.portal), waitFor("Accounts and roles"), chromedp.Focus(`#q`, chromedp.ByQuery),
					chromedp.Evaluate(stopwatch, nil), chromedp.KeyEvent(row.typed), waitFor(row.wants), chromedp.Sleep(100*time.Millisecond),
					chromedp.Evaluate(`filtered`, &took))
				return took
			}), "filter-ms")
		})
	}
}

// firstPaint waits for the first contentful paint and says when it was.
const firstPaint = `new Promise(found => new PerformanceObserver(l => {
	for (const e of l.getEntries()) if (e.name === "first-contentful-paint") found(e.startTime);
}).observe({ type: "paint", buffered: true }))`

func wait(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// stopwatch takes the time from the key to the first frame after the list has
// changed.
const stopwatch = `addEventListener("keydown", e => {
	new MutationObserver((_, o) => { o.disconnect(); requestAnimationFrame(() => setTimeout(() => { filtered = performance.now() - e.timeStamp })) })
		.observe(document.getElementById("count"), { childList: true, characterData: true, subtree: true });
}, { capture: true, once: true }); var filtered = -1`

func median(b *testing.B, one func() float64) float64 {
	b.Helper()
	var all []float64
	for range 9 {
		all = append(all, one())
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// signedIn is a request for the portal in bob's name.
func (h *house) signedIn(b *testing.B) *http.Request {
	b.Helper()
	f, err := formbrowser.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return f.Get(b.Context(), h.portal+"/signin/corp") },
		func() error {
			return f.Submit(b.Context(), formbrowser.Has("username"), map[string]string{"username": "bob", "password": "bob-demo"})
		},
		func() error { return f.Submit(b.Context(), formbrowser.Has("SAMLResponse"), nil) },
	} {
		if err := step(); err != nil {
			b.Fatalf("%v\n%s", err, f.Body)
		}
	}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, h.portal+"/", nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range f.Cookies(h.portal) {
		r.AddCookie(c)
	}
	r.RemoteAddr = "127.0.0.1:1"
	r.Body = io.NopCloser(bytes.NewReader(nil))
	return r
}
