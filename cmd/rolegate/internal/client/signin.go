package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/broker/program"
)

// signInTimeout is how long a person has in the browser.
const signInTimeout = 10 * time.Minute

// Login is how to sign in.
type Login struct {
	Server  string // "" for the one before
	Host    string // of this computer, for the page and the events
	Keyring bool   // keep the key in the operating system's keyring
	MFA     bool   // ask for a second factor
	MaxAge  time.Duration
	Way     Way
	SSO     SSO // the token file for AWS clients

	// Show tells the person where to go: an address, and for a device code what
	// to compare.
	Show func(address, userCode string)
	// Paste reads the code that the page shows.
	Paste func() (string, error)
}

// Way is how the browser's answer comes back.
type Way int

// The ways.
const (
	Loopback   Way = iota // a browser on this computer
	DeviceCode            // a browser anywhere
	PasteBack             // a browser anywhere, its code carried by hand
)

type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
}

type tokens struct {
	AccessToken      string    `json:"access_token"`
	RefreshToken     string    `json:"refresh_token"`
	ExpiresIn        int64     `json:"expires_in"`
	SessionExpiresAt time.Time `json:"session_expires_at"`
}

// Login signs in and keeps the tokens. Nothing that was kept before is touched
// until the server has given new ones.
func (c *Client) Login(ctx context.Context, in Login) (api.Me, Session, error) {
	if err := c.home.own(); err != nil { // before the person signs in for nothing
		return api.Me{}, Session{}, err
	}
	if in.Server == "" {
		s, err := c.home.loadSession()
		if err != nil {
			return api.Me{}, s, broker.Errorf(broker.CodeInvalid, "Which server?").Fix("Run: rolegate login https://sso.example.com").Because(err)
		}
		in.Server = s.Server
	}
	server, err := serverURL(in.Server)
	if err != nil {
		return api.Me{}, Session{}, err
	}
	m, err := c.discover(ctx, server)
	if err != nil {
		return api.Me{}, Session{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	var t tokens
	switch in.Way {
	case DeviceCode:
		t, err = c.deviceCode(ctx, m, in)
	case PasteBack:
		t, err = c.pasteBack(ctx, m, in)
	case Loopback:
		t, err = c.loopback(ctx, m, in)
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = broker.Errorf(broker.CodeUnauthenticated, "Nobody signed in within ten minutes.").Fix("Run rolegate login again.").Because(err)
		}
		return api.Me{}, Session{}, err
	}
	return c.keep(ctx, m, in, t)
}

// keep writes what the server gave.
func (c *Client) keep(ctx context.Context, m metadata, in Login, t tokens) (api.Me, Session, error) {
	var me api.Me
	s := Session{Server: m.Issuer}
	c.put(&s, t)
	if err := c.call(ctx, request{method: http.MethodGet, url: m.Issuer + api.PathMe, token: t.AccessToken}, &me); err != nil {
		return me, s, err
	}
	me = shown(me)
	s.Username = me.Username
	unlock, err := lock(c.home.path(sessionFile))
	if err != nil {
		return me, s, err
	}
	defer unlock()
	before, beforeErr := c.home.loadSession()
	if err := errors.Join(c.home.forgetCredentials(), c.home.create(in.Keyring)); err != nil {
		return me, s, err
	}
	if err := c.home.saveSession(s); err != nil {
		return me, s, err
	}
	c.learnNames(ctx, s)
	if beforeErr == nil && before.Server == s.Server {
		// The sign-in before is of no use to anybody now. One that cannot be
		// ended ends by itself.
		_ = c.revoke(ctx, before)
	}
	if in.SSO.Session == "" {
		return me, s, nil
	}
	if s.SSOFile, err = c.writeSSO(ctx, s, in.SSO); err != nil {
		return me, s, err
	}
	return me, s, c.home.saveSession(s)
}

func (c *Client) discover(ctx context.Context, server string) (metadata, error) {
	var m metadata
	if err := c.call(ctx, request{method: http.MethodGet, url: server + "/.well-known/oauth-authorization-server"}, &m); err != nil {
		return m, err
	}
	// A host is the same in capitals; letters that only fold to ASCII are not.
	if strings.ToLower(m.Issuer) != server || strings.ContainsFunc(m.Issuer, func(r rune) bool { return r > unicode.MaxASCII }) {
		return m, broker.Errorf(broker.CodeInvalid, "The server at %s calls itself %s.", server, said(m.Issuer)).Fix("Run: rolegate login %s", ShellWord(said(m.Issuer)))
	}
	for _, e := range []string{m.Authorization, m.Token, m.Device, m.Revocation} {
		if !strings.HasPrefix(e, m.Issuer+"/") || said(e) != e { // RFC 8414: never send a token elsewhere
			return m, broker.Errorf(broker.CodeInvalid, "The server at %s names an address that is not its own.", server)
		}
	}
	return m, nil
}

// maxSeconds bounds the times in answers: 90 days, as long as a registration.
const maxSeconds = 90 * 86400

// tokens asks for tokens in the name of the rolegate program.
func (c *Client) tokens(ctx context.Context, server string, form url.Values) (tokens, error) {
	form.Set("client_id", program.CLIClientID)
	var t tokens
	err := c.call(ctx, request{method: http.MethodPost, url: server + "/oauth/token", form: form}, &t)
	if err == nil && (t.AccessToken == "" || t.RefreshToken == "" || t.ExpiresIn <= 0 || t.ExpiresIn > maxSeconds) {
		err = broker.Errorf(broker.CodeUnavailable, "The server's answer holds no tokens.")
	}
	return t, err
}

// proof is a PKCE verifier, its challenge, and a state.
type proof struct{ verifier, challenge, state string }

func newProof() proof {
	p := proof{verifier: rand.Text() + rand.Text(), state: rand.Text()}
	sum := sha256.Sum256([]byte(p.verifier))
	p.challenge = base64.RawURLEncoding.EncodeToString(sum[:])
	return p
}

func authorizeURL(m metadata, in Login, p proof, redirect string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {program.CLIClientID}, "redirect_uri": {redirect}, "state": {p.state},
		"code_challenge": {p.challenge}, "code_challenge_method": {"S256"},
	}
	if in.Host != "" {
		q.Set("host", in.Host)
	}
	in.need(q)
	return m.Authorization + "?" + q.Encode()
}

