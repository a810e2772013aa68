package broker_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// memory is every store of the broker in one map each, with a switch to fail.
type memory struct {
	mu       sync.Mutex
	now      func() time.Time
	state    map[string][]byte
	expires  map[string]time.Time
	sessions map[string]broker.SessionRow
	names    map[string]broker.Subject
	ids      map[broker.Subject]broker.IdentityRow
	events   []broker.Event
	factors  []broker.FactorRow
	down     bool // everything is unavailable
	revoked  map[broker.Subject]time.Time
	noEvents bool // only the recorder is unavailable
	replaced map[string]string
	before   map[string]func() // done once, in the middle of a use case, before "replace" or "delete"
}

func (m *memory) pause(call string) {
	if f := m.before[call]; f != nil {
		m.before = nil
		f()
	}
}

var errDown = broker.Errorf(broker.CodeUnavailable, "The store does not answer.")

func (m *memory) check() error {
	if m.down {
		return errDown
	}
	return nil
}

func (m *memory) Put(_ context.Context, key string, v []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state[key], m.expires[key] = v, m.now().Add(ttl)
	return m.check()
}

func (m *memory) PutIfAbsent(_ context.Context, key string, v []byte, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live(key) {
		return false, m.check()
	}
	m.state[key], m.expires[key] = v, m.now().Add(ttl)
	return true, m.check()
}

func (m *memory) live(key string) bool {
	_, ok := m.state[key]
	return ok && m.now().Before(m.expires[key])
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return nil, errDown
	}
	if !m.live(key) {
		return nil, broker.Errorf(broker.CodeNotFound, "no %s", key)
	}
	return m.state[key], nil
}

func (m *memory) Take(ctx context.Context, key string) ([]byte, error) {
	v, err := m.Get(ctx, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.state, key)
	return v, err
}

func (m *memory) Swap(_ context.Context, key string, before, after []byte, _ time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !bytes.Equal(m.state[key], before) {
		return false, nil
	}
	m.state[key] = after
	return true, nil
}

func (m *memory) SaveSession(_ context.Context, s broker.SessionRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.Key] = s
	return m.check()
}

func (m *memory) Session(_ context.Context, key string) (broker.SessionRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
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

func (m *memory) TouchSession(_ context.Context, key string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[key]
	s.LastUsedAt = at
	m.sessions[key] = s
	return m.check()
}

func (m *memory) DeleteSession(_ context.Context, key string) error {
	m.pause("delete")
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, key)
	delete(m.sessions, m.replaced[key])
	return m.check()
}

func (m *memory) ReplaceSession(_ context.Context, key string, next broker.SessionRow) error {
	m.pause("replace")
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[key]
	if !ok {
		return broker.Errorf(broker.CodeNotFound, "no session")
	}
	if s.LastUsedAt.After(next.LastUsedAt) {
		next.LastUsedAt = s.LastUsedAt
	}
	delete(m.sessions, key)
	m.sessions[next.Key] = next
	if key != next.Key {
		m.replaced[key] = next.Key
	}
	return m.check()
}

func (m *memory) ClaimName(_ context.Context, kind broker.NameKind, s broker.Subject, candidates ...string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range candidates {
		key := string(kind) + "/" + strings.ToLower(c)
		if holder, taken := m.names[key]; !taken || holder == s {
			m.names[key] = s
			return c, nil
		}
	}
	return "", broker.Errorf(broker.CodeConflict, "all names are taken")
}

func (m *memory) SaveIdentity(_ context.Context, r broker.IdentityRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids[r.Subject] = r
	return m.check()
}

func (m *memory) FindIdentities(_ context.Context, user string) ([]broker.IdentityRow, error) {
	var out []broker.IdentityRow
	for _, r := range m.ids {
		if user == "" || user == r.Username || user == r.Email || user == r.Subject.ID {
			out = append(out, r)
		}
	}
	return out, m.check()
}

func (m *memory) Record(_ context.Context, e broker.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || m.noEvents {
		return errDown
	}
	m.events = append(m.events, e)
	return nil
}

// xorSealer is a reversible stand-in for AES-GCM that refuses other additional
// data and changed values, and hides the plaintext.
type xorSealer struct{}

func (xorSealer) Seal(plain []byte, additional string) ([]byte, error) {
	out := append([]byte(additional+"\x00"), plain...)
	sum := sha256.Sum256(out)
	out = append(sum[:], out...)
	for i := range out {
		out[i] ^= 0x5a
	}
	return out, nil
}

func (xorSealer) Open(sealed []byte, additional string) ([]byte, error) {
	out := bytes.Clone(sealed)
	for i := range out {
		out[i] ^= 0x5a
	}
	if len(out) < sha256.Size || sha256.Sum256(out[sha256.Size:]) != [sha256.Size]byte(out[:sha256.Size]) {
		return nil, errors.New("changed")
	}
	rest, ok := bytes.CutPrefix(out[sha256.Size:], []byte(additional+"\x00"))
	if !ok {
		return nil, errors.New("sealed under other data")
	}
	return rest, nil
}

