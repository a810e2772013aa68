package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web"
	webadmin "github.com/rolegate/rolegate/broker/web/admin"
	"github.com/rolegate/rolegate/broker/web/idp"
	"github.com/rolegate/rolegate/broker/web/portal"
)

var errDown = broker.Errorf(broker.CodeUnavailable, "The store does not answer.").Because(errors.New("planted-cause"))

// memory is the broker's stores, with a switch to fail.
type memory struct {
	mu       sync.Mutex
	state    map[string][]byte
	sessions map[string]broker.SessionRow
	events   []broker.Event
	ids      []broker.IdentityRow
	revoked  map[broker.Subject]time.Time
	factors  []broker.FactorRow
	down     bool
	noEvents bool
	marked   []broker.AssignmentID
	uses     []broker.Use
}

func (m *memory) Favourites(context.Context, broker.Subject) ([]broker.AssignmentID, error) {
	defer m.lock()()
	return slices.Clone(m.marked), m.check()
}

func (m *memory) SetFavourite(_ context.Context, _ broker.Subject, id broker.AssignmentID, on bool) error {
	defer m.lock()()
	m.marked = slices.DeleteFunc(m.marked, func(x broker.AssignmentID) bool { return x == id })
	if on {
		m.marked = append(m.marked, id)
	}
	return m.check()
}

func (m *memory) Uses(context.Context, broker.Subject, time.Time, int) ([]broker.Use, error) {
	defer m.lock()()
	return slices.Clone(m.uses), m.check()
}

func (m *memory) lock() func() { m.mu.Lock(); return m.mu.Unlock }

func (m *memory) check() error {
	if m.down {
		return errDown
	}
	return nil
}

func (m *memory) Put(_ context.Context, key string, v []byte, _ time.Duration) error {
	defer m.lock()()
	if m.down {
		return errDown
	}
	m.state[key] = v
	return nil
}

func (m *memory) PutIfAbsent(_ context.Context, key string, v []byte, _ time.Duration) (bool, error) {
	defer m.lock()()
	if _, ok := m.state[key]; ok || m.down {
		return false, m.check()
	}
	m.state[key] = v
	return true, nil
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	defer m.lock()()
	if m.down {
		return nil, errDown
	}
	v, ok := m.state[key]
	if !ok {
		return nil, broker.Errorf(broker.CodeNotFound, "no such entry")
	}
	return v, nil
}

func (m *memory) Take(ctx context.Context, key string) ([]byte, error) {
	v, err := m.Get(ctx, key)
	defer m.lock()()
	delete(m.state, key)
	return v, err
}

func (m *memory) Swap(_ context.Context, key string, before, after []byte, _ time.Duration) (bool, error) {
	defer m.lock()()
	if !bytes.Equal(m.state[key], before) {
		return false, m.check()
	}
	m.state[key] = after
	return true, m.check()
}

func (m *memory) SaveSession(_ context.Context, s broker.SessionRow) error {
	defer m.lock()()
	if m.down {
		return errDown
	}
	m.sessions[s.Key] = s
	return nil
}

func (m *memory) Session(_ context.Context, key string) (broker.SessionRow, error) {
	defer m.lock()()
	if m.down {
		return broker.SessionRow{}, errDown
	}
	s, ok := m.sessions[key]
	if !ok {
		return s, broker.Errorf(broker.CodeNotFound, "no session")
	}
	s.RevokedBefore = m.revoked[s.Subject]
	return s, nil
}

func (m *memory) FindSessions(_ context.Context, f broker.SessionFilter) ([]broker.SessionRow, error) {
	defer m.lock()()
	var out []broker.SessionRow
	for _, s := range m.sessions {
		if s.Subject.Provider == f.Provider && (f.SubjectID == "" || f.SubjectID == s.Subject.ID) && (f.NameID == "" || f.NameID == s.NameID) &&
			(f.SessionIndex == "" || f.SessionIndex == s.SessionIndex) && s.CreatedAt.After(m.revoked[s.Subject]) {
			out = append(out, s)
		}
	}
	return out, m.check()
}

func (m *memory) ListSessions(_ context.Context, p broker.SessionPage) ([]broker.SessionRow, error) {
	defer m.lock()()
	var out []broker.SessionRow
	for _, s := range m.sessions {
		if len(out) < p.Limit && p.Before == "" {
			out = append(out, s)
		}
	}
	return out, m.check()
}

func (m *memory) CountSessions(context.Context) (int, error) {
	defer m.lock()()
	return len(m.sessions), m.check()
}

func (m *memory) RevokeBefore(_ context.Context, s broker.Subject, at time.Time) error {
	defer m.lock()()
	m.revoked[s] = at
	return m.check()
}

