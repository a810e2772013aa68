package access_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
)

// TestAttackNoToken ensures that who shows no token is nobody, whatever the store
// has, and that a program's session is none of a browser.
func TestAttackNoToken(t *testing.T) {
	r := brokertest.New(t)
	s := *r.SignIn(t)
	s.Key = broker.Secret{}.Hash()
	if err := r.People.Save(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	_, err := r.Acc.Authenticate(t.Context(), broker.Secret{})
	brokertest.WantCode(t, "no token", broker.CodeUnauthenticated, err)
	token := broker.NewSecret("a program's")
	s.Key, s.Client = token.Hash(), &broker.SessionClient{ID: "x"}
	if err := r.People.Save(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	_, err = r.Acc.Authenticate(t.Context(), token)
	brokertest.WantCode(t, "a program's", broker.CodeUnauthenticated, err)
	r.Store.Down(true)
	_, err = r.Acc.Authenticate(t.Context(), token)
	brokertest.WantCode(t, "the store is down", broker.CodeUnavailable, err)
}

// TestAttackPickedRole ensures that of several roles the one that was asked for
// is minted, by its whole name, and only for as long as it may last.
func TestAttackPickedRole(t *testing.T) {
	r := brokertest.New(t)
	for i, name := range []string{"Reader", "Root"} {
		x := r.AWS.Granted[0]
		x.Role, x.RoleARN = name, broker.RoleARN("arn:aws:iam::111122223333:role/"+name)
		x.Account.ID, x.Account.Name = broker.AccountID("44445555666"+strconv.Itoa(i)), name+"s"
		x.ID = broker.NewAssignmentID(x.Account.ID, name, broker.ViaSAML)
		r.AWS.Granted = append(r.AWS.Granted, x)
	}
	s := r.SignIn(t)
	for _, x := range r.AWS.Granted {
		for _, duration := range []time.Duration{0, time.Hour} {
			rs, err := r.Acc.AssumeRole(t.Context(), s, access.RoleRequest{Assignment: x.ID, Duration: duration})
			if err != nil || rs.Assignment.RoleARN != x.RoleARN || r.AWS.Assumed[len(r.AWS.Assumed)-1].Assignment.ID != x.ID {
				t.Errorf("%s for %s: %s, %v", x.Role, duration, rs.Assignment.RoleARN, err)
			}
		}
		_, err := r.Acc.AssumeRole(t.Context(), s, access.RoleRequest{Assignment: x.ID, Duration: time.Hour + time.Second})
		brokertest.WantCode(t, "a second too long", broker.CodeInvalid, err)
	}
	for _, tt := range []struct {
		account, role string
		want          string // the role; "": none
	}{
		{"prod", "Admin", "Admin"}, {"444455556660", "reader", "Reader"}, {"ROOTS", "Root", "Root"},
		{"prod", "Root", ""}, {"444455556660", "Admin", ""}, {"nowhere", "Admin", ""}, {"", "Admin", ""},
	} {
		x, err := r.Acc.FindAssignment(t.Context(), s, broker.ActionConsole, tt.account, tt.role)
		if x.Role != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s in %s: %q, %v", tt.role, tt.account, x.Role, err)
		}
	}
}

// TestAttackManyMints ensures that the limiter is asked by address and by account
// before anything is minted.
func TestAttackManyMints(t *testing.T) {
	for name, rate := range map[string]limit.Rate{"address": {Address: 1, Per: time.Minute}, "account": {Account: 1, Per: time.Minute}} {
		for _, use := range uses {
			t.Run(use.name+" by "+name, func(t *testing.T) {
				r := brokertest.New(t)
				r.Limit(t, map[limit.Kind]limit.Rate{limit.Credentials: rate})
				s := r.SignIn(t)
				if err := use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID); err != nil {
					t.Fatal(err)
				}
				brokertest.WantCode(t, "once more", broker.CodeRateLimited, use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID))
				if len(r.AWS.Asserted) != 1 {
					t.Errorf("%d minted", len(r.AWS.Asserted))
				}
			})
		}
	}
}

// TestAttackUnknownProvider ensures that nothing is minted for a person whose
// provider has no settings: what it requires is unknown.
func TestAttackUnknownProvider(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	s.Identity.Subject.Provider = "gone"
	for _, use := range uses {
		brokertest.WantCode(t, use.name, broker.CodeInternal, use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID))
	}
	if len(r.AWS.Asserted) != 0 {
		t.Errorf("%d minted", len(r.AWS.Asserted))
	}
}

// TestNothingForWhoLeft ensures that nothing is begun at AWS for a person who
// does not wait any more.
func TestNothingForWhoLeft(t *testing.T) {
	r := brokertest.New(t)
	s := r.SignIn(t)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for _, use := range uses {
		if err := use.do(ctx, r.Acc, s, r.AWS.Granted[0].ID); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", use.name, err)
		}
	}
	if len(r.AWS.Assumed) != 0 || len(roleSessions(t, r, s)) != 0 {
		t.Errorf("%d calls, %d rows", len(r.AWS.Assumed), len(roleSessions(t, r, s)))
	}
}

