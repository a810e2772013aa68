package access_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestAssumeRole ensures that credentials come with an event that joins
// CloudTrail by all six values, and that the request is built from the rules
// and not from the caller.
func TestAssumeRole(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	rs, err := r.Acc.AssumeRole(t.Context(), s, access.RoleRequest{Assignment: r.AWS.Granted[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	if rs.Credentials.AccessKeyID != "ASIAEXAMPLE" || rs.SessionName != "alice@example.com" {
		t.Errorf("role session %+v", rs)
	}
	if a := r.AWS.Asserted[0]; a.SessionName != s.SessionName || a.SourceIdentity != "alice" || a.Duration != time.Hour {
		t.Errorf("asserted %+v", a)
	}
	d := r.LastEvent(t).Detail
	for _, key := range []string{"assertion_id", "sts_request_id", "access_key_id", "assumed_role_arn", "assumed_role_id", "name_qualifier", "name_id", "source_identity"} {
		if d[key] == "" {
			t.Errorf("event lacks %s", key)
		}
	}
	if all := fmt.Sprint(r.Store.AllEvents()); strings.Contains(all, "planted") {
		t.Errorf("a secret is in an event: %s", all)
	}
}

// TestAccessRefusals ensures that nothing is minted or released for what must
// be refused, and that each refusal is an event.
func TestAccessRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *brokertest.Rig, s *broker.Session, in *access.RoleRequest)
		code   broker.Code
		minted int
	}{
		{"tampered assignment", func(_ *brokertest.Rig, _ *broker.Session, in *access.RoleRequest) { in.Assignment = "abc" }, broker.CodeDenied, 0},
		{"role ARN instead of an id", func(r *brokertest.Rig, _ *broker.Session, in *access.RoleRequest) {
			in.Assignment = broker.AssignmentID(r.AWS.Granted[0].RoleARN)
		}, broker.CodeDenied, 0},
		{"role withdrawn since the page was shown", func(r *brokertest.Rig, _ *broker.Session, _ *access.RoleRequest) { r.AWS.Granted = nil }, broker.CodeDenied, 0},
		{"too long", func(_ *brokertest.Rig, _ *broker.Session, in *access.RoleRequest) { in.Duration = 2 * time.Hour }, broker.CodeInvalid, 0},
		{"too short", func(_ *brokertest.Rig, _ *broker.Session, in *access.RoleRequest) { in.Duration = time.Minute }, broker.CodeInvalid, 0},
		{"negative", func(_ *brokertest.Rig, _ *broker.Session, in *access.RoleRequest) { in.Duration = -time.Hour }, broker.CodeInvalid, 0},
		{"needs MFA", func(r *brokertest.Rig, s *broker.Session, _ *access.RoleRequest) {
			s.Identity.MFA = false
			r.AWS.Granted[0].Require.MFA = true
		}, broker.CodeStepUp, 0},
		{"needs a fresh sign-in", func(r *brokertest.Rig, s *broker.Session, _ *access.RoleRequest) {
			s.Identity.AuthnInstant = r.Clock.Add(-16 * time.Minute)
			r.AWS.Granted[0].Require.MaxAuthAge = 15 * time.Minute
		}, broker.CodeStepUp, 0},
		{"age unknown", func(r *brokertest.Rig, s *broker.Session, _ *access.RoleRequest) {
			s.Identity.AuthnInstant = time.Time{}
			r.AWS.Granted[0].Require.MaxAuthAge = 15 * time.Minute
		}, broker.CodeStepUp, 0},
		{"STS refuses", func(r *brokertest.Rig, _ *broker.Session, _ *access.RoleRequest) {
			r.AWS.AssumeErr = broker.Errorf(broker.CodeDenied, "AWS refused.")
		}, broker.CodeDenied, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			s := r.SignIn(t)
			in := access.RoleRequest{Assignment: r.AWS.Granted[0].ID}
			tt.change(r, s, &in)
			rs, err := r.Acc.AssumeRole(t.Context(), s, in)
			if broker.CodeOf(err) != tt.code {
				t.Fatalf("error %v, want code %q", err, tt.code)
			}
			if rs.Credentials.AccessKeyID != "" || len(r.AWS.Asserted) != tt.minted {
				t.Errorf("released %q, minted %d", rs.Credentials.AccessKeyID, len(r.AWS.Asserted))
			}
			if e := r.LastEvent(t); e.Action != broker.ActionCredentials || e.Outcome != broker.OutcomeRefused || e.Code != tt.code {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// TestNoReleaseWithoutEvent ensures that credentials, links and role lists stay
// inside when their event cannot be recorded.
func TestNoReleaseWithoutEvent(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	r.Store.LoseEvents(true)
	id := r.AWS.Granted[0].ID
	if rs, err := r.Acc.AssumeRole(t.Context(), s, access.RoleRequest{Assignment: id}); broker.CodeOf(err) != broker.CodeUnavailable || rs.Credentials.AccessKeyID != "" {
		t.Errorf("AssumeRole: %v %v", rs, err)
	}
	if len(r.AWS.Assumed) != 0 {
		t.Error("STS was called without an intent")
	}
	if link, err := r.Acc.ConsoleURL(t.Context(), s, access.ConsoleRequest{Assignment: id}); broker.CodeOf(err) != broker.CodeUnavailable || !link.IsZero() {
		t.Errorf("ConsoleURL: %v", err)
	}
	if as, err := r.Acc.Assignments(t.Context(), s); broker.CodeOf(err) != broker.CodeUnavailable || as != nil {
		t.Errorf("Assignments: %v", err)
	}
}

func TestConsoleURL(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	id := r.AWS.Granted[0].ID
	link, err := r.Acc.ConsoleURL(t.Context(), s, access.ConsoleRequest{Assignment: id, Destination: broker.Destination{Path: "ec2/home", Region: "eu-west-1"}})
	if err != nil || !strings.Contains(link.Reveal(), "SigninToken") {
		t.Fatalf("%v %v", link.Reveal(), err)
	}
	if e := r.LastEvent(t); e.Action != broker.ActionConsole || e.Detail["destination"] != "ec2/home" {
		t.Errorf("event %+v", e)
	}
	_, err = r.Acc.ConsoleURL(t.Context(), s, access.ConsoleRequest{Assignment: id, Destination: broker.Destination{Path: "evil"}})
	if e := r.LastEvent(t); broker.CodeOf(err) != broker.CodeInvalid || e.Outcome != broker.OutcomeRefused || e.Detail["sts_request_id"] != "req-1" {
		t.Errorf("bad destination: %v, event %+v", err, e)
	}
}

// TestSessionEnds ensures that idle and absolute limits and sign-out end a
// session, and that use keeps it alive up to the absolute limit.
func TestSessionEnds(t *testing.T) {
	r := brokertest.New(t)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	alive := func() bool {
		_, err := r.Acc.Authenticate(t.Context(), out.Token)
		if err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Fatal(err)
		}
		return err == nil
	}
	for i := range 19 {
		r.Clock = r.Clock.Add(30 * time.Minute)
		if !alive() {
			t.Fatalf("ended after %d half hours of use", i+1)
		}
	}
	r.Clock = r.Clock.Add(30 * time.Minute)
	if alive() {
		t.Error("outlived the absolute limit")
	}

	r = brokertest.New(t)
	out, err = r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Clock = r.Clock.Add(time.Hour)
	if alive() {
		t.Error("outlived the idle limit")
	}

	r = brokertest.New(t)
	out, err = r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Out.End(t.Context(), out.Session, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	if alive() {
		t.Error("outlived its sign-out")
	}
}

// TestIDPToken ensures that the corporate ID token is used while fresh,
// refreshed once when stale, and otherwise asks for a new sign-in; and that the
// store never sees it in the clear.
func TestIDPToken(t *testing.T) {
	r := brokertest.New(t)
	r.AWS.Granted[0].Via = broker.ViaIDPToken
	r.IdP.Auth.Tokens = broker.Tokens{IDToken: broker.NewSecret("planted-id-token"), RefreshToken: broker.NewSecret("planted-refresh"), IDExpires: r.Clock.Add(time.Hour)}
	r.IdP.Next = func(broker.Tokens) (broker.Tokens, error) {
		return broker.Tokens{IDToken: broker.NewSecret("planted-second"), RefreshToken: broker.NewSecret("r2"), IDExpires: r.Clock.Add(time.Hour)}, nil
	}
	s := r.SignIn(t)
	in := access.RoleRequest{Assignment: r.AWS.Granted[0].ID}
	if _, err := r.Acc.AssumeRole(t.Context(), s, in); err != nil {
		t.Fatal(err)
	}
	if got := r.AWS.Assumed[0].Assertion.Raw.Reveal(); got != "planted-id-token" || len(r.AWS.Asserted) != 0 {
		t.Errorf("used %q, minted %d", got, len(r.AWS.Asserted))
	}
	r.Clock = r.Clock.Add(56 * time.Minute)
	for range 2 {
		if _, err := r.Acc.AssumeRole(t.Context(), s, in); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.AWS.Assumed[2].Assertion.Raw.Reveal(); got != "planted-second" || r.IdP.N != 1 {
		t.Errorf("used %q after %d refreshes", got, r.IdP.N)
	}
	for _, row := range r.Store.Sessions() {
		if strings.Contains(string(row.Body), "planted") {
			t.Error("a token is in the store in the clear")
		}
	}
	r.Clock = r.Clock.Add(58 * time.Minute)
	r.IdP.Next = func(broker.Tokens) (broker.Tokens, error) {
		return broker.Tokens{}, broker.Errorf(broker.CodeUnauthenticated, "no more")
	}
	if _, err := r.Acc.AssumeRole(t.Context(), s, in); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("error %v", err)
	}
}

// TestRefreshDoesNotBringBackASession ensures that a sign-out during a token
// refresh stands.
func TestRefreshDoesNotBringBackASession(t *testing.T) {
	r := brokertest.New(t)
	r.AWS.Granted[0].Via = broker.ViaIDPToken
	r.IdP.Auth.Tokens = broker.Tokens{IDToken: broker.NewSecret("t"), RefreshToken: broker.NewSecret("r"), IDExpires: r.Clock.Add(time.Minute)}
	s := r.SignIn(t)
	r.IdP.Next = func(broker.Tokens) (broker.Tokens, error) {
		if _, err := r.Out.End(t.Context(), s, broker.Secret{}); err != nil {
			t.Error(err)
		}
		return broker.Tokens{IDToken: broker.NewSecret("t2"), IDExpires: r.Clock.Add(time.Hour)}, nil
	}
	_, err := r.Acc.AssumeRole(t.Context(), s, access.RoleRequest{Assignment: r.AWS.Granted[0].ID})
	if broker.CodeOf(err) != broker.CodeUnauthenticated || len(r.Store.Sessions()) != 0 || len(r.AWS.Assumed) != 0 {
		t.Errorf("error %v, %d sessions, %d calls", err, len(r.Store.Sessions()), len(r.AWS.Assumed))
	}
}

// TestStolenTokensDoNotMove ensures that sealed tokens copied to another
// session row do not open.
func TestStolenTokensDoNotMove(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Auth.Tokens = broker.Tokens{IDToken: broker.NewSecret("t"), IDExpires: r.Clock.Add(time.Hour)}
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	row := r.Store.Sessions()[out.Session.Key]
	other := broker.NewSecret("attacker")
	row.Key = other.Hash()
	r.Store.SetSession(row)
	if _, err := r.Acc.Authenticate(t.Context(), other); err == nil {
		t.Error("a copied row opened")
	}
}

func TestFindAssignment(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	for _, tt := range []struct{ account, role string }{{"111122223333", "Admin"}, {"PROD", "admin"}} {
		if _, err := r.Acc.FindAssignment(t.Context(), s, broker.ActionConsole, tt.account, tt.role); err != nil {
			t.Errorf("%v: %v", tt, err)
		}
	}
	_, err := r.Acc.FindAssignment(t.Context(), s, broker.ActionConsole, "prod", "Root")
	if e := r.LastEvent(t); broker.CodeOf(err) != broker.CodeDenied || e.Outcome != broker.OutcomeRefused || e.Target != "prod/Root" || e.Detail["role"] != "" {
		t.Errorf("error %v, event %+v", err, e)
	}
}

// TestFindAssignmentSaysWhatWouldGive ensures that who lacks a role is told which
// rule and which group would give it, and nothing of roles that do not exist.
func TestFindAssignmentSaysWhatWouldGive(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	r.AWS.Lacks = map[string][]broker.RuleResult{
		"prod/Root": {{Rule: "roots", Missing: []string{"aws-root", "wheel"}}, {Rule: "on call", Reason: "The condition is false."}},
	}
	for _, tt := range []struct{ role, want string }{
		{"Root", `The rule "roots" gives it to members of aws-root or wheel; the rule "on call" would give it, but does not hold for you now. Ask your administrator; groups are read when you sign in.`},
		{"Ghost", "Ask your administrator for access, or choose another role in the portal."},
	} {
		_, err := r.Acc.FindAssignment(t.Context(), s, broker.ActionConsole, "prod", tt.role)
		if got := broker.Remedy(err); broker.CodeOf(err) != broker.CodeDenied || got != tt.want {
			t.Errorf("%s: %v: %q, want %q", tt.role, err, got, tt.want)
		}
	}
}
