package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// signingIn is a `rolegate login` that waits for a person in a browser.
type signingIn struct {
	address, code string
	stdin         io.WriteCloser
	cmd           *exec.Cmd
	rest          chan string
}

// signIn starts `rolegate login` and returns once it has said where to go.
func (l *laptop) signIn(args ...string) *signingIn {
	t := l.t
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	cmd := exec.CommandContext(ctx, l.bin, append([]string{"login", "--no-browser", l.d.Portal}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.Env, cmd.WaitDelay = l.env(), 5*time.Second
	s := &signingIn{cmd: cmd, rest: make(chan string, 1)}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // most have ended
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if line, shown := strings.CutPrefix(lines.Text(), "  "); shown && s.address == "" {
			s.address = line
		} else if shown {
			s.code = line
		}
		if s.address != "" && (s.code != "" || len(args) == 0 || args[0] != "--device") {
			break
		}
	}
	if s.address == "" {
		t.Fatal("rolegate login says no address")
	}
	go func() {
		var b strings.Builder
		for lines.Scan() {
			b.WriteString(lines.Text() + "\n")
		}
		s.rest <- b.String()
	}()
	return s
}

// ends waits for the program and compares its exit code and what it said.
func (s *signingIn) ends(t *testing.T, exit int, want string) {
	t.Helper()
	said := <-s.rest
	err := s.cmd.Wait()
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != exit || !strings.Contains(said, want) {
		t.Errorf("exit %d, want %d with %q; it said\n%s", got, exit, want, said)
	}
}

// press goes to a control with the Tab key and presses Enter on it.
func press(t *testing.T, ctx context.Context, control, want string) {
	t.Helper()
	tabTo(t, ctx, control)
	notYet(t, ctx, want)
	run(t, ctx, chromedp.KeyEvent(kb.Enter), waitFor(want))
}

// keyIn goes to a field with the Tab key, types in the place of what it holds,
// and presses Enter.
func keyIn(t *testing.T, ctx context.Context, field, text, want string) {
	t.Helper()
	tabTo(t, ctx, field)
	notYet(t, ctx, want)
	run(t, ctx, chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)), chromedp.KeyEvent(text), chromedp.KeyEvent(kb.Enter), waitFor(want))
}

// notYet fails if the page says already what the next one is to say: whoever
// waits for that waits for nothing, and goes on before the next page is there.
func notYet(t *testing.T, ctx context.Context, want string) {
	t.Helper()
	if strings.Contains(textOf(t, ctx), want) {
		t.Fatalf("the page says %q before the key is pressed", want)
	}
}

// keyInOIDC signs somebody in at the demo's OpenID provider by keyboard alone,
// from the page that lets them choose.
func keyInOIDC(t *testing.T, ctx context.Context, p person, want string) {
	t.Helper()
	tabTo(t, ctx, "OpenID Connect")
	run(t, ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`input[name=password]`))
	tabTo(t, ctx, "Username")
	run(t, ctx, chromedp.KeyEvent(p.Username))
	keyIn(t, ctx, "Password", p.Password, want)
}

// newShell is a laptop with the main program only.
func newShell(t *testing.T, d ready) *laptop {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return &laptop{t: t, d: d, home: t.TempDir(), bin: bin}
}