// TestProofTagsAreTransitiveWhereKnown ensures that a tag of the proof that is
// not there is not named as transitive, and that the others are.
func TestProofTagsAreTransitiveWhereKnown(t *testing.T) {
	r := brokertest.New(t)
	x := &r.AWS.Granted[0]
	x.ProofTags, x.SessionTags, x.TransitiveTagKeys = true, map[string]string{"Team": "x"}, []string{"Team", broker.TagACR, broker.TagMFA}
	s := r.SignIn(t)
	s.Identity.AuthnContext.ACR = ""
	if err := assume(t.Context(), r, r.Acc, s); err != nil {
		t.Fatal(err)
	}
	if got := r.AWS.Asserted[0].TransitiveTagKeys; !slices.Equal(got, []string{"Team", broker.TagMFA}) {
		t.Errorf("transitive: %q", got)
	}
}

// TestFavouriteThatIsNotKept ensures that who marks a role hears where that
// failed.
func TestFavouriteThatIsNotKept(t *testing.T) {
	r := brokertest.New(t)
	f, err := access.NewFavourites(access.FavouritesConfig{Store: brokertest.Failing{Store: r.Store, Call: "favourite"}, RoleSessions: r.Store})
	if err != nil {
		t.Fatal(err)
	}
	s := r.SignIn(t)
	for _, on := range []bool{true, false} {
		err := f.Mark(t.Context(), s, r.AWS.Granted, r.AWS.Granted[0].ID, on)
		brokertest.WantCode(t, fmt.Sprint("mark ", on), broker.CodeUnavailable, err)
	}
}

// TestFreshTokens ensures when the provider's token is used as it is, when it is
// refreshed, and when the person has to sign in again: no token, or one that is
// over, never reaches STS.
func TestFreshTokens(t *testing.T) {
	const used, refreshed, over = "id", "id-of-rt", ""
	for _, tt := range []struct {
		name   string
		tokens broker.Tokens // IDExpires is set from left
		left   time.Duration
		came   *broker.Tokens // what the provider gives; nil: a good one
		gone   bool           // the session was ended meanwhile
		none   bool           // the provider refreshes nothing
		want   string
	}{
		{name: "five minutes left", tokens: tokens("id", "rt"), left: 5 * time.Minute, want: used},
		{name: "a moment less", tokens: tokens("id", "rt"), left: 5*time.Minute - 1, want: refreshed},
		{name: "no ID token, though there is time", tokens: tokens("", "rt"), left: time.Hour, want: refreshed},
		{name: "no refresh token", tokens: tokens("id", ""), left: time.Minute, want: over},
		{name: "a provider without refresh", tokens: tokens("id", "rt"), left: time.Minute, none: true, want: over},
		{name: "signed out", tokens: tokens("id", "rt"), left: time.Minute, gone: true, want: over},
		{name: "no ID token comes", tokens: tokens("id", "rt"), left: time.Minute, came: &broker.Tokens{RefreshToken: broker.NewSecret("rt2")}, want: over},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.AWS.Granted[0].Via = broker.ViaIDPToken
			tt.tokens.IDExpires = r.Clock.Add(tt.left + time.Second) // signing in takes one
			r.IdP.Auth.Tokens = tt.tokens
			s := r.As(t, "00u1", "alice", "i1")
			p := provider(func(x broker.Tokens) (broker.Tokens, error) {
				if tt.came != nil {
					out := *tt.came
					out.IDExpires = r.Clock.Add(time.Hour)
					return out, nil
				}
				out := tokens("id-of-"+x.RefreshToken.Reveal(), "rt2")
				out.IDExpires = r.Clock.Add(time.Hour)
				return out, nil
			})
			node := r.Node(t, nil, func(x *brokertest.Parts) {
				x.Refreshers = map[broker.ProviderID]broker.TokenRefresher{"okta": p}
				if tt.none {
					x.Refreshers = nil
				}
			}).Access
			if tt.gone {
				r.Store.DropSessions(s.Key)
			}
			err := assume(t.Context(), r, node, s)
			if tt.want == over {
				brokertest.WantCode(t, "the role", broker.CodeUnauthenticated, err)
				if len(r.AWS.Assumed) != 0 || broker.Remedy(err) != "Sign in again." {
					t.Errorf("%d calls, remedy %q", len(r.AWS.Assumed), broker.Remedy(err))
				}
				return
			}
			if err != nil || r.AWS.Assumed[0].Assertion.Raw.Reveal() != tt.want {
				t.Errorf("%v", err)
			}
		})
	}
	for after, want := range map[time.Duration]broker.Code{-time.Second: broker.CodeUnauthenticated, 0: broker.CodeUnauthenticated, time.Second: ""} {
		t.Run("one comes that ends in "+after.String(), func(t *testing.T) {
			r, _, s := stale(t)
			p := provider(func(broker.Tokens) (broker.Tokens, error) {
				out := tokens("late", "rt2")
				out.IDExpires = r.Clock.Add(after)
				return out, nil
			})
			brokertest.WantCode(t, "the role", want, assume(t.Context(), r, failing(t, r, p, "", ""), s))
		})
	}
}