func (m *memory) QueryEvents(_ context.Context, q broker.EventQuery) ([]broker.EventRow, error) {
	defer m.lock()()
	var out []broker.EventRow
	for i, e := range slices.Backward(m.events) {
		if (q.TraceID == "" || e.TraceID == q.TraceID) && (!q.NotOK || e.Outcome != broker.OutcomeOK) && (q.Action == "" || e.Action == q.Action) && len(out) < q.Limit {
			out = append(out, broker.EventRow{ID: fmt.Sprint(i), Event: e})
		}
	}
	return out, m.check()
}

func (m *memory) TouchSession(_ context.Context, key string, at time.Time) error {
	defer m.lock()()
	s := m.sessions[key]
	s.LastUsedAt = at
	m.sessions[key] = s
	return m.check()
}

func (m *memory) DeleteSession(_ context.Context, key string) error {
	defer m.lock()()
	delete(m.sessions, key)
	return m.check()
}

func (m *memory) ReplaceSession(_ context.Context, key string, next broker.SessionRow) error {
	defer m.lock()()
	if _, ok := m.sessions[key]; !ok {
		return broker.Errorf(broker.CodeNotFound, "no session")
	}
	delete(m.sessions, key)
	m.sessions[next.Key] = next
	return m.check()
}

func (m *memory) ClaimName(_ context.Context, _ broker.NameKind, _ broker.Subject, c ...string) (string, error) {
	return c[0], m.check()
}

func (m *memory) SaveIdentity(_ context.Context, r broker.IdentityRow) error {
	defer m.lock()()
	m.ids = slices.DeleteFunc(m.ids, func(x broker.IdentityRow) bool { return x.Subject == r.Subject })
	m.ids = append(m.ids, r)
	return m.check()
}

func (m *memory) FindIdentities(_ context.Context, user string) ([]broker.IdentityRow, error) {
	defer m.lock()()
	var out []broker.IdentityRow
	for _, r := range m.ids {
		if user == "" || user == r.Username {
			out = append(out, r)
		}
	}
	return out, m.check()
}

func (m *memory) Record(_ context.Context, e broker.Event) error {
	defer m.lock()()
	if m.down || m.noEvents {
		return errDown
	}
	m.events = append(m.events, e)
	return nil
}

// sealer binds the plaintext to its additional data and hides nothing: these
// tests look at what leaves by HTTP.
type sealer struct{}

func (sealer) Seal(plain []byte, additional string) ([]byte, error) {
	return append([]byte(additional+"\x00"), plain...), nil
}

func (sealer) Open(sealed []byte, additional string) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, []byte(additional+"\x00"))
	if !ok {
		return nil, errors.New("sealed under other data")
	}
	return rest, nil
}

// fakeIdP is an identity provider that vouches for auth.
type fakeIdP struct {
	id       broker.ProviderID
	unasked  bool // takes answers to no request
	post     bool
	beginErr error
	err      error
	auth     func() broker.Authentication
	last     broker.AuthRequest
	form     url.Values

	logout    *broker.Challenge // what sends the browser to sign out there
	logoutErr error             // of BeginLogout and FinishLogout
	gone      broker.LogoutRequest
	message   broker.LogoutMessage
	notice    broker.LogoutNotice // what a message says
	noticeErr error
	vouches   string // if set, messages that do not hold it are refused
	answer    *broker.Challenge
}

func (p *fakeIdP) BeginLogout(_ context.Context, r broker.LogoutRequest) (*broker.Challenge, error) {
	p.gone = r
	return p.logout, p.logoutErr
}

func (p *fakeIdP) FinishLogout(_ context.Context, _ broker.LogoutRequest, m broker.LogoutMessage) error {
	p.message = m
	if p.vouches != "" && !strings.Contains(m.Query, p.vouches) {
		return broker.Errorf(broker.CodeUnauthenticated, "It could not be verified.")
	}
	return p.logoutErr
}

func (p *fakeIdP) ReceiveLogout(_ context.Context, m broker.LogoutMessage) (broker.LogoutNotice, error) {
	p.message = m
	if p.vouches != "" && !strings.Contains(m.Query+m.Form.Encode(), p.vouches) {
		return broker.LogoutNotice{}, broker.Errorf(broker.CodeUnauthenticated, "It could not be verified.")
	}
	return p.notice, p.noticeErr
}

func (p *fakeIdP) AnswerLogout(context.Context, broker.LogoutNotice, error) (*broker.Challenge, error) {
	return p.answer, nil
}