// copied presses the page's copy button and returns the clipboard.
func copied(t *testing.T, ctx context.Context, button string) string {
	t.Helper()
	run(t, ctx, browser.GrantPermissions([]browser.PermissionType{browser.PermissionTypeClipboardReadWrite, browser.PermissionTypeClipboardSanitizedWrite}))
	press(t, ctx, button, "Copied.")
	var text string
	run(t, ctx, chromedp.Evaluate(`navigator.clipboard.readText()`, &text, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return text
}

// browserCommandLine lets the built program in by each of its three ways, and
// refuses it, by keyboard alone.
func browserCommandLine(t *testing.T) {
	ctx := newBrowser(t)
	d := startDemo(t)
	l, bob := newShell(t, d), d.person(t, "oidc", "bob")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	says := func(want ...string) {
		t.Helper()
		text := textOf(t, ctx)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("the page does not say %q\n%s", w, text)
			}
		}
	}

	// Loopback, through signing in.
	s := l.signIn()
	run(t, ctx, chromedp.Navigate(s.address), waitFor("Sign in"))
	keyInOIDC(t, ctx, bob, "Let this program in?")
	says(host, "127.0.0.1:")
	shootAll(t, ctx, "authorize")
	press(t, ctx, "Let it in", "Go back to the terminal")
	shootAll(t, ctx, "callback")
	s.ends(t, 0, "as bob until")
	s = l.signIn()
	run(t, ctx, chromedp.Navigate(s.address), waitFor("Let this program in?"))
	press(t, ctx, "No no", "The program was not let in")
	shootAll(t, ctx, "callback-refused")
	s.ends(t, 4, "refused in the browser")

	// A code to carry over.
	s = l.signIn("--paste")
	run(t, ctx, chromedp.Navigate(s.address), waitFor("a code that you carry over"))
	shootAll(t, ctx, "authorize-paste")
	press(t, ctx, "Let it in", "Your code")
	shootAll(t, ctx, "paste")
	if _, err := io.WriteString(s.stdin, copied(t, ctx, "Copy the code")+"\n"); err != nil {
		t.Fatal(err)
	}
	s.ends(t, 0, "as bob until")

	// A code to type.
	s = l.signIn("--device")
	run(t, ctx, chromedp.Navigate(s.address), waitFor("Type the code"))
	shootAll(t, ctx, "device")
	keyIn(t, ctx, "Code", "bbbb bbbb", "No sign-in is waiting")
	shootAll(t, ctx, "device-wrong")
	keyIn(t, ctx, "Code", strings.ToLower(s.code), "Is this you?")
	says(s.code, host, "127.0.0.1", "today, ")
	shootAll(t, ctx, "device-confirm")
	press(t, ctx, "Yes, let it in", "The program is let in")
	shootAll(t, ctx, "device-approved")
	s.ends(t, 0, "as bob until")
	s = l.signIn("--device")
	run(t, ctx, chromedp.Navigate(s.address+"?"+url.Values{"user_code": {s.code}}.Encode()), waitFor("Type the code"))
	press(t, ctx, "Continue", "Is this you?")
	press(t, ctx, "No deny", "The program is not let in")
	shootAll(t, ctx, "device-denied")
	s.ends(t, 4, "refused in the browser")

	// Guessing ends.
	for tries := 0; !strings.Contains(textOf(t, ctx), "Too many tries"); tries++ {
		if tries > 12 {
			t.Fatal("codes can be guessed without end")
		}
		run(t, ctx, chromedp.Navigate(s.address), chromedp.WaitVisible(`#user_code`), chromedp.SendKeys(`#user_code`, "CCCCCCCC"+kb.Enter),
			waitForEither("No sign-in is waiting", "Too many tries"))
	}
	shootAll(t, ctx, "too-many-tries")
}

// TestBrowserCommandLineWithoutScript ensures that the three ways work with
// script switched off.
func TestBrowserCommandLineWithoutScript(t *testing.T) {
	ctx := newBrowser(t, chromedp.Flag("blink-settings", "scriptEnabled=false"))
	d := startDemo(t)
	l, bob := newShell(t, d), d.person(t, "oidc", "bob")
	s := l.signIn()
	run(t, ctx, chromedp.Navigate(s.address), chromedp.Click(`a[href*="/signin/oidc"]`), chromedp.WaitVisible(`input[name=username]`),
		chromedp.SendKeys(`input[name=username]`, bob.Username), chromedp.SendKeys(`input[name=password]`, bob.Password+kb.Enter))
	run(t, ctx, chromedp.Click(`button[value=yes]`), chromedp.WaitNotPresent(`button[value=yes]`))
	s.ends(t, 0, "as bob until")

	s = l.signIn("--paste")
	var code string
	run(t, ctx, chromedp.Navigate(s.address), chromedp.Click(`button[value=yes]`), chromedp.Text(`#code`, &code))
	if _, err := io.WriteString(s.stdin, code+"\n"); err != nil {
		t.Fatal(err)
	}
	s.ends(t, 0, "as bob until")

	s = l.signIn("--device")
	run(t, ctx, chromedp.Navigate(s.address), chromedp.SendKeys(`#user_code`, s.code+kb.Enter), chromedp.Click(`button[value=approve]`),
		chromedp.WaitVisible(`.lede a[href="/sessions"]`))
	s.ends(t, 0, "as bob until")
}
