package program_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// challenge is that of the rig's verifier.
var challenge = func() string {
	sum := sha256.Sum256([]byte(brokertest.Verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}()

// redeem takes the tokens for a code of the rolegate program.
func redeem(t *testing.T, r *brokertest.Rig, code broker.Secret) (program.TokenSet, error) {
	t.Helper()
	return r.Dev.RedeemCode(t.Context(), r.CLI(t), code, home, broker.NewSecret(brokertest.Verifier))
}

// open lets the rolegate program in and returns its tokens and its session.
func open(t *testing.T, r *brokertest.Rig) (program.TokenSet, *broker.Session) {
	t.Helper()
	r.IdP.Auth.ReplayID, r.IdP.Auth.ReplayExpires = "for the program at "+r.Clock.String(), r.Clock.Add(time.Hour)
	set, err := redeem(t, r, r.Code(t, r.SignIn(t)))
	if err != nil {
		t.Fatal(err)
	}
	sess, err := r.Dev.Authenticate(t.Context(), set.Access)
	if err != nil {
		t.Fatal(err)
	}
	return set, sess
}

// ended fails the test if the program's access still works.
func ended(t *testing.T, r *brokertest.Rig, set program.TokenSet) {
	t.Helper()
	_, err := r.Dev.Authenticate(t.Context(), set.Access)
	brokertest.WantCode(t, "the access token", broker.CodeUnauthenticated, err)
	_, err = r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "the refresh token", broker.CodeUnauthenticated, err)
}

// TestAuthorizeRequests holds what a request needs: each row is wrong in one
// thing, and no code comes of it.
func TestAuthorizeRequests(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	for _, tt := range []struct {
		name   string
		change func(*program.Authorize)
		want   broker.Code
	}{
		{"a state of 512 characters", func(a *program.Authorize) { a.State = strings.Repeat("s", 512) }, ""},
		{"a state of 513 characters", func(a *program.Authorize) { a.State = strings.Repeat("s", 513) }, broker.CodeInvalid},
		{"no state", func(a *program.Authorize) { a.State = "" }, broker.CodeInvalid},
		{"an implicit grant", func(a *program.Authorize) { a.ResponseType = "token" }, broker.CodeInvalid},
		{"a plain challenge", func(a *program.Authorize) { a.ChallengeMethod = "plain" }, broker.CodeInvalid},
		{"no challenge", func(a *program.Authorize) { a.Challenge = "" }, broker.CodeInvalid},
		{"a challenge of 44 letters", func(a *program.Authorize) { a.Challenge += "c" }, broker.CodeInvalid},
		{"an address elsewhere", func(a *program.Authorize) { a.RedirectURI = "https://evil.example/" }, broker.CodeInvalid},
		{"an unknown program", func(a *program.Authorize) { a.ClientID = "nobody" }, broker.CodeUnauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := program.Authorize{
				ClientID: program.CLIClientID, RedirectURI: home, ResponseType: "code", State: "s",
				Challenge: strings.Repeat("c", 43), ChallengeMethod: "S256",
			}
			tt.change(&in)
			events := len(r.Store.AllEvents())
			code, err := r.Dev.Approve(t.Context(), sess, in)
			brokertest.WantCode(t, "approval", tt.want, err)
			if tt.want != "" && (!code.IsZero() || len(r.Store.AllEvents()) != events) {
				t.Errorf("code %v, events %+v", code, r.Store.AllEvents()[events:])
			}
		})
	}
	r.Store.LoseEvents(true)
	code, err := r.Dev.Approve(t.Context(), sess, program.Authorize{
		ClientID: program.CLIClientID, RedirectURI: home, ResponseType: "code", State: "s", Challenge: challenge, ChallengeMethod: "S256",
	})
	brokertest.WantCode(t, "an approval without its event", broker.CodeUnavailable, err)
	if !code.IsZero() {
		t.Error("there is a code")
	}
	err = r.Dev.Deny(t.Context(), sess, program.Authorize{ClientID: "nobody"})
	brokertest.WantCode(t, "a refusal to an unknown program", broker.CodeUnauthenticated, err)
	err = r.Dev.Deny(t.Context(), sess, program.Authorize{ClientID: program.CLIClientID, RedirectURI: home})
	brokertest.WantCode(t, "a refusal without its event", broker.CodeUnavailable, err)
}

