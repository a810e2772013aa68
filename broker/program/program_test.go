package program_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// atOnce calls f from many processes at the same moment and returns what
// worked.
func atOnce(f func() (program.TokenSet, error)) (good []program.TokenSet, bad []error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			set, err := f()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				bad = append(bad, err)
				return
			}
			good = append(good, set)
		})
	}
	wg.Wait()
	return good, bad
}

// TestCodeRace ensures that of many who redeem a code one gets tokens.
func TestCodeRace(t *testing.T) {
	r := brokertest.New(t)
	code, cli := r.Code(t, r.SignIn(t)), r.CLI(t)
	good, bad := atOnce(func() (program.TokenSet, error) {
		return r.Dev.RedeemCode(t.Context(), cli, code, "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	})
	if len(good) != 1 {
		t.Errorf("%d got tokens: %v", len(good), bad)
	}
}

// TestDeviceRace ensures the same for an approved device code.
func TestDeviceRace(t *testing.T) {
	r := brokertest.New(t)
	sess, cli := r.SignIn(t), r.CLI(t)
	d, err := r.Dev.StartDevice(t.Context(), cli, "host", broker.Requirement{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true); err != nil {
		t.Fatal(err)
	}
	good, bad := atOnce(func() (program.TokenSet, error) { return r.Dev.PollDevice(t.Context(), cli, d.DeviceCode) })
	if len(good) != 1 {
		t.Errorf("%d got tokens: %v", len(good), bad)
	}
}

// TestRefreshRace ensures that many processes which share one refresh token all
// get the same next one, and that the session lives.
func TestRefreshRace(t *testing.T) {
	r := brokertest.New(t)
	cli := r.CLI(t)
	first, err := r.Dev.RedeemCode(t.Context(), cli, r.Code(t, r.SignIn(t)), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	good, bad := atOnce(func() (program.TokenSet, error) { return r.Dev.Refresh(t.Context(), cli, first.Refresh) })
	if len(bad) > 0 {
		t.Error(bad)
	}
	for _, set := range good {
		if set.Refresh.Reveal() != good[0].Refresh.Reveal() {
			t.Error("two next tokens")
		}
		if _, err := r.Dev.Authenticate(t.Context(), set.Access); err != nil {
			t.Error(err)
		}
	}
}

// TestProgramUsesCorporateToken ensures that a program's session takes the
// identity provider's token from the browser's session, which keeps it, and
// that it is refreshed there.
func TestProgramUsesCorporateToken(t *testing.T) {
	r := brokertest.New(t)
	r.AWS.Granted[0].Via = broker.ViaIDPToken
	r.IdP.Auth.Tokens = broker.Tokens{IDToken: broker.NewSecret("id-1"), RefreshToken: broker.NewSecret("rt-1"), IDExpires: r.Clock.Add(10 * time.Minute)}
	r.IdP.Next = func(before broker.Tokens) (broker.Tokens, error) {
		return broker.Tokens{IDToken: broker.NewSecret("id-of-" + before.RefreshToken.Reveal()), RefreshToken: broker.NewSecret(before.RefreshToken.Reveal() + "+"), IDExpires: r.Clock.Add(10 * time.Minute)}, nil
	}
	browser := r.SignIn(t)
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, browser), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	assume := func(want string) {
		t.Helper()
		sess, err := r.Dev.Authenticate(t.Context(), set.Access)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Acc.AssumeRole(t.Context(), sess, access.RoleRequest{Assignment: r.AWS.Granted[0].ID}); err != nil {
			t.Fatal(err)
		}
		if got := r.AWS.Assumed[len(r.AWS.Assumed)-1].Assertion.Raw.Reveal(); got != want {
			t.Errorf("STS got %s, want %s", got, want)
		}
	}
	assume("id-1")
	r.Clock = r.Clock.Add(6 * time.Minute)
	assume("id-of-rt-1")
	r.Clock = r.Clock.Add(6 * time.Minute)
	assume("id-of-rt-1+")
	if _, err := r.Out.End(t.Context(), browser, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	sess, err := r.Dev.Authenticate(t.Context(), set.Access)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Acc.AssumeRole(t.Context(), sess, access.RoleRequest{Assignment: r.AWS.Granted[0].ID}); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Error("the token outlives the session that held it:", err)
	}
}

// TestProgramsNeedProof ensures that no program is let in from a sign-in that
// proved less than the settings, the roles or the program want, by either way,
// that the refusal is an event, and that nothing is decided by it.
func TestProgramsNeedProof(t *testing.T) {
	mfa := broker.Requirement{MFA: true}
	tests := []struct {
		name   string
		policy broker.MFAPolicy
		roles  []broker.Requirement
		need   broker.Requirement
		want   broker.Code
		some   bool
	}{
		{name: "nothing asks for it", roles: []broker.Requirement{{}}},
		{name: "the provider's settings", policy: broker.MFAPolicy{Programs: true}, roles: []broker.Requirement{{}}, want: broker.CodeStepUp},
		{name: "own factor is enforced", policy: broker.MFAPolicy{Own: broker.OwnFactorRequired}, roles: []broker.Requirement{{}}, want: broker.CodeStepUp},
		{name: "own factor will be enforced", policy: broker.MFAPolicy{Own: broker.OwnFactorRequired, EnrolUntil: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, roles: []broker.Requirement{{}}},
		{name: "every role", roles: []broker.Requirement{mfa, mfa}, want: broker.CodeStepUp},
		{name: "some roles", roles: []broker.Requirement{{}, mfa}, some: true},
		{name: "no roles"},
		{name: "the program", roles: []broker.Requirement{{}}, need: mfa, want: broker.CodeStepUp},
		{name: "the program asks for a fresh one", roles: []broker.Requirement{{}}, need: broker.Requirement{MaxAuthAge: time.Minute}, want: broker.CodeStepUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.AWS.Granted = nil
			for _, need := range tt.roles {
				r.AWS.Granted = append(r.AWS.Granted, broker.Assignment{Require: need})
			}
			r.Policy = tt.policy
			r.Policy.AuthnContext = [][]string{{"mfa"}}
			r.Limit(t, nil)
			r.IdP.Auth.AuthnContext.ACR = ""
			weak := r.SignIn(t)
			r.Clock = r.Clock.Add(2 * time.Minute)
			some, err := r.Dev.Admits(t.Context(), weak, tt.need)
			brokertest.WantCode(t, "the page", tt.want, err)
			if some != tt.some {
				t.Errorf("some roles stay closed: %t", some)
			}
			d, err := r.Dev.StartDevice(t.Context(), r.CLI(t), "laptop", tt.need)
			if err != nil {
				t.Fatal(err)
			}
			in := program.Authorize{
				ClientID: program.CLIClientID, RedirectURI: "http://127.0.0.1:1/", ResponseType: "code", State: "s",
				Challenge: strings.Repeat("c", 43), ChallengeMethod: "S256", Need: tt.need,
			}
			_, err = r.Dev.Approve(t.Context(), weak, in)
			brokertest.WantCode(t, "authorization code", tt.want, err)
			brokertest.WantCode(t, "device code", tt.want, r.Dev.DecideDevice(t.Context(), weak, d.UserCode, true))
			if e := r.LastEvent(t); e.Action != broker.ActionClient || e.Code != tt.want || (e.Outcome == broker.OutcomeOK) != (tt.want == "") {
				t.Errorf("event %+v", e)
			}
			if tt.want == "" {
				return
			}
			_, err = r.Dev.PollDevice(t.Context(), r.CLI(t), d.DeviceCode)
			brokertest.WantCode(t, "poll", broker.CodePending, err)
			r.IdP.Auth.AuthnContext.ACR, r.IdP.Auth.AuthnInstant, r.IdP.Auth.ReplayID = "mfa", r.Clock, "_2"
			strong := r.SignIn(t)
			if _, err = r.Dev.Approve(t.Context(), strong, in); err != nil {
				t.Error(err)
			}
			if err := r.Dev.DecideDevice(t.Context(), strong, d.UserCode, true); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestProgramHasTheProofOfItsApproval ensures that a role which needs a second
// factor is refused to a program that was let in without one, that the refusal
// says what to do, and that a proof after the approval does not count for it.
func TestProgramHasTheProofOfItsApproval(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	r.EnrolApp(t)
	r.Clock = r.Clock.Add(time.Minute)
	r.SignIn(t)
	r.AWS.Granted[0].Require = broker.Requirement{MFA: true}
	r.AWS.Granted = append(r.AWS.Granted, broker.Assignment{ID: "open", Role: "ReadOnly"}) // else no program is let in at all
	program := func() (*broker.Session, error) {
		set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Rig.Code(t, r.Sess), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
		if err != nil {
			return nil, err
		}
		return r.Dev.Authenticate(t.Context(), set.Access)
	}
	assume := func(s *broker.Session) error {
		_, err := r.Acc.AssumeRole(t.Context(), s, access.RoleRequest{Assignment: r.AWS.Granted[0].ID})
		return err
	}
	weak, err := program()
	if err != nil {
		t.Fatal(err)
	}
	err = assume(weak)
	brokertest.WantCode(t, "let in without proof", broker.CodeStepUp, err)
	if got := broker.Message(err) + " " + broker.Remedy(err); got != "Admin in prod needs a second factor, and your sign-in did not prove one. "+
		"Let the program in anew: rolegate login --mfa, or sign in with it again and use your second factor in the browser first." {
		t.Error(got)
	}
	if e := r.LastEvent(t); e.Action != broker.ActionCredentials || e.Outcome != broker.OutcomeRefused || e.Code != broker.CodeStepUp {
		t.Errorf("event %+v", e)
	}
	p, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Sess = p.Session
	brokertest.WantCode(t, "proven in the browser since", broker.CodeStepUp, assume(weak))
	strong, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if err := assume(strong); err != nil {
		t.Error(err)
	}
	r.AWS.Granted[0].Require = broker.Requirement{MaxAuthAge: 15 * time.Minute}
	r.Clock = r.Clock.Add(20 * time.Minute)
	err = assume(strong)
	brokertest.WantCode(t, "too old", broker.CodeStepUp, err)
	if !strings.Contains(broker.Remedy(err), "rolegate login --max-age 15m0s,") {
		t.Error(broker.Remedy(err))
	}
}

// TestAttackNamesThatPretend ensures that a program can neither register under a
// name that people take for ours or for one that somebody has looked at, nor under
// letters that only look like those.
func TestAttackNamesThatPretend(t *testing.T) {
	r := brokertest.New(t)
	for _, name := range []string{
		"rolegate command line", "Rolegate", "my ROLE-GATE helper", "r0legate", "ro1egate", "rolegаte", "AWS CLI (verified by ACME IT)", "0fficial tool",
		"AWS clients (sso-session rolegate) of rolegate", "", " ", "tool\nverified", "trusted",
	} {
		if c, _, err := r.Dev.RegisterClient(name, nil); broker.CodeOf(err) != broker.CodeInvalid {
			t.Errorf("%q was registered as %q: %v", name, c.Name, err)
		}
	}
	for _, name := range []string{"botocore-client-1764363780", "AWS clients (sso-session rolegate)", "aws-sdk-go v2", "Terraform/1.9", "aws-sso-cli"} {
		c, _, err := r.Dev.RegisterClient(name, []string{"http://127.0.0.1/oauth/callback"})
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		known, err := r.Dev.Client(c.ID)
		if err != nil || !known.Registered {
			t.Errorf("%q: %+v, %v", name, known, err)
		}
	}
	long := strings.Repeat("a", 480)
	if _, _, err := r.Dev.RegisterClient("tool", []string{
		"http://127.0.0.1/" + long, "http://127.0.0.1/b" + long, "http://127.0.0.1/c" + long, "http://127.0.0.1/d" + long,
	}); broker.CodeOf(err) != broker.CodeInvalid {
		t.Errorf("a client that cannot be used was registered: %v", err)
	}
}

// TestAttackStolenAccessToken ensures that an access token which is stolen later
// does not become a refresh token, and that a sign-in is passed on once.
func TestAttackStolenAccessToken(t *testing.T) {
	r := brokertest.New(t)
	alice := r.SignIn(t)
	register := func() program.Client {
		t.Helper()
		c, _, err := r.Dev.RegisterClient("tool", nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	in := func() program.TokenSet {
		t.Helper()
		set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, alice), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	own := in()
	if _, err := r.Dev.Exchange(t.Context(), r.CLI(t), own.Access, register()); err != nil {
		t.Error("right after the sign-in:", err)
	}
	_, err := r.Dev.Exchange(t.Context(), r.CLI(t), own.Access, register())
	brokertest.WantCode(t, "a second time", broker.CodeDenied, err)
	late := in()
	r.Clock = r.Clock.Add(program.ExchangeWindow + time.Second)
	_, err = r.Dev.Exchange(t.Context(), r.CLI(t), late.Access, register())
	brokertest.WantCode(t, "later", broker.CodeDenied, err)
}