func tokens(id, refresh string) broker.Tokens {
	return broker.Tokens{IDToken: broker.NewSecret(id), RefreshToken: broker.NewSecret(refresh)}
}

// provider refreshes tokens.
type provider func(broker.Tokens) (broker.Tokens, error)

func (p provider) RefreshTokens(_ context.Context, _ broker.Subject, t broker.Tokens) (broker.Tokens, error) {
	return p(t)
}

// TestAttackRefreshTokenUsedTwice ensures that a refresh token which may have
// reached the provider is not shown again, and that one which certainly did not,
// or that the provider had no time for, may be.
func TestAttackRefreshTokenUsedTwice(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		spent bool
	}{
		{"no connection", &net.OpError{Op: "dial", Err: errors.New("refused")}, false},
		{"the provider says no, or what does not verify", broker.Errorf(broker.CodeUnauthenticated, "no"), true},
		{"the provider is busy", broker.Errorf(broker.CodeUnavailable, "busy"), false},
		{"the connection broke while reading", &net.OpError{Op: "read", Err: errors.New("reset")}, true},
		{"the connection broke while writing", &net.OpError{Op: "write", Err: errors.New("reset")}, true},
		{"no answer in time", context.DeadlineExceeded, true},
		{"an answer that breaks off", io.ErrUnexpectedEOF, true},
		{"no answer", io.EOF, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, p, s := stale(t)
			p.hold = func(broker.Tokens) error { return fmt.Errorf("refresh: %w", tt.err) }
			node := tokenNode(t, r, p)
			if err := assume(t.Context(), r, node, s); err == nil {
				t.Fatal("a role without a token")
			}
			p.hold, p.keeps = nil, true
			r.Clock = r.Clock.Add(21 * time.Second)
			err := assume(t.Context(), r, node, s)
			if want := map[bool]int{true: 1, false: 2}[tt.spent]; p.shown("rt-00u1") != want || (err != nil) != tt.spent {
				t.Errorf("shown %d times, then %v", p.shown("rt-00u1"), err)
			}
			if tt.spent {
				brokertest.WantCode(t, "the next try", broker.CodeUnauthenticated, err)
			}
		})
	}
}

// TestRefreshOnAnotherNode ensures that a node waits for one that began to use
// the refresh token within twenty seconds, and no longer.
func TestRefreshOnAnotherNode(t *testing.T) {
	for _, tt := range []struct {
		name  string
		began time.Duration // ago
		looks int           // until it counts as used; each takes a microsecond
	}{
		{"just over the time", 20*time.Second + time.Microsecond, 1},
		{"in time still", 20 * time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, p, s := stale(t)
			r.Store.SetState("refresh/"+s.Tokens.RefreshToken.Hash(), []byte(strconv.FormatInt(r.Clock.Add(-tt.began).UnixMicro(), 10)))
			looks := 0
			r.State = watchedState{r.Store, func() { looks++; r.Advance(time.Microsecond) }}
			brokertest.WantCode(t, "the role", broker.CodeUnauthenticated, assume(t.Context(), r, tokenNode(t, r, p), s))
			if looks != tt.looks || p.shown("rt-00u1") != 0 {
				t.Errorf("%d looks, shown %d times", looks, p.shown("rt-00u1"))
			}
		})
	}
	for _, value := range []string{"x", "", strings.Repeat("9", 30)} {
		t.Run("what says when it began is no time: "+value, func(t *testing.T) {
			r, p, s := stale(t)
			r.Store.SetState("refresh/"+s.Tokens.RefreshToken.Hash(), []byte(value))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			brokertest.WantCode(t, "the role", broker.CodeUnauthenticated, assume(ctx, r, tokenNode(t, r, p), s))
		})
	}
}

// TestRefreshSaysWhatFailed ensures that no role comes of tokens that could not
// be looked up, claimed or kept, and that this is no reason to sign in again.
func TestRefreshSaysWhatFailed(t *testing.T) {
	for _, tt := range []struct {
		name, call, key string
		keeps, claimed  bool
		want            broker.Code
	}{
		{"the session", "read", "", false, false, broker.CodeUnavailable},
		{"who uses the refresh token", "get", "refresh/", false, true, broker.CodeUnavailable},
		{"the new tokens", "replace", "", false, false, broker.CodeUnavailable},
		{"that it may be used again", "take", "refresh/", true, false, broker.CodeUnavailable},
		{"nothing", "", "", false, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, p, s := stale(t)
			p.keeps = tt.keeps
			if tt.claimed {
				r.Store.SetState("refresh/"+s.Tokens.RefreshToken.Hash(), []byte(strconv.FormatInt(r.Clock.UnixMicro(), 10)))
			}
			err := assume(t.Context(), r, failing(t, r, p, tt.call, tt.key), s)
			brokertest.WantCode(t, "the role", tt.want, err)
			if (len(r.AWS.Assumed) == 1) != (tt.want == "") || err != nil && strings.Contains(broker.Remedy(err), "Sign in") {
				t.Errorf("%d calls, remedy %q", len(r.AWS.Assumed), broker.Remedy(err))
			}
		})
	}
}