func (p *fakeIdP) Begin(_ context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	p.last = r
	if p.post {
		return broker.Challenge{URL: "https://idp.example/sso", Form: url.Values{"SAMLRequest": {"cmVxdWVzdA=="}, "RelayState": {r.State}}}, p.beginErr
	}
	return broker.Challenge{URL: "https://idp.example/sso?RelayState=" + r.State}, p.beginErr
}

func (p *fakeIdP) Finish(_ context.Context, _ broker.AuthRequest, form url.Values) (broker.Authentication, error) {
	p.form = form
	if p.err != nil {
		return broker.Authentication{}, p.err
	}
	return p.auth(), nil
}

func (p *fakeIdP) AcceptsUnsolicited() bool { return p.unasked }

func (p *fakeIdP) FinishUnsolicited(ctx context.Context, form url.Values) (broker.Authentication, error) {
	return p.Finish(ctx, broker.AuthRequest{}, form)
}

// aws is mapper, asserter and assumer.
type aws struct {
	now         func() time.Time
	assignments []broker.Assignment
	rules       []broker.RuleResult
	missing     []broker.RuleResult
	mfa         bool
	admin       bool
	err         error // of AssumeRole
	assumed     int
	issuer      string
}

func (a *aws) Identity(_ context.Context, auth broker.Authentication) (broker.Identity, error) {
	return broker.Identity{
		Subject: auth.Subject, Username: auth.Claims.First("username"), Email: auth.Claims.First("email"), Groups: auth.Claims["groups"],
		Claims: auth.Claims, AuthnInstant: auth.AuthnInstant, MFA: a.mfa, SessionName: auth.Claims.First("email"),
	}, nil
}

func (a *aws) Assignments(context.Context, broker.Identity) ([]broker.Assignment, error) {
	return a.assignments, nil
}

func (a *aws) Explain(context.Context, broker.Identity) (broker.Explanation, error) {
	return broker.Explanation{Rules: a.rules, Assignments: a.assignments}, nil
}

func (a *aws) Missing(context.Context, broker.Identity, string, string) ([]broker.RuleResult, error) {
	return a.missing, nil
}

func (a *aws) IsAdmin(context.Context, broker.Identity) (bool, error) { return a.admin, nil }

func (a *aws) Assert(context.Context, broker.AssertionRequest) (broker.Assertion, error) {
	return broker.Assertion{Raw: broker.NewSecret("planted-assertion"), ID: "_a"}, nil
}

func (a *aws) AssumeRole(_ context.Context, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	a.assumed++
	if a.err != nil {
		return broker.RoleSession{}, a.err
	}
	return broker.RoleSession{
		Credentials: broker.Credentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: broker.NewSecret("planted-secret-key"),
			SessionToken: broker.NewSecret("planted-session-token"), Expiration: a.now().Add(r.Duration),
		},
		AssumedRoleARN: "arn:aws:sts::111122223333:assumed-role/Admin/" + r.SessionName,
	}, nil
}

func (a *aws) SignInURL(_ context.Context, r broker.SignInURLRequest) (broker.Secret, error) {
	a.issuer = r.Issuer
	if r.Destination.Path == "evil" {
		return broker.Secret{}, broker.Errorf(broker.CodeInvalid, "This is no console page.")
	}
	return broker.NewSecret("https://signin.example/federation?SigninToken=planted-link"), nil
}

// ProviderStatus tells of an identity provider that needs attention.
func (p *fakeIdP) ProviderStatus() broker.ProviderStatus {
	return broker.ProviderStatus{
		Kind: "SAML 2.0", Issuer: "https://idp.example/" + string(p.id), Err: p.beginErr, SkewKnown: true, Skew: 3 * time.Second,
		Certificates: []broker.CertificateStatus{{Name: "CN=idp", NotAfter: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)}},
	}
}

// Setup tells one value.
func (p *fakeIdP) Setup() []broker.SetupValue {
	return []broker.SetupValue{{Name: "Entity ID", Value: "https://sso.example.com/saml/" + string(p.id) + "/metadata", Path: "/saml/okta/metadata"}}
}

type metadata struct{}

func (metadata) Metadata() ([]byte, error) { return []byte("<EntityDescriptor/>"), nil }

// house is a whole server on fakes, and a browser's cookies.
type house struct {
	t       testing.TB
	clock   time.Time
	mem     *memory
	saml    *fakeIdP
	oidc    *fakeIdP
	aws     *aws
	logs    *bytes.Buffer
	server  http.Handler
	public  string
	cookies map[string]*http.Cookie
}

