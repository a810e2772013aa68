package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
)

// answerLimit bounds what is read of an answer.
const answerLimit = 8 << 20

// maxSkew is how far this computer's clock may be off before we speak of it.
const maxSkew = 2 * time.Minute

// Config is what a client works with.
type Config struct {
	Env     func(string) string
	Version string
	HTTP    *http.Client     // nil: one with time-outs
	Now     func() time.Time // nil: time.Now
}

// Client speaks to the server that the person is signed in to.
type Client struct {
	c    Config
	home *Home
	skew time.Duration // of our clock, by the last answer
}

// New returns a client. It reads no file yet.
func New(c Config) (*Client, error) {
	home, err := openHome(c.Env)
	if err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // no address of ours redirects a program
		}}
	}
	return &Client{c: c, home: home}, nil
}

// serverURL is s as the address of a server: https, or http on this computer.
func serverURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(strings.TrimRight(s, "/"))
	bad := broker.Errorf(broker.CodeInvalid, "%q is not the address of a server, like https://sso.example.com.", broker.RedactURL(s))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "", bad
	}
	u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host) // as browsers and servers write them
	if u.Scheme != "https" && (u.Scheme != "http" || !broker.Loopback(u.Hostname())) {
		return "", bad
	}
	return u.String(), nil
}

// request is one call of the server.
type request struct {
	method, url string
	form        url.Values // posted as a form
	json        any        // posted as JSON
	token       string
}

// call sends a request and decodes a good answer. An answer that is not good
// becomes its broker.Error.
func (c *Client) call(ctx context.Context, in request, into any) error {
	var body io.Reader
	kind := ""
	switch {
	case in.form != nil:
		body, kind = strings.NewReader(in.form.Encode()), "application/x-www-form-urlencoded"
	case in.json != nil:
		b, err := json.Marshal(in.json)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		body, kind = bytes.NewReader(b), "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, in.method, in.url, body)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "rolegate-cli/"+c.c.Version)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if in.token != "" {
		r.Header.Set("Authorization", "Bearer "+in.token)
	}
	resp, err := c.c.HTTP.Do(r)
	if err != nil {
		return c.unreachable(r.URL.Host, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return c.unreachable(r.URL.Host, err)
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.skew = c.c.Now().Sub(date)
	}
	if resp.StatusCode != http.StatusOK {
		return c.failed(resp, b)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return broker.Errorf(broker.CodeUnavailable, "%s does not answer as a rolegate server does.", r.URL.Host).
			Fix("Check the address of the server.").Because(err)
	}
	return nil
}

func (c *Client) unreachable(host string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	out := broker.Errorf(broker.CodeUnavailable, "%s cannot be reached.", host).Fix("Check the network and the address of the server.")
	if strings.Contains(err.Error(), "certificate") {
		out = broker.Errorf(broker.CodeUnavailable, "The certificate of %s is not good.", host).
			Fix("Check the clock of this computer, or ask your administrator for the company's CA (SSL_CERT_FILE names it).")
	}
	return out.Because(err)
}

// failed is the error that an answer tells of.
func (c *Client) failed(resp *http.Response, b []byte) error {
	var p struct {
		api.Problem
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(b, &p); err != nil || p.Code == "" && p.Error == "" {
		return broker.Errorf(broker.CodeUnavailable, "%s answers with status %d and not as a rolegate server does.", resp.Request.URL.Host, resp.StatusCode).
			Fix("Check the address of the server.")
	}
	out := &broker.Error{Code: p.Code, Message: said(p.Detail), Remedy: said(p.Remedy)}
	if p.Error != "" {
		out = &broker.Error{Code: codeOfOAuth(p.Error, resp.StatusCode), Message: said(p.Description)}
	}
	if p.StepUp != nil {
		out.StepUp = &broker.StepUp{MFA: p.StepUp.MFA, MaxAuthAge: time.Duration(p.StepUp.MaxAuthAgeSeconds) * time.Second}
		out.Remedy = "Run: rolegate login " + stepUpFlags(out.StepUp)
	}
	if out.Message == "" {
		out.Message = "The server refused."
	}
	if p.TraceID != "" {
		out.Message += " (trace " + said(p.TraceID) + ")"
	}
	return out
}

// said is foreign text that fits a terminal: one line, nothing that moves the
// cursor.
func said(s string) string { return broker.CleanLabel(s, 1000) }

func stepUpFlags(s *broker.StepUp) string {
	var out []string
	if s.MFA {
		out = append(out, "--mfa")
	}
	if s.MaxAuthAge > 0 {
		out = append(out, "--max-age "+s.MaxAuthAge.String())
	}
	return strings.Join(out, " ")
}

func codeOfOAuth(s string, status int) broker.Code {
	switch s {
	case "invalid_request", "unsupported_grant_type":
		return broker.CodeInvalid
	case "invalid_grant", "invalid_client", "expired_token":
		return broker.CodeUnauthenticated
	case "access_denied":
		return broker.CodeDenied
	case "authorization_pending":
		return broker.CodePending
	case "slow_down":
		if status == http.StatusTooManyRequests {
			return broker.CodeRateLimited
		}
		return broker.CodeSlowDown
	case "temporarily_unavailable":
		return broker.CodeUnavailable
	}
	return broker.CodeInternal
}

// clock says that this computer's clock is wrong, if it is; otherwise err.
func (c *Client) clock(err error) error {
	if c.skew.Abs() <= maxSkew {
		return err
	}
	side := "ahead of"
	if c.skew < 0 {
		side = "behind"
	}
	return broker.Errorf(broker.CodeConflict, "The clock of this computer is %s %s the server's, so times cannot be trusted.", c.skew.Abs().Round(time.Minute), side).
		Fix("Set the clock, then try again.").Because(err)
}

// accessMargin is how long before its end an access token is refreshed.
const accessMargin = time.Minute

// session returns the sign-in with an access token that works for a while,
// refreshed by one process at a time.
func (c *Client) session(ctx context.Context) (Session, error) {
	s, err := c.home.loadSession()
	if err != nil {
		return Session{}, err
	}
	now := c.c.Now()
	if !now.Before(s.SessionExpires) {
		return Session{}, c.ended()
	}
	if now.Add(accessMargin).Before(s.AccessExpires) {
		return s, nil
	}
	return c.refresh(ctx, s.AccessToken)
}

func (c *Client) ended() error {
	return broker.Errorf(broker.CodeUnauthenticated, "Your sign-in has ended.").Fix("Run: rolegate login")
}

// refresh gets new tokens, unless another process has just replaced the access
// token that is known not to do.
func (c *Client) refresh(ctx context.Context, known string) (Session, error) {
	unlock, err := lock(c.home.path(sessionFile))
	if err != nil {
		return Session{}, err
	}
	defer unlock()
	s, err := c.home.loadSession()
	if err != nil || s.AccessToken != known {
		return s, err
	}
	t, err := c.tokens(ctx, s.Server, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.RefreshToken}})
	if err != nil {
		return Session{}, c.clock(err)
	}
	c.put(&s, t)
	return s, c.home.saveSession(s)
}

