package program_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

// TestAttackStolenRefreshToken ensures that a refresh token works once, and once
// more within the grace, and that any other use ends the session for thief and
// owner alike and tells both why.
func TestAttackStolenRefreshToken(t *testing.T) {
	// forged is a token of the same family that nobody was given.
	forged := func(set program.TokenSet) broker.Secret {
		family, secret, _ := strings.Cut(set.Refresh.Reveal(), ".")
		return broker.NewSecret(family + "." + strings.Repeat("x", len(secret)))
	}
	for _, tt := range []struct {
		name  string
		after time.Duration // how long after the owner's refresh
		used  func(set program.TokenSet) broker.Secret
		want  broker.Code
	}{
		{"the last moment of the grace", program.RefreshGrace, func(set program.TokenSet) broker.Secret { return set.Refresh }, ""},
		{"after the grace", program.RefreshGrace + time.Microsecond, func(set program.TokenSet) broker.Secret { return set.Refresh }, broker.CodeUnauthenticated},
		{"a guess within the grace", time.Second, forged, broker.CodeUnauthenticated},
		{"a guess after the grace", time.Hour / 2, forged, broker.CodeUnauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			set, sess := open(t, r)
			next, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
			if err != nil {
				t.Fatal(err)
			}
			r.Clock = r.Clock.Add(tt.after)
			got, err := r.Dev.Refresh(t.Context(), r.CLI(t), tt.used(set))
			brokertest.WantCode(t, "the token again", tt.want, err)
			if tt.want == "" {
				if got.Refresh.Reveal() != next.Refresh.Reveal() || !r.Alive(sess) {
					t.Error("another next token")
				}
				return
			}
			if !got.Access.IsZero() || !strings.Contains(broker.Message(err), "a refresh token was used twice") {
				t.Errorf("tokens %v, %v", got, err)
			}
			ended(t, r, next)
			if e := r.LastEvent(t); e.Action != broker.ActionTokenRevoke || e.Detail["reason"] != "a refresh token was used twice" {
				t.Errorf("event %+v", e)
			}
		})
	}
	t.Run("another program", func(t *testing.T) {
		r := brokertest.New(t)
		set, sess := open(t, r)
		other, _ := register(t, r)
		_, err := r.Dev.Refresh(t.Context(), other, set.Refresh)
		brokertest.WantCode(t, "its refresh", broker.CodeUnauthenticated, err)
		if err := r.Dev.Revoke(t.Context(), other, set.Refresh); err != nil || !r.Alive(sess) {
			t.Error("its revocation of a refresh token:", err)
		}
		if err := r.Dev.Revoke(t.Context(), other, set.Access); err != nil || !r.Alive(sess) {
			t.Error("its revocation of an access token:", err)
		}
	})
	t.Run("a session without its tokens", func(t *testing.T) {
		r := brokertest.New(t)
		set, _ := open(t, r)
		r.Store.Exec(`delete from state where key like 'family/%'`)
		_, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
		brokertest.WantCode(t, "refresh", broker.CodeUnauthenticated, err)
	})
	t.Run("what is no token", func(t *testing.T) {
		r := brokertest.New(t)
		set, sess := open(t, r)
		family, secret, _ := strings.Cut(set.Refresh.Reveal(), ".")
		for _, s := range []string{"", ".", "x", family, family + ".", "." + secret, family + "." + secret + "x", family + "x." + secret, family + secret} {
			_, err := r.Dev.Refresh(t.Context(), r.CLI(t), broker.NewSecret(s))
			brokertest.WantCode(t, "refresh with "+s, broker.CodeUnauthenticated, err)
		}
		_, err := r.Dev.Authenticate(t.Context(), broker.Secret{})
		brokertest.WantCode(t, "no access token", broker.CodeUnauthenticated, err)
		_, err = r.Dev.Authenticate(t.Context(), broker.NewSecret("made-up"))
		brokertest.WantCode(t, "an access token that nobody was given", broker.CodeUnauthenticated, err)
		_, err = r.Dev.Authenticate(t.Context(), set.Refresh)
		brokertest.WantCode(t, "a refresh token as access token", broker.CodeUnauthenticated, err)
		brokertest.WantCode(t, "sign-out with nothing", broker.CodeUnauthenticated, r.Dev.SignOut(t.Context(), broker.Secret{}))
		if !r.Alive(sess) {
			t.Error("the session has ended")
		}
	})
}

// TestAttackBrowserSessionAsToken ensures that the token of a browser's session
// is none of a program.
func TestAttackBrowserSessionAsToken(t *testing.T) {
	r := brokertest.New(t)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Dev.Refresh(t.Context(), r.CLI(t), broker.NewSecret(out.Token.Reveal()+"."+strings.Repeat("x", 43)))
	brokertest.WantCode(t, "refresh", broker.CodeUnauthenticated, err)
	_, err = r.Dev.Authenticate(t.Context(), out.Token)
	brokertest.WantCode(t, "access", broker.CodeUnauthenticated, err)
	if _, err := r.Acc.Authenticate(t.Context(), out.Token); err != nil {
		t.Error("the browser's session:", err)
	}
}