// TestAttackStolenCode ensures that a code is worth nothing but to the program
// that asked for it, and that a second use ends what the first one opened.
func TestAttackStolenCode(t *testing.T) {
	r := brokertest.New(t)
	sess, cli := r.SignIn(t), r.CLI(t)
	other, _ := register(t, r)
	short := sha256.Sum256([]byte("short"))
	for _, tt := range []struct {
		name      string
		client    program.Client
		redirect  string
		challenge string // "": that of the verifier
		verifier  string
		after     time.Duration
	}{
		{name: "another program", client: other, redirect: home, verifier: brokertest.Verifier},
		{name: "another address", client: cli, redirect: home + "x", verifier: brokertest.Verifier},
		{name: "another verifier", client: cli, redirect: home, verifier: strings.Repeat("v", 43)},
		{name: "no verifier", client: cli, redirect: home},
		{name: "a verifier that can be guessed", client: cli, redirect: home, challenge: base64.RawURLEncoding.EncodeToString(short[:]), verifier: "short"},
		{name: "too late", client: cli, redirect: home, verifier: brokertest.Verifier, after: program.CodeTTL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := r.Code(t, sess)
			if tt.challenge != "" {
				var err error
				if code, err = r.Dev.Approve(t.Context(), sess, program.Authorize{
					ClientID: program.CLIClientID, RedirectURI: home, ResponseType: "code", State: "s", Challenge: tt.challenge, ChallengeMethod: "S256",
				}); err != nil {
					t.Fatal(err)
				}
			}
			r.Clock = r.Clock.Add(tt.after)
			set, err := r.Dev.RedeemCode(t.Context(), tt.client, code, tt.redirect, broker.NewSecret(tt.verifier))
			brokertest.WantCode(t, "redeeming", broker.CodeUnauthenticated, err)
			if !set.Access.IsZero() || !set.Refresh.IsZero() {
				t.Error("there are tokens")
			}
			_, err = redeem(t, r, code)
			brokertest.WantCode(t, "after a wrong try", broker.CodeUnauthenticated, err)
		})
	}
	code := r.Code(t, sess)
	set, err := redeem(t, r, code)
	if err != nil {
		t.Fatal(err)
	}
	_, err = redeem(t, r, code)
	brokertest.WantCode(t, "a second use", broker.CodeUnauthenticated, err)
	ended(t, r, set)
	_, err = redeem(t, r, code)
	brokertest.WantCode(t, "a third use", broker.CodeUnauthenticated, err)
}

// TestTokensNeedTheStore ensures that what could not be kept is not given, and
// that an end that could not be made is not reported as one.
func TestTokensNeedTheStore(t *testing.T) {
	for _, tt := range []struct {
		name      string
		call, key string // of the state, that fails
		do        func(t *testing.T, r *brokertest.Rig, set program.TokenSet, code broker.Secret) error
	}{
		{"approval", "put", "code/", func(t *testing.T, r *brokertest.Rig, _ program.TokenSet, _ broker.Secret) error {
			_, err := r.Dev.Approve(t.Context(), r.SignIn(t), program.Authorize{
				ClientID: program.CLIClientID, RedirectURI: home, ResponseType: "code", State: "s", Challenge: strings.Repeat("c", 43), ChallengeMethod: "S256",
			})
			return err
		}},
		{"redeeming, the code", "take", "code/", func(t *testing.T, r *brokertest.Rig, _ program.TokenSet, code broker.Secret) error {
			_, err := redeem(t, r, code)
			return err
		}},
		{"redeeming, the used code", "put", "code/", func(t *testing.T, r *brokertest.Rig, _ program.TokenSet, code broker.Secret) error {
			_, err := redeem(t, r, code)
			return err
		}},
		{"redeeming, the access token", "put", "token/", func(t *testing.T, r *brokertest.Rig, _ program.TokenSet, code broker.Secret) error {
			_, err := redeem(t, r, code)
			return err
		}},
		{"a stolen code, why it ended", "put", "ended/", func(t *testing.T, r *brokertest.Rig, _ program.TokenSet, code broker.Secret) error {
			if _, err := redeem(t, r, code); err != nil {
				t.Fatal(err)
			}
			_, err := redeem(t, r, code)
			return err
		}},
		{"refresh, the access token", "put", "token/", func(t *testing.T, r *brokertest.Rig, set program.TokenSet, _ broker.Secret) error {
			_, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
			return err
		}},
		{"refresh, the next token", "swap", "family/", func(t *testing.T, r *brokertest.Rig, set program.TokenSet, _ broker.Secret) error {
			_, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
			return err
		}},
		{"a stolen refresh token, why it ended", "put", "ended/", func(t *testing.T, r *brokertest.Rig, set program.TokenSet, _ broker.Secret) error {
			family, secret, _ := strings.Cut(set.Refresh.Reveal(), ".")
			_, err := r.Dev.Refresh(t.Context(), r.CLI(t), broker.NewSecret(family+"."+strings.Repeat("x", len(secret))))
			return err
		}},
		{"exchange, the access token", "put", "token/", func(t *testing.T, r *brokertest.Rig, set program.TokenSet, _ broker.Secret) error {
			c, _ := register(t, r)
			_, err := r.Dev.Exchange(t.Context(), r.CLI(t), set.Access, c)
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			trap := r.Trap(t)
			set, _ := open(t, r)
			r.IdP.Auth.ReplayID = "_2"
			code := r.Code(t, r.SignIn(t))
			r.IdP.Auth.ReplayID = "_3"
			trap.Fail(tt.call, tt.key)
			if err := tt.do(t, r, set, code); broker.Message(err) != broker.Message(brokertest.ErrDown) {
				t.Errorf("without the store: %v", err)
			}
		})
	}
}

