package broker_test

import (
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

const verifier = "verifier-verifier-verifier-verifier-verifier"

func (r *rig) code(t *testing.T, sess *broker.Session) broker.Secret {
	t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	code, err := r.dev.Approve(t.Context(), sess, broker.Authorize{
		ClientID: broker.CLIClientID, RedirectURI: "http://127.0.0.1:1/", ResponseType: "code", State: "s",
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), ChallengeMethod: "S256",
	})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (r *rig) cli(t *testing.T) broker.Client {
	t.Helper()
	c, err := r.dev.Client(broker.CLIClientID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// atOnce calls f from many processes at the same moment and returns what
// worked.
func atOnce(f func() (broker.TokenSet, error)) (good []broker.TokenSet, bad []error) {
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
	r := newRig(t)
	code, cli := r.code(t, r.signIn(t)), r.cli(t)
	good, bad := atOnce(func() (broker.TokenSet, error) {
		return r.dev.RedeemCode(t.Context(), cli, code, "http://127.0.0.1:1/", broker.NewSecret(verifier))
	})
	if len(good) != 1 {
		t.Errorf("%d got tokens: %v", len(good), bad)
	}
}

// TestDeviceRace ensures the same for an approved device code.
func TestDeviceRace(t *testing.T) {
	r := newRig(t)
	sess, cli := r.signIn(t), r.cli(t)
	d, err := r.dev.StartDevice(t.Context(), cli, "host")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.dev.DecideDevice(t.Context(), sess, d.UserCode, true); err != nil {
		t.Fatal(err)
	}
	good, bad := atOnce(func() (broker.TokenSet, error) { return r.dev.PollDevice(t.Context(), cli, d.DeviceCode) })
	if len(good) != 1 {
		t.Errorf("%d got tokens: %v", len(good), bad)
	}
}

// TestRefreshRace ensures that many processes which share one refresh token all
// get the same next one, and that the session lives.
func TestRefreshRace(t *testing.T) {
	r := newRig(t)
	cli := r.cli(t)
	first, err := r.dev.RedeemCode(t.Context(), cli, r.code(t, r.signIn(t)), "http://127.0.0.1:1/", broker.NewSecret(verifier))
	if err != nil {
		t.Fatal(err)
	}
	good, bad := atOnce(func() (broker.TokenSet, error) { return r.dev.Refresh(t.Context(), cli, first.Refresh) })
	if len(bad) > 0 {
		t.Error(bad)
	}
	for _, set := range good {
		if set.Refresh.Reveal() != good[0].Refresh.Reveal() {
			t.Error("two next tokens")
		}
		if _, err := r.dev.Authenticate(t.Context(), set.Access); err != nil {
			t.Error(err)
		}
	}
}

// TestProgramUsesCorporateToken ensures that a program's session takes the
// identity provider's token from the browser's session, which keeps it, and
// that it is refreshed there.
func TestProgramUsesCorporateToken(t *testing.T) {
	r := newRig(t)
	r.aws.assignments[0].Via = broker.ViaIDPToken
	r.idp.auth.Tokens = broker.Tokens{IDToken: broker.NewSecret("id-1"), RefreshToken: broker.NewSecret("rt-1"), IDExpires: r.clock.Add(10 * time.Minute)}
	r.idp.next = func(before broker.Tokens) (broker.Tokens, error) {
		return broker.Tokens{IDToken: broker.NewSecret("id-of-" + before.RefreshToken.Reveal()), RefreshToken: broker.NewSecret(before.RefreshToken.Reveal() + "+"), IDExpires: r.clock.Add(10 * time.Minute)}, nil
	}
	browser := r.signIn(t)
	set, err := r.dev.RedeemCode(t.Context(), r.cli(t), r.code(t, browser), "http://127.0.0.1:1/", broker.NewSecret(verifier))
	if err != nil {
		t.Fatal(err)
	}
	assume := func(want string) {
		t.Helper()
		sess, err := r.dev.Authenticate(t.Context(), set.Access)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.acc.AssumeRole(t.Context(), sess, broker.AssumeRole{Assignment: r.aws.assignments[0].ID}); err != nil {
			t.Fatal(err)
		}
		if got := r.aws.assumed[len(r.aws.assumed)-1].Assertion.Raw.Reveal(); got != want {
			t.Errorf("STS got %s, want %s", got, want)
		}
	}
	assume("id-1")
	r.clock = r.clock.Add(6 * time.Minute)
	assume("id-of-rt-1")
	r.clock = r.clock.Add(6 * time.Minute)
	assume("id-of-rt-1+")
	if _, err := r.out.End(t.Context(), browser, broker.Secret{}); err != nil {
		t.Fatal(err)
	}
	sess, err := r.dev.Authenticate(t.Context(), set.Access)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.acc.AssumeRole(t.Context(), sess, broker.AssumeRole{Assignment: r.aws.assignments[0].ID}); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Error("the token outlives the session that held it:", err)
	}
}

// TestCleanLabel ensures that foreign text is one short line that says what it
// seems to say.
func TestCleanLabel(t *testing.T) {
	for in, want := range map[string]string{
		"laptop": "laptop", " a\tb\n": "ab", "x\u202ey": "xy", "\x1b[31mred": "[31mred", "ünï": "ünï", "\xff": "", "abcdef": "abcde",
	} {
		if got := broker.CleanLabel(in, 7); in != "abcdef" && got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	if got := broker.CleanLabel("abcdef", 5); got != "abcde" {
		t.Error(got)
	}
}