// idp answers every sign-in with auth or err.
type idp struct {
	auth broker.Authentication
	err  error
	last broker.AuthRequest
	next func(broker.Tokens) (broker.Tokens, error)
	n    int

	unasked bool // takes answers to no request
}

func (p *idp) AcceptsUnsolicited() bool { return p.unasked }

func (p *idp) FinishUnsolicited(ctx context.Context, form url.Values) (broker.Authentication, error) {
	broker.TraceFrom(ctx).Pass("idp.unsolicited", "fake")
	return p.auth, p.err
}

func (p *idp) Begin(_ context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	p.last = r
	return broker.Challenge{URL: "https://idp.example/?state=" + r.State}, nil
}

func (p *idp) Finish(ctx context.Context, _ broker.AuthRequest, _ url.Values) (broker.Authentication, error) {
	broker.TraceFrom(ctx).Pass("idp.verified", "fake")
	return p.auth, p.err
}

func (p *idp) RefreshTokens(_ context.Context, _ broker.Subject, t broker.Tokens) (broker.Tokens, error) {
	p.n++
	return p.next(t)
}

// aws is mapper, asserter and assumer in one.
type aws struct {
	assignments []broker.Assignment
	missing     map[string][]broker.RuleResult
	asserted    []broker.AssertionRequest
	assumed     []broker.AssumeRoleRequest
	assumeErr   error
	admins      string // the group of administrators
	now         func() time.Time
}

func (a *aws) Identity(_ context.Context, auth broker.Authentication) (broker.Identity, error) {
	return broker.Identity{
		Subject: auth.Subject, Username: auth.Claims.First("username"), Email: auth.Claims.First("email"),
		Groups: auth.Claims["groups"], Claims: auth.Claims, AuthnContext: auth.AuthnContext, AuthnInstant: auth.AuthnInstant,
		MFA: auth.AuthnContext.ACR == "mfa", NotOnOrAfter: auth.NotOnOrAfter,
		SessionName: auth.Claims.First("email"), SourceIdentity: auth.Claims.First("username"),
	}, nil
}

func (a *aws) Assignments(context.Context, broker.Identity) ([]broker.Assignment, error) {
	return a.assignments, nil
}

func (a *aws) Explain(context.Context, broker.Identity) (broker.Explanation, error) {
	return broker.Explanation{Assignments: a.assignments}, nil
}

func (a *aws) Missing(_ context.Context, _ broker.Identity, account, role string) ([]broker.RuleResult, error) {
	return a.missing[account+"/"+role], nil
}

func (a *aws) Assert(_ context.Context, r broker.AssertionRequest) (broker.Assertion, error) {
	a.asserted = append(a.asserted, r)
	return broker.Assertion{Kind: r.Via, Raw: broker.NewSecret("raw-assertion"), ID: "_a1", Subject: r.Subject.Opaque()}, nil
}

func (a *aws) AssumeRole(_ context.Context, r broker.AssumeRoleRequest) (broker.RoleSession, error) {
	a.assumed = append(a.assumed, r)
	if a.assumeErr != nil {
		return broker.RoleSession{}, a.assumeErr
	}
	return broker.RoleSession{
		Credentials: broker.Credentials{
			AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: broker.NewSecret("planted-secret-key"),
			SessionToken: broker.NewSecret("planted-session-token"), Expiration: a.now().Add(r.Duration),
		},
		AssumedRoleARN: "arn:aws:sts::111122223333:assumed-role/X/" + r.SessionName, AssumedRoleID: "AROA:" + r.SessionName,
		STSRequestID: "req-1", NameQualifier: "nq", SourceIdentity: "si",
	}, nil
}

func (a *aws) SignInURL(_ context.Context, r broker.SignInURLRequest) (broker.Secret, error) {
	if r.Destination.Path == "evil" {
		return broker.Secret{}, broker.Errorf(broker.CodeInvalid, "This is no console page.")
	}
	return broker.NewSecret("https://signin.example/?SigninToken=planted-link"), nil
}