// need adds what the sign-in has to prove (RFC 9470 4).
func (in Login) need(q url.Values) {
	if in.MFA {
		q.Set("acr_values", "mfa")
	}
	if in.MaxAge > 0 {
		q.Set("max_age", strconv.Itoa(int(in.MaxAge.Seconds())))
	}
}

type callback struct {
	code string
	err  error
}

// loopback waits for the browser's answer on an address of this computer.
func (c *Client) loopback(ctx context.Context, m metadata, in Login) (tokens, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return tokens{}, broker.Errorf(broker.CodeUnavailable, "No address of this computer is free to listen on.").
			Fix("Try rolegate login --device.").Because(err)
	}
	p, redirect := newProof(), "http://"+l.Addr().String()+"/callback"
	got := make(chan callback, 1)
	s := &http.Server{Handler: c.callback(m, p, l.Addr().String(), got), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends by Close
	}()
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.Shutdown(late) // the browser's page may still be on its way
		_ = s.Close()
		<-done
	}()
	in.Show(authorizeURL(m, in, p, redirect), "")
	select {
	case <-ctx.Done():
		return tokens{}, ctx.Err()
	case a := <-got:
		if a.err != nil {
			return tokens{}, a.err
		}
		return c.tokens(ctx, m.Issuer, url.Values{
			"grant_type": {"authorization_code"}, "code": {a.code}, "redirect_uri": {redirect}, "code_verifier": {p.verifier},
		})
	}
}

// callback takes the first answer that holds our state, and ignores all else:
// anybody on this computer may call.
func (c *Client) callback(m metadata, p proof, host string, got chan<- callback) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash()+"'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet || r.URL.Path != "/callback" || r.Host != host ||
			subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(p.state)) != 1 || q.Get("iss") != m.Issuer {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, page("Nothing here", "This address waits for the answer of another sign-in."))
			return
		}
		a := callback{code: q.Get("code")}
		title, text := "You are signed in", "Go back to the terminal. You can close this page."
		if a.code == "" {
			a.err = broker.Errorf(broker.CodeDenied, "The sign-in was refused in the browser.")
			if e := q.Get("error"); e != "access_denied" {
				a.err = broker.Errorf(broker.CodeInvalid, "The server refused the sign-in.").Because(fmt.Errorf("%q", e))
			}
			title, text = "You are not signed in", "The program was not let in. You can close this page."
		}
		_, _ = io.WriteString(w, page(title, text))
		select {
		case got <- a:
		default: // the first answer counts
		}
	})
}