func assignment(account, name, role string) broker.Assignment {
	return broker.Assignment{
		ID:      broker.NewAssignmentID(broker.AccountID(account), role, broker.ViaSAML),
		Account: broker.Account{ID: broker.AccountID(account), Name: name, Partition: broker.PartitionAWS},
		Role:    role, Via: broker.ViaSAML, MaxDuration: time.Hour, Rules: []string{"r"},
		RoleARN: broker.NewRoleARN(broker.PartitionAWS, broker.AccountID(account), role),
	}
}

// newHouse makes a house with the SAML provider "okta" and the OpenID Connect
// provider "entra" and two roles.
func newHouse(t testing.TB, change ...func(*house, *web.Config)) *house {
	t.Helper()
	h := &house{
		t: t, clock: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), public: "https://sso.example.com",
		logs: &bytes.Buffer{}, cookies: map[string]*http.Cookie{},
		mem: &memory{state: map[string][]byte{}, sessions: map[string]broker.SessionRow{}, revoked: map[broker.Subject]time.Time{}},
	}
	now := func() time.Time { return h.clock }
	n := 0
	vouch := func(id broker.ProviderID) func() broker.Authentication {
		return func() broker.Authentication {
			n++
			return broker.Authentication{
				Subject: broker.Subject{Provider: id, ID: "00u1"}, AuthnInstant: h.clock, ReplayID: fmt.Sprint("_", n), ReplayExpires: h.clock.Add(time.Minute),
				Claims: broker.Claims{"username": {"alice"}, "email": {"alice@example.com"}, "groups": {"staff"}, "name": {"Alice Ames"}},
			}
		}
	}
	h.saml = &fakeIdP{id: "okta", auth: vouch("okta")}
	h.oidc = &fakeIdP{id: "entra", auth: vouch("entra")}
	h.aws = &aws{now: now, assignments: []broker.Assignment{assignment("111122223333", "prod", "Admin"), assignment("444455556666", "test", "ReadOnly")}}
	in := signin.New(signin.Config{
		Providers: []broker.Provider{
			{ID: "okta", Name: "Okta", EmailDomains: []string{"example.com"}, IdP: h.saml, MFA: broker.MFAPolicy{AuthnContext: [][]string{{"urn:mfa"}}}},
			{ID: "entra", Name: "Entra ID", IdP: h.oidc},
		},
		Mapper: h.aws, State: h.mem, Sessions: h.mem, Names: h.mem, Identities: h.mem, Events: h.mem, Sealer: sealer{}, Now: now,
	})
	people := session.New(session.Config{
		Store: h.mem, List: h.mem, Revoker: h.mem, Events: h.mem, Sealer: sealer{}, Now: now,
	})
	c := web.Config{
		SignIn: in,
		Access: access.New(access.Config{
			Sessions: h.mem, Roles: h.aws, Asserter: h.aws, Assumer: h.aws, Identities: h.mem, Events: h.mem, Sealer: sealer{},
			PortalURL: h.public, Admins: h.aws, Now: now,
		}),
		Logout: signin.NewLogout(signin.LogoutConfig{
			Providers: in.Providers(), State: h.mem, Sessions: h.mem, Finder: h.mem, Events: h.mem, Sealer: sealer{}, Now: now,
		}),
		Devices: program.New(program.Config{State: h.mem, Sessions: h.mem, Events: h.mem, Sealer: sealer{}, Now: now}),
		Shelf:   access.NewFavourites(access.FavouritesConfig{Store: h.mem, Now: now}),
		People:  people,
		Admin: admin.New(admin.Config{
			Judge: h.aws, Sessions: people, Log: h.mem, Events: h.mem, Identities: h.mem, Roles: h.aws,
			Traces: journal.Traces{State: h.mem, Now: now}, Sealer: sealer{}, Now: now,
		}),
		Health: web.Health{
			Store: "SQLite", Relaxations: []string{"insecure_http is on"}, Ping: func(context.Context) error { return h.mem.check() },
			Keys: func() []webadmin.Key {
				return []webadmin.Key{{Purpose: "aws-saml", ID: "kid", Active: true, NotAfter: h.clock}}
			},
			AWS: []webadmin.Endpoint{{Name: "STS", URL: "https://sts.example"}},
		},
		Simulate: func(_ context.Context, candidate []byte, people []broker.Identity) (webadmin.Simulation, error) {
			if bytes.HasPrefix(candidate, []byte("bad")) {
				return webadmin.Simulation{Problems: []string{string(candidate)}}, nil
			}
			return webadmin.Simulation{People: len(people), Changes: []webadmin.Change{
				{Kind: "gained", Username: string(candidate), Account: string(candidate), Role: string(candidate), What: []string{string(candidate)}},
			}}, nil
		},
		Traces: journal.Traces{State: h.mem},
		SAML:   map[broker.ProviderID]idp.MetadataSource{"okta": metadata{}},
		Documents: idp.Documents{
			Metadata:  func() ([]byte, error) { return []byte("<EntityDescriptor/>"), nil },
			Discovery: func() ([]byte, error) { return []byte(`{"issuer":"x"}`), nil },
			JWKS:      func() ([]byte, error) { return []byte(`{"keys":[]}`), nil },
		},
		PublicURL: h.public, AWSOrigins: []string{"https://signin.example", "https://console.example"},
		Destinations: []portal.Destination{{Path: "", Name: "Console home"}, {Path: "ec2/home", Name: "EC2"}},
		Logger:       slog.New(slog.NewJSONHandler(h.logs, nil)), Now: now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	for _, f := range change {
		f(h, &c)
	}
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h.server = s
	return h
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

type with func(*http.Request)

const withoutCookies = "Test-Without-Cookies"

// asProgram sends a program's access token, and no cookie.
func asProgram(token string) with {
	return func(r *http.Request) {
		r.Header.Set(withoutCookies, "1")
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Del("Accept")
	}
}

func header(k, v string) with { return func(r *http.Request) { r.Header.Set(k, v) } }

func fromElsewhere(r *http.Request) {
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if r.Method == http.MethodPost {
		r.Header.Set("Origin", "https://elsewhere.example")
	}
}

func fromHere(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }

func typed(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }

// do sends a request with the cookies that a browser would send and keeps those
// it is given.
func (h *house) do(method, target string, body io.Reader, opts ...with) answer {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, h.public+target, body)
	r.Header.Set("Accept", "text/html")
	for _, o := range opts {
		o(r)
	}
	cross := r.Header.Get("Sec-Fetch-Site") == "cross-site"
	if r.Header.Get(withoutCookies) != "" {
		r.Header.Del(withoutCookies)
	} else {
		h.addCookies(r, cross)
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(h.cookies, c.Name)
		} else {
			h.cookies[c.Name] = c
		}
	}
	return answer{resp, w.Body.String()}
}