// TestRefreshesMeet ensures that a refresh which another one overtakes gives what
// that one gave, and that one which is overtaken again and again gives nothing.
func TestRefreshesMeet(t *testing.T) {
	r := brokertest.New(t)
	trap := r.Trap(t)
	set, _ := open(t, r)
	var first program.TokenSet
	trap.Once("swap", "family/", func() {
		var err error
		if first, err = r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh); err != nil {
			t.Error(err)
		}
	})
	second, err := r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
	if err != nil || second.Refresh.Reveal() != first.Refresh.Reveal() {
		t.Errorf("two next tokens, %v", err)
	}
	trap.On(func(call, key string) error {
		if call == "swap" && strings.HasPrefix(key, "family/") {
			return brokertest.ErrLost
		}
		return nil
	})
	third, err := r.Dev.Refresh(t.Context(), r.CLI(t), second.Refresh)
	brokertest.WantCode(t, "always overtaken", broker.CodeUnavailable, err)
	if !third.Access.IsZero() {
		t.Error("there is a token")
	}
}

// TestAttackPassOn ensures that only a sign-in of the rolegate program is passed
// on, by itself, to another program, and not further.
func TestAttackPassOn(t *testing.T) {
	r := brokertest.New(t)
	tool, _ := register(t, r, home)
	other, _ := register(t, r)
	set, sess := open(t, r)
	exchange := func(what string, c program.Client, token broker.Secret, to program.Client, want broker.Code) program.TokenSet {
		t.Helper()
		got, err := r.Dev.Exchange(t.Context(), c, token, to)
		brokertest.WantCode(t, what, want, err)
		if got.Access.IsZero() != (want != "") {
			t.Errorf("%s: tokens %v", what, got)
		}
		return got
	}
	exchange("by another program", tool, set.Access, other, broker.CodeDenied)
	exchange("to itself", r.CLI(t), set.Access, r.CLI(t), broker.CodeDenied)
	exchange("without a token", r.CLI(t), broker.Secret{}, tool, broker.CodeUnauthenticated)
	r.Clock = r.Clock.Add(program.ExchangeWindow)
	passed := exchange("in the last moment", r.CLI(t), set.Access, tool, "")
	exchange("what was passed on", r.CLI(t), passed.Access, other, broker.CodeDenied)
	exchange("what was passed on, by the one it was passed to", tool, passed.Access, other, broker.CodeDenied)
	if err := r.Dev.SignOut(t.Context(), set.Access); err != nil || r.Alive(sess) {
		t.Error(err)
	}
	_, err := r.Dev.Authenticate(t.Context(), passed.Access)
	brokertest.WantCode(t, "what was passed on, after the sign-in has ended", broker.CodeUnauthenticated, err)

	again, _ := open(t, r)
	late := func(s program.TokenSet) {
		r.Clock = r.Clock.Add(program.ExchangeWindow + time.Microsecond)
		exchange("a moment too late", r.CLI(t), s.Access, tool, broker.CodeDenied)
	}
	late(again)
	// A registered program's own sign-in, offered as if the rolegate program did.
	r.IdP.Auth.ReplayID = "_tool"
	code, err := r.Dev.Approve(t.Context(), r.SignIn(t), program.Authorize{
		ClientID: tool.ID, RedirectURI: home, ResponseType: "code", State: "s", Challenge: challenge, ChallengeMethod: "S256",
	})
	if err != nil {
		t.Fatal(err)
	}
	own, err := r.Dev.RedeemCode(t.Context(), tool, code, home, broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	exchange("another program's sign-in", r.CLI(t), own.Access, other, broker.CodeDenied)
	exchange("another program's sign-in, by itself", tool, own.Access, other, broker.CodeDenied)
}

// TestRevoke ensures that either token ends the session, and that a token which
// nobody knows is no error.
func TestRevoke(t *testing.T) {
	for name, token := range map[string]func(program.TokenSet) broker.Secret{
		"access token":  func(s program.TokenSet) broker.Secret { return s.Access },
		"refresh token": func(s program.TokenSet) broker.Secret { return s.Refresh },
	} {
		r := brokertest.New(t)
		set, sess := open(t, r)
		if err := r.Dev.Revoke(t.Context(), r.CLI(t), token(set)); err != nil || r.Alive(sess) {
			t.Errorf("%s: %v", name, err)
		}
		ended(t, r, set)
		if err := r.Dev.Revoke(t.Context(), r.CLI(t), token(set)); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
	}
	r := brokertest.New(t)
	for _, s := range []string{"made-up", strings.Repeat("x", 43) + "." + strings.Repeat("y", 43)} {
		if err := r.Dev.Revoke(t.Context(), r.CLI(t), broker.NewSecret(s)); err != nil {
			t.Error(err)
		}
	}
}
