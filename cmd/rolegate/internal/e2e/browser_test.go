package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pquerna/otp/totp"
)

// view is a window size and a colour scheme to look at pages with.
type view struct {
	name          string
	width, height int64
	scheme        string
}

var (
	desktop = view{"desktop-light", 1280, 900, "light"}
	views   = []view{desktop, {"desktop-dark", 1280, 900, "dark"}, {"phone-light", 390, 844, "light"}, {"phone-dark", 390, 844, "dark"}}
)

// newBrowser starts a Chromium with an empty profile that ends with the test.
func newBrowser(t testing.TB, extra ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path := need(t, "ROLEGATE_TEST_CHROMIUM")
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true),
	)
	opts = append(opts, extra...)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithLogf(t.Logf), chromedp.WithErrorf(t.Logf))
	ctx, cancelTime := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the browser, which still writes its profile
		cancelTime()
		cancel()
		cancelAlloc()
	})
	run(t, ctx, see(desktop))
	return ctx
}

// run does the actions, and on failure says where the browser was.
func run(t testing.TB, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var url, text string
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = chromedp.Run(late, chromedp.Location(&url), chromedp.Text("body", &text, chromedp.ByQuery))
		shoot(t, late, "failure-"+strings.ReplaceAll(t.Name(), "/", "-"))
		t.Fatalf("%v\nat %s\n%s", err, url, text)
	}
}

// see sets window size and colour scheme.
func see(v view) chromedp.Action {
	return chromedp.Tasks{
		chromedp.EmulateViewport(v.width, v.height),
		// Reduced motion, so that no colour is caught in its transition.
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: v.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}),
	}
}

// shoot keeps a picture of the whole page among the artifacts.
func shoot(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("ROLEGATE_TEST_ARTIFACTS")
	if dir == "" {
		return
	}
	var png []byte
	if err := chromedp.Run(ctx, chromedp.FullScreenshot(&png, 100)); err != nil {
		t.Logf("screenshot %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Errorf("screenshot %s: %v", name, err)
	}
}

// accessible runs axe-core on the page with the rules of WCAG 2.2 A and AA. The
// script comes in by Runtime.evaluate, which the page's policy does not hold.
func accessible(t *testing.T, ctx context.Context, what string) {
	t.Helper()
	path := os.Getenv("ROLEGATE_TEST_AXE")
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("ROLEGATE_TEST_AXE is not set: in CI every peer is needed")
		}
		return
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const check = `axe.run(document, {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}})
		.then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.target.join(" ")).join(", ")))`
	var violations []string
	wait := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	run(t, ctx, chromedp.Evaluate(string(axe)+";0", nil), chromedp.Evaluate(check, &violations, wait))
	for _, v := range violations {
		t.Errorf("%s: %s", what, v)
	}
}

// gallery says which template each picture that [shootAll] took shows, "" where
// the page is not one of ours.
var gallery = map[string]string{}

// shootAll takes the page in every view, runs axe-core on each and checks that
// it never scrolls sideways (WCAG 1.4.10, reflow).
func shootAll(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	var template string
	run(t, ctx, chromedp.Evaluate(`document.querySelector("main")?.dataset.page || ""`, &template))
	gallery[name] = template
	for _, v := range views {
		var overflow bool
		run(t, ctx, see(v), chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &overflow))
		if overflow {
			t.Errorf("%s scrolls sideways in %s", name, v.name)
		}
		shoot(t, ctx, name+"-"+v.name)
		accessible(t, ctx, name+" in "+v.name)
	}
	run(t, ctx, see(desktop))
}

// code is the current TOTP code of a demo person.
func (p person) code(t *testing.T) string {
	t.Helper()
	c, err := totp.GenerateCode(p.TOTPSecret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// textOf returns the visible text of the page.
func textOf(t *testing.T, ctx context.Context) string {
	t.Helper()
	var text string
	run(t, ctx, chromedp.WaitReady("body", chromedp.ByQuery), chromedp.Text("body", &text, chromedp.ByQuery))
	return text
}

// waitFor waits until the page's text holds want. It asks by Runtime.evaluate:
// the pages' policy forbids the eval that chromedp's own poll needs.
func waitFor(want string) chromedp.Action { return waitForEither(want) }

// waitForEither waits until the page's text holds one of want.
func waitForEither(want ...string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		list, err := json.Marshal(want)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for {
			found := false
			err := chromedp.Evaluate(fmt.Sprintf(`!!document.body && %s.some(t => document.body.innerText.includes(t))`, list), &found).Do(ctx)
			if err == nil && found {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the page never says %q", want)
			case <-tick.C:
			}
		}
	})
}

// tabTo presses Tab, if need be, until the focused element's text, label or
// value holds want; what stands in a row of roles has "@ ROLE in ACCOUNT" too.
func tabTo(t *testing.T, ctx context.Context, want string) {
	t.Helper()
	const label = `(() => { const e = document.activeElement; if (!e || e === document.body) return "";
		const by = (e.getAttribute("aria-labelledby") || "").split(" ").map(i => document.getElementById(i)?.innerText || "").join(" ");
		const row = e.closest("#results li"), place = row ? "@ " + row.querySelector(".rn").textContent + " in " + row.closest("section").querySelector(".an").textContent : "";
		return [e.getAttribute("aria-label") || "", by, e.textContent || "", e.value || "", e.name || "", ...[...(e.labels || [])].map(l => l.innerText), place].join(" ").replace(/\s+/g, " ") })()`
	for range 120 {
		var got string
		run(t, ctx, chromedp.Evaluate(label, &got))
		if strings.Contains(got, want) {
			return
		}
		run(t, ctx, chromedp.KeyEvent(kb.Tab))
	}
	t.Fatalf("%q cannot be reached with the Tab key", want)
}