// TestSessionsNeedTheStore ensures that a program is refused, and none is told
// that it has been signed out, while no session can be read or ended.
func TestSessionsNeedTheStore(t *testing.T) {
	r := brokertest.New(t)
	r.Trap(t)
	set, _ := open(t, r)
	down := func(f func() error) func() error {
		return func() error {
			r.Store.Down(true)
			defer r.Store.Down(false)
			return f()
		}
	}
	undeletable := func(f func() error) func() error {
		return func() error {
			r.Store.Before("delete", func() { r.Store.Down(true) })
			defer r.Store.Down(false)
			return f()
		}
	}
	for _, tt := range []struct {
		name string
		do   func() error
	}{
		{"access", down(func() error { _, err := r.Dev.Authenticate(t.Context(), set.Access); return err })},
		{"refresh", down(func() error { _, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh); return err })},
		{"sign-out", undeletable(func() error { return r.Dev.SignOut(t.Context(), set.Access) })},
		{"revocation", undeletable(func() error { return r.Dev.Revoke(t.Context(), r.CLI(t), set.Refresh) })},
	} {
		brokertest.WantCode(t, tt.name, broker.CodeUnavailable, tt.do())
	}
	if _, err := r.Dev.Authenticate(t.Context(), set.Access); err != nil {
		t.Error("afterwards:", err)
	}
	trap := r.Trap(t)
	r.IdP.Auth.ReplayID = "_2"
	code := r.Code(t, r.SignIn(t))
	r.Store.Before("save", func() { r.Store.Down(true) })
	trap.Once("put", "token/", func() { r.Store.Down(false) })
	set, err := redeem(t, r, code)
	r.Store.Down(false)
	brokertest.WantCode(t, "a program whose session was not kept", broker.CodeUnavailable, err)
	if !set.Access.IsZero() {
		t.Error("there are tokens")
	}
}

// TestTokensUnrecorded ensures that no token is given without its event.
func TestTokensUnrecorded(t *testing.T) {
	r := brokertest.New(t)
	set, sess := open(t, r)
	r.IdP.Auth.ReplayID = "_2"
	code := r.Code(t, r.SignIn(t))
	sessions := len(r.Store.Sessions())
	r.Store.LoseEvents(true)
	_, err := redeem(t, r, code)
	brokertest.WantCode(t, "code", broker.CodeUnavailable, err)
	next, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "refresh", broker.CodeUnavailable, err)
	if !next.Access.IsZero() || len(r.Store.Sessions()) != sessions || !r.Alive(sess) {
		t.Errorf("tokens %v, %d sessions of %d", next, len(r.Store.Sessions()), sessions)
	}
}

// TestProgramsAreCounted ensures that a hundred programs act for a person at a
// time and not one more.
func TestProgramsAreCounted(t *testing.T) {
	r := brokertest.New(t)
	alice := r.SignIn(t)
	for n := range 101 {
		want := broker.Code("")
		if n == 100 {
			want = broker.CodeDenied
		}
		if _, err := redeem(t, r, r.Code(t, alice)); broker.CodeOf(err) != want {
			t.Fatalf("program %d: %v", n+1, err)
		}
	}
}

// TestLastMomentOfASession ensures that no token comes that is over at once.
func TestLastMomentOfASession(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Auth.NotOnOrAfter = r.Clock.Add(10 * time.Minute)
	set, sess := open(t, r)
	r.Clock = sess.ExpiresAt.Add(-500 * time.Millisecond)
	next, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "half a second before the end", broker.CodeUnauthenticated, err)
	if !next.Access.IsZero() {
		t.Error("there is a token")
	}
}