func (c *Client) put(s *Session, t tokens) {
	s.AccessToken, s.RefreshToken, s.SessionExpires = t.AccessToken, t.RefreshToken, t.SessionExpiresAt
	s.AccessExpires = c.c.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
}

// ask calls the API with the access token. One that the server does not take
// any more is refreshed once.
func (c *Client) ask(ctx context.Context, method, path string, body, into any) error {
	s, err := c.session(ctx)
	if err != nil {
		return err
	}
	err = c.call(ctx, request{method: method, url: s.Server + path, json: body, token: s.AccessToken}, into)
	if broker.CodeOf(err) != broker.CodeUnauthenticated {
		return err
	}
	// The refresh says why the sign-in has ended, if it has.
	if s, err = c.refresh(ctx, s.AccessToken); err != nil {
		return err
	}
	return c.call(ctx, request{method: method, url: s.Server + path, json: body, token: s.AccessToken}, into)
}

// Me returns who is signed in, and where.
func (c *Client) Me(ctx context.Context) (api.Me, string, error) {
	var me api.Me
	if err := c.ask(ctx, http.MethodGet, api.PathMe, nil, &me); err != nil {
		return me, "", err
	}
	s, err := c.home.loadSession()
	return shown(me), s.Server, err
}

// shown is what the server says of the person, fit for one line of a terminal.
func shown(me api.Me) api.Me {
	me.Username, me.IdP = said(me.Username), broker.ProviderID(said(string(me.IdP)))
	return me
}

// Server returns the address of the server that the person is signed in to.
func (c *Client) Server() (string, error) {
	s, err := c.home.loadSession()
	return s.Server, err
}

// Assignments returns the roles that the person may use now, and keeps their
// names for completion.
func (c *Client) Assignments(ctx context.Context) ([]api.Assignment, error) {
	var out api.Assignments
	if err := c.ask(ctx, http.MethodGet, api.PathAssignments, nil, &out); err != nil {
		return nil, err
	}
	if err := plain(out.Assignments); err != nil {
		return nil, err
	}
	c.keepNames(out.Assignments)
	return out.Assignments, nil
}

// plain refuses names that no rolegate server gives: they are written to
// terminals and to the AWS config file, where a line break begins a setting, and
// the role's reaches a shell.
func plain(all []api.Assignment) error {
	for _, a := range all {
		_, err := broker.ParseAccountID(string(a.Account.ID))
		err = errors.Join(err, broker.ValidRoleName(a.Role))
		if err != nil || strings.ContainsFunc(a.Account.Name, broker.Breaks) {
			return broker.Errorf(broker.CodeUnavailable, "The server's list of roles holds a name that cannot be one.").
				Fix("Check the address of the server.").Because(fmt.Errorf("account %q %q, role %q", a.Account.ID, a.Account.Name, a.Role))
		}
	}
	return nil
}
