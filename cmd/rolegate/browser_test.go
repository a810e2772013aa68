package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

func (s *state) demoCommand(ts *testscript.TestScript, args []string) error {
	if len(args) > 0 && args[0] == "stop" {
		return s.demo.Close()
	}
	d, err := demo.Start(s.ctx, demo.Options{Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return err
	}
	s.demo = d
	ts.Defer(func() { _ = d.Close() })
	ts.Setenv("PORTAL", d.Portal)
	ts.Setenv("STS", d.STS)
	return nil
}

// printed collects what the program prints and tells of the first address in
// it.
type printed struct {
	mu      sync.Mutex
	text    strings.Builder
	address chan string
	code    string
}

var (
	addressPattern = regexp.MustCompile(`(?m)^  (http\S+)\n`)
	codePattern    = regexp.MustCompile(`(?m)^  ([A-Z]{4}-[A-Z]{4})\n`)
)

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	m := addressPattern.FindStringSubmatch(p.text.String())
	if m == nil {
		return len(b), nil
	}
	if code := codePattern.FindStringSubmatch(p.text.String()); code != nil {
		p.code = code[1]
	}
	select {
	case p.address <- m[1]:
	default: // told already
	}
	return len(b), nil
}

// browse runs the program while a person answers in a browser of their own.
func (s *state) browse(ts *testscript.TestScript, args []string) error {
	person, answer := args[0], args[1]
	want, err := strconv.Atoi(args[2])
	if err != nil || args[3] != "rolegate" {
		return errors.New("wanted: browser PERSON yes|no N rolegate ARGS…")
	}
	p := &printed{address: make(chan string, 1)}
	stdin, paste := io.Pipe()
	var out strings.Builder
	done := make(chan int, 1)
	go func() { done <- run(s.ctx, args[4:], ts.Getenv, stdin, &out, p) }()
	var code int
	select {
	case code = <-done:
	case address := <-p.address:
		err = s.answer(person, answer, address, p, paste)
		_ = paste.Close()
		code = <-done
	}
	_, _ = io.WriteString(ts.Stdout(), out.String())
	_, _ = io.WriteString(ts.Stderr(), p.text.String())
	if err != nil {
		return fmt.Errorf("in the browser: %w", err)
	}
	if code != want {
		return fmt.Errorf("exit %d, wanted was %d", code, want)
	}
	return nil
}

func (s *state) answer(person, answer, address string, p *printed, paste io.Writer) error {
	b, err := formbrowser.New(nil)
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if err := s.signIn(b, person, u.RequestURI()); err != nil {
		return err
	}
	if p.code != "" {
		if err := b.Submit(s.ctx, formbrowser.Has("user_code"), map[string]string{"user_code": p.code}); err != nil {
			return err
		}
		return b.Submit(s.ctx, formbrowser.Has("user_code"), map[string]string{"answer": map[string]string{"yes": "approve", "no": "deny"}[answer]})
	}
	if err := b.Submit(s.ctx, formbrowser.Has("code_challenge"), map[string]string{"answer": answer}); err != nil {
		return fmt.Errorf("%w\n%s", err, b.Body)
	}
	if b.Status != http.StatusOK {
		return fmt.Errorf("status %d: %s", b.Status, b.Body)
	}
	if strings.Contains(address, "oob") && answer == "yes" {
		_, rest, _ := strings.Cut(b.Body, `<pre id="code"`)
		_, rest, _ = strings.Cut(rest, ">")
		code, _, _ := strings.Cut(rest, "<")
		_, err := io.WriteString(paste, code+"\n")
		return err
	}
	return nil
}

// signIn goes through the OpenID provider's pages to a local path. The strength
// that the path asks for is there at the first try.
func (s *state) signIn(b *formbrowser.Browser, username, to string) error {
	for _, p := range s.demo.People {
		if p.Username != username {
			continue
		}
		if err := b.Get(s.ctx, s.demo.Portal+"/signin/oidc?"+url.Values{"return_to": {to}}.Encode()); err != nil {
			return err
		}
		if err := b.Submit(s.ctx, formbrowser.Has("username"), map[string]string{"username": p.Username, "password": p.Password}); err != nil {
			return err
		}
		if p.TOTPSecret == "" {
			return nil
		}
		code, err := totp.GenerateCode(p.TOTPSecret, time.Now())
		if err != nil {
			return err
		}
		return b.Submit(s.ctx, formbrowser.Has("code"), map[string]string{"code": code})
	}
	return errors.New("no such person")
}