// rig is a whole broker on fakes.
type rig struct {
	clock time.Time
	mem   *memory
	idp   *idp
	aws   *aws
	in    *broker.SignIn
	acc   *broker.Access
	out   *broker.Logout
	bye   *leaver

	limits broker.SessionLimits
	people *broker.Sessions
	admin  *broker.Admin
	dev    *broker.Devices
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{clock: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	r.mem = &memory{
		now: func() time.Time { return r.clock }, state: map[string][]byte{}, expires: map[string]time.Time{}, sessions: map[string]broker.SessionRow{}, replaced: map[string]string{},
		names: map[string]broker.Subject{}, ids: map[broker.Subject]broker.IdentityRow{},
	}
	r.idp = &idp{auth: broker.Authentication{
		Subject:      broker.Subject{Provider: "okta", ID: "00u1"},
		Claims:       broker.Claims{"username": {"alice"}, "email": {"alice@example.com"}, "groups": {"g"}},
		AuthnContext: broker.AuthnContext{ACR: "mfa"}, AuthnInstant: r.clock,
		ReplayID: "_assertion1", ReplayExpires: r.clock.Add(5 * time.Minute),
	}}
	r.aws = &aws{now: r.mem.now, assignments: []broker.Assignment{{
		ID: broker.NewAssignmentID("111122223333", "Admin", broker.ViaSAML), Role: "Admin", Via: broker.ViaSAML,
		Account: broker.Account{ID: "111122223333", Name: "prod"}, RoleARN: "arn:aws:iam::111122223333:role/Admin",
		MaxDuration: time.Hour, Rules: []string{"admins"},
	}}}
	r.bye = &leaver{idp: r.idp}
	r.limit(nil)
	r.dev = broker.NewDevices(broker.DevicesConfig{State: r.mem, Sessions: r.mem, Events: r.mem, Sealer: xorSealer{}, Now: r.mem.now})
	r.out = broker.NewLogout(broker.LogoutConfig{
		Providers: r.in.Providers(), State: r.mem, Sessions: r.mem, Finder: r.mem, Events: r.mem, Sealer: xorSealer{}, Now: r.mem.now,
	})
	return r
}

func (r *rig) begin(t *testing.T) broker.Begun {
	t.Helper()
	b, err := r.in.Begin(t.Context(), broker.BeginSignIn{Provider: "okta", ReturnTo: "/go?account=prod&role=Admin"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *rig) finish(t *testing.T, b broker.Begun) (broker.SignedIn, error) {
	t.Helper()
	out, _, err := r.in.Finish(t.Context(), broker.FinishSignIn{Provider: "okta", State: r.idp.last.State, Binding: b.Binding})
	return out, err
}

func (r *rig) signIn(t *testing.T) *broker.Session {
	t.Helper()
	out, err := r.finish(t, r.begin(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.acc.Authenticate(t.Context(), out.Token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) lastEvent(t *testing.T) broker.Event {
	t.Helper()
	if len(r.mem.events) == 0 {
		t.Fatal("no event was recorded")
	}
	return r.mem.events[len(r.mem.events)-1]
}

// limit makes the use cases with limits; nil: none.
func (r *rig) limit(limits map[broker.LimitKind]broker.Limit) {
	now, l := r.mem.now, r.limiter(limits)
	r.in = broker.NewSignIn(broker.SignInConfig{
		Providers: []broker.Provider{
			{ID: "okta", Name: "Okta", EmailDomains: []string{"example.com"}, IdP: r.bye,
				MFA: broker.MFAPolicy{AuthnContext: [][]string{{"urn:mfa"}}}},
			{ID: "other", Name: "Other", IdP: r.idp},
			{ID: "third", Name: "Third", IdP: r.bye},
		},
		Mapper: r.aws, State: r.mem, Sessions: r.mem, Names: r.mem, Identities: r.mem, Events: r.mem, Sealer: xorSealer{}, Limiter: l, Limits: r.limits, Now: now,
	})
	r.acc = broker.NewAccess(broker.AccessConfig{
		Sessions: r.mem, Roles: r.aws, Asserter: r.aws, Assumer: r.aws, Identities: r.mem, Events: r.mem, Sealer: xorSealer{},
		Refreshers: map[broker.ProviderID]broker.TokenRefresher{"okta": r.idp}, PortalURL: "https://sso.example.com",
		Limiter: l, Limits: r.limits, Admins: r.aws, Now: now,
	})
	people := broker.NewSessions(broker.SessionsConfig{
		Store: r.mem, List: r.mem, Revoker: r.mem, Events: r.mem, Sealer: xorSealer{}, Limits: r.limits, Now: now,
	})
	r.people = people
	r.admin = broker.NewAdmin(broker.AdminConfig{
		Judge: r.aws, Sessions: people, Log: r.mem, Events: r.mem, Identities: r.mem, Roles: r.aws,
		Traces: broker.Traces{State: r.mem, Now: now}, Sealer: xorSealer{}, Now: now,
	})
}

func (m *memory) FindSessions(_ context.Context, f broker.SessionFilter) ([]broker.SessionRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []broker.SessionRow
	for _, s := range m.sessions {
		if s.Subject.Provider == f.Provider && (f.SubjectID == "" || f.SubjectID == s.Subject.ID) && (f.NameID == "" || f.NameID == s.NameID) &&
			(f.SessionIndex == "" || f.SessionIndex == s.SessionIndex) && s.CreatedAt.After(m.revoked[s.Subject]) {
			out = append(out, s)
		}
	}
	return out, m.check()
}

func (m *memory) ListSessions(context.Context, broker.SessionPage) ([]broker.SessionRow, error) {
	return nil, m.check()
}

func (m *memory) CountSessions(context.Context) (int, error) { return len(m.sessions), m.check() }

func (m *memory) RevokeBefore(_ context.Context, s broker.Subject, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revoked == nil {
		m.revoked = map[broker.Subject]time.Time{}
	}
	m.revoked[s] = at
	return m.check()
}

func (m *memory) QueryEvents(context.Context, broker.EventQuery) ([]broker.EventRow, error) {
	return nil, m.check()
}

// IsAdmin looks at the groups anew each time.
func (a *aws) IsAdmin(_ context.Context, id broker.Identity) (bool, error) {
	return a.admins != "" && slices.Contains(id.Groups, a.admins), nil
}