func (h *house) addCookies(r *http.Request, cross bool) {
	for _, c := range h.cookies {
		if cross && c.SameSite != http.SameSiteNoneMode && r.Method != http.MethodGet {
			continue
		}
		r.AddCookie(c)
	}
}

func (h *house) get(target string, opts ...with) answer {
	h.t.Helper()
	return h.do(http.MethodGet, target, nil, opts...)
}

func (h *house) post(target string, form url.Values, opts ...with) answer {
	h.t.Helper()
	opts = append([]with{header("Content-Type", "application/x-www-form-urlencoded"), fromHere}, opts...)
	return h.do(http.MethodPost, target, strings.NewReader(form.Encode()), opts...)
}

// acs posts the identity provider's answer, as its page would.
func (h *house) acs() answer {
	h.t.Helper()
	from := fromElsewhere
	if strings.HasPrefix(h.public, "http://") {
		from = header("Sec-Fetch-Site", "same-site") // peers on other ports of the same name
	}
	return h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}, from)
}

// signIn goes through the SAML provider.
func (h *house) signIn() {
	h.t.Helper()
	if a := h.get("/signin/okta"); a.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("begin: %d %s", a.StatusCode, a.body)
	}
	if a := h.acs(); a.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("acs: %d %s", a.StatusCode, a.body)
	}
}

func (a answer) want(t testing.TB, status int, parts ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d\n%s", a.StatusCode, status, a.body)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			t.Errorf("body lacks %q:\n%s", p, a.body)
		}
	}
	return a
}

// leads is where an answer sends the browser, by a redirect or by a page that
// leads on at once.
func (a answer) leads() string {
	if to, ok := strings.CutPrefix(a.Header.Get("Refresh"), "0; url="); ok {
		return to
	}
	return a.Header.Get("Location")
}

// wantPage wants a page that leads on at once, and so ends a chain of redirects.
func (a answer) wantPage(t testing.TB, want string) {
	t.Helper()
	if a.StatusCode != http.StatusOK || a.leads() != want || !strings.Contains(a.body, `href="`+strings.ReplaceAll(want, "&", "&amp;")+`"`) {
		t.Fatalf("status %d to %q, want a page that leads to %q\n%s", a.StatusCode, a.leads(), want, a.body)
	}
}

func (a answer) wantLocation(t testing.TB, want string) {
	t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != want {
		t.Fatalf("status %d to %q, want 303 to %q\n%s", a.StatusCode, got, want, a.body)
	}
}