// style is the callback page's own: nothing else may be loaded into it.
const style = `html{font:100%/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;background:#f4f6f9;color:#141c2b}
main{max-width:26rem;margin:12vh auto 0;padding:2rem;background:#fff;border:1px solid #d9dfe8;border-radius:14px;text-align:center}
h1{margin:0 0 .5rem;font-size:1.625rem;line-height:1.25}p{margin:0;color:#536076;font-size:1.0625rem}
@media(max-width:40rem){main{margin:1rem;padding:1.5rem 1.125rem}}
@media(prefers-color-scheme:dark){html{background:#0d1219;color:#e7ecf3}main{background:#161d27;border-color:#2a3543}p{color:#a3b0c2}}`

// styleHash is the source that lets the one style in (CSP 3, 2.3.1).
func styleHash() string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// page is a page of fixed words.
func page(title, text string) string {
	return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>` +
		title + ` · rolegate</title><style>` + style + `</style><main><h1>` + title + `</h1><p>` + text + `</p></main></html>`
}

// pasteBack waits for the code that the page shows.
func (c *Client) pasteBack(ctx context.Context, m metadata, in Login) (tokens, error) {
	p := newProof()
	in.Show(authorizeURL(m, in, p, program.RedirectPaste), "")
	code, err := in.Paste()
	if err != nil {
		return tokens{}, err
	}
	if code = strings.TrimSpace(code); code == "" {
		return tokens{}, broker.Errorf(broker.CodeInvalid, "No code was pasted.")
	}
	return c.tokens(ctx, m.Issuer, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {program.RedirectPaste}, "code_verifier": {p.verifier},
	})
}

// deviceCode polls until the person has answered.
func (c *Client) deviceCode(ctx context.Context, m metadata, in Login) (tokens, error) {
	var d struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
		URI        string `json:"verification_uri"`
		ExpiresIn  int64  `json:"expires_in"`
		Interval   int64  `json:"interval"`
	}
	form := url.Values{"client_id": {program.CLIClientID}, "host": {in.Host}}
	in.need(form)
	if err := c.call(ctx, request{method: http.MethodPost, url: m.Device, form: form}, &d); err != nil {
		return tokens{}, err
	}
	if !strings.HasPrefix(d.URI, m.Issuer+"/") || said(d.URI) != d.URI || said(d.UserCode) != d.UserCode || d.DeviceCode == "" || d.Interval > maxSeconds {
		return tokens{}, broker.Errorf(broker.CodeUnavailable, "The server's answer holds no code to sign in with.").Fix("Check the address of the server.")
	}
	in.Show(d.URI, d.UserCode)
	wait := time.Duration(max(d.Interval, 1)) * time.Second
	for {
		select {
		case <-ctx.Done():
			return tokens{}, ctx.Err()
		case <-time.After(wait):
		}
		t, err := c.tokens(ctx, m.Issuer, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.DeviceCode}})
		switch broker.CodeOf(err) {
		case broker.CodePending:
		case broker.CodeSlowDown, broker.CodeUnavailable: // RFC 8628 3.5: back off when the network fails
			wait += 5 * time.Second
		default:
			return t, err
		}
	}
}

// Logout ends the sign-in at the server and removes every file of ours. The
// files go in any case; CodeUnavailable when the server was not told.
func (c *Client) Logout(ctx context.Context) error {
	unlock, err := lock(c.home.path(sessionFile))
	if err != nil {
		return err
	}
	defer unlock()
	s, err := c.home.loadSession()
	if err != nil {
		return errors.Join(err, c.home.forget())
	}
	told := c.revoke(ctx, s)
	var sso error
	if s.SSOFile != "" {
		sso = remove(s.SSOFile)
	}
	if err := errors.Join(c.home.forget(), sso); err != nil {
		return err
	}
	if told != nil {
		return broker.Errorf(broker.CodeUnavailable, "You are signed out on this computer, but the server could not be told.").
			Fix("The sign-in ends by itself at %s.", s.SessionExpires.Local().Format("15:04 on 2 Jan")).Because(told)
	}
	return nil
}

func (c *Client) revoke(ctx context.Context, s Session) error {
	return c.call(ctx, request{method: http.MethodPost, url: s.Server + "/oauth/revoke", form: url.Values{
		"client_id": {program.CLIClientID}, "token": {s.RefreshToken},
	}}, nil)
}
