package session_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/signin"
)

// let lets a program in from a browser's session.
func let(t *testing.T, r *brokertest.Rig, from *broker.Session) (program.TokenSet, *broker.Session) {
	t.Helper()
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Code(t, from), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	sess, err := r.Dev.Authenticate(t.Context(), set.Access)
	if err != nil {
		t.Fatal(err)
	}
	return set, sess
}

// live returns the keys of all rows that are live.
func live(t *testing.T, r *brokertest.Rig) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for key := range r.Store.Sessions() {
		switch _, err := r.People.Live(t.Context(), key); broker.CodeOf(err) {
		case "":
			out[key] = true
		case broker.CodeNotFound:
		default:
			t.Fatal(err)
		}
	}
	return out
}

// endings are the ways to end a person's other sessions, or all.
var endings = []struct {
	name string
	keep bool // the session of who ends the others
	end  func(ctx context.Context, r *brokertest.Rig, mine *broker.Session) error
}{
	{"this one", false, func(ctx context.Context, r *brokertest.Rig, mine *broker.Session) error {
		return r.People.End(ctx, mine.Key, journal.Entry{Action: broker.ActionSessionEnd, By: mine})
	}},
	{"signed out", false, func(ctx context.Context, r *brokertest.Rig, mine *broker.Session) error {
		_, err := r.Out.End(ctx, mine, broker.Secret{})
		return err
	}},
	{"all others", true, func(ctx context.Context, r *brokertest.Rig, mine *broker.Session) error {
		_, err := r.People.EndOthers(ctx, mine)
		return err
	}},
	{"everywhere", false, func(ctx context.Context, r *brokertest.Rig, mine *broker.Session) error {
		return r.People.EndEverywhere(ctx, mine)
	}},
}

// TestSessionsEndWhoeverLeaves ensures that what ends a session is done, with its
// event, when the person does not wait for it.
func TestSessionsEndWhoeverLeaves(t *testing.T) {
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			other, mine := r.As(t, "00u1", "alice", "i1"), r.As(t, "00u1", "alice", "i2")
			events := len(r.Store.AllEvents())
			ctx, leave := context.WithCancel(t.Context())
			leave()
			if err := tt.end(ctx, r, mine); err != nil {
				t.Error(err)
			}
			alive := live(t, r)
			if alive[mine.Key] != tt.keep || tt.keep && alive[other.Key] {
				t.Errorf("mine is live: %t, the other: %t", alive[mine.Key], alive[other.Key])
			}
			if len(r.Store.AllEvents()) != events+1 {
				t.Errorf("%d events", len(r.Store.AllEvents())-events)
			}
		})
	}
}

// TestSessionsEndWithoutTheirEvent ensures that nobody stays signed in because an
// event cannot be kept, and that who ended the session is told so.
func TestSessionsEndWithoutTheirEvent(t *testing.T) {
	for _, tt := range brokertest.Ends {
		if tt.Name == "factors reset" { // its first step is the event: it has not begun
			continue
		}
		t.Run(tt.Name, func(t *testing.T) {
			r := brokertest.Endable(t)
			r.Store.LoseEvents(true)
			brokertest.WantCode(t, "the end", broker.CodeUnavailable, tt.End(t, r, r.Sess))
			r.Store.LoseEvents(false)
			if alive := live(t, r.Rig); len(alive) != 0 {
				t.Errorf("%d sessions live", len(alive))
			}
		})
	}
	for _, tt := range endings {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			other, mine := r.As(t, "00u1", "alice", "i1"), r.As(t, "00u1", "alice", "i2")
			r.Store.LoseEvents(true)
			brokertest.WantCode(t, "the end", broker.CodeUnavailable, tt.end(t.Context(), r, mine))
			r.Store.LoseEvents(false)
			if alive := live(t, r); alive[mine.Key] != tt.keep || tt.keep && alive[other.Key] {
				t.Errorf("mine is live: %t, the other: %t", alive[mine.Key], alive[other.Key])
			}
		})
	}
}

// TestRevocationOverClocks ensures that a revocation ends what began on a node
// whose clock is ahead, says how many there were, and stops nobody from signing
// in anew, or stepping up, on a node whose clock is behind.
func TestRevocationOverClocks(t *testing.T) {
	for _, ahead := range []time.Duration{0, 2 * time.Second, time.Hour} {
		t.Run(ahead.String()+" ahead", func(t *testing.T) {
			r := brokertest.New(t)
			first := r.As(t, "00u1", "alice", "i1")
			let(t, r, first)
			early := r.Node(t, nil, func(p *brokertest.Parts) { p.Now = func() time.Time { return r.Now().Add(ahead) } })
			here := r.In
			r.In, r.IdP.Auth.ReplayID = early.SignIn, "_ahead"
			r.IdP.Auth.ReplayExpires = r.Clock.Add(2 * time.Hour)
			late, err := r.Finish(t, r.Begin(t))
			if err != nil {
				t.Fatal(err)
			}
			if !late.Session.CreatedAt.Equal(r.Clock.Add(ahead)) {
				t.Fatal("it did not begin ahead: the test shows nothing")
			}
			r.In = here
			row := r.Store.Sessions()[late.Session.Key]
			n, err := r.People.RevokeAs(t.Context(), first, first.Identity.Subject)
			if err != nil || n != 3 || len(live(t, r)) != 0 || len(r.Store.Sessions()) != 0 {
				t.Errorf("%d ended, %v; %d live, %d rows", n, err, len(live(t, r)), len(r.Store.Sessions()))
			}
			r.Store.SetSession(row) // as by a node that was about to store it
			if len(live(t, r)) != 0 {
				t.Error("what was seen is not revoked")
			}
			r.Store.DropSessions()
			events := r.Store.AllEvents() // by the clocks of their nodes
			i := slices.IndexFunc(events, func(e broker.Event) bool { return e.Action == broker.ActionRevoke })
			if i < 0 || events[i].Detail["sessions"] != "3" {
				t.Errorf("events %+v", events)
			}

			slow := r.Node(t, nil, func(p *brokertest.Parts) { p.Now = func() time.Time { return r.Now().Add(-time.Hour) } })
			r.In, r.Acc, r.Dev, r.People, r.IdP.Auth.ReplayID = slow.SignIn, slow.Access, slow.Program, slow.Book, "_behind"
			again := r.SignIn(t)
			set, _ := let(t, r, again)
			if alive := live(t, r); len(alive) != 2 {
				t.Errorf("%d sessions live after signing in on a node that is behind", len(alive))
			}
			if _, err := r.Dev.Authenticate(t.Context(), set.Access); err != nil {
				t.Error("a program:", err)
			}
			r.IdP.Auth.ReplayID = "_up"
			b, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta", StepUp: &broker.StepUp{MFA: true}, Replaces: again.Key})
			if err != nil {
				t.Fatal(err)
			}
			up, err := r.Finish(t, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Acc.Authenticate(t.Context(), up.Token); err != nil {
				t.Error("after a step-up on a node that is behind:", err)
			}
		})
	}
}

// TestAttackSignInRevokedMeanwhile ensures that a session which a revocation on a
// node with another clock meets is not begun again by what is for later ones.
func TestAttackSignInRevokedMeanwhile(t *testing.T) {
	r := brokertest.New(t)
	first := r.As(t, "00u1", "alice", "i1")
	if err := r.People.EndEverywhere(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	other := r.Node(t, nil)
	r.In = r.Node(t, nil, func(p *brokertest.Parts) { p.Now = func() time.Time { return r.Now().Add(-time.Minute) } }).SignIn
	r.IdP.Auth.ReplayID = "_2" // it is made to begin right after the revocation
	hit := false
	r.Store.Before("save", func() {
		hit = true
		r.Clock = r.Clock.Add(time.Second)
		if _, err := other.Book.RevokeAs(t.Context(), first, first.Identity.Subject); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.Finish(t, r.Begin(t)); err != nil && broker.CodeOf(err) != broker.CodeNotFound {
		t.Error(err)
	}
	if alive := live(t, r); !hit || len(alive) != 0 {
		t.Errorf("%d sessions live; in between: %t", len(alive), hit)
	}
}

// TestProviderTakenOut ensures that a session of a provider that is not
// configured any more opens nothing, in a browser or for a program, and is good
// again when the provider is back.
func TestProviderTakenOut(t *testing.T) {
	r := brokertest.New(t)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	set, _ := let(t, r, out.Session)
	for _, tt := range []struct {
		name string
		node *brokertest.Broker
		want broker.Code
	}{
		{"taken out", r.Node(t, nil, func(p *brokertest.Parts) { p.Providers = p.Providers[1:] }), broker.CodeUnauthenticated},
		{"back", r.Node(t, nil), ""},
	} {
		_, err := tt.node.Access.Authenticate(t.Context(), out.Token)
		brokertest.WantCode(t, tt.name+": browser", tt.want, err)
		_, err = tt.node.Program.Authenticate(t.Context(), set.Access)
		brokertest.WantCode(t, tt.name+": program", tt.want, err)
	}
	node := r.Node(t, nil, func(p *brokertest.Parts) { p.Providers = p.Providers[1:] })
	_, err = node.Program.Refresh(t.Context(), r.CLI(t), set.Refresh)
	brokertest.WantCode(t, "refresh", broker.CodeUnauthenticated, err)
}

// TestProofIsJudgedByPresentSettings ensures that what counts as a second factor
// is decided at each use: a session that was proven by weaker settings is not
// proven any more, and one that the settings have come to meet is.
func TestProofIsJudgedByPresentSettings(t *testing.T) {
	for _, tt := range []struct {
		name      string
		at, after broker.MFAPolicy
		acr       string
		own       bool
		was, is   bool
	}{
		{"tightened", broker.MFAPolicy{AuthnContext: [][]string{{"mfa"}}}, broker.MFAPolicy{AuthnContext: [][]string{{"hardware"}}}, "mfa", false, true, false},
		{"loosened", broker.MFAPolicy{AuthnContext: [][]string{{"hardware"}}}, broker.MFAPolicy{AuthnContext: [][]string{{"hardware"}, {"mfa"}}}, "mfa", false, false, true},
		{"own factor not allowed any more", brokertest.Allowed, broker.MFAPolicy{}, "", true, true, false},
		{"own factor stays where the provider's does not count", broker.MFAPolicy{Own: broker.OwnFactorAllowed, AuthnContext: [][]string{{"mfa"}}}, brokertest.Allowed, "mfa", true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.NewFactorRig(t, tt.at)
			r.IdP.Auth.AuthnContext.ACR = tt.acr
			r.Clock = r.Clock.Add(time.Second)
			r.SignIn(t)
			if tt.own {
				r.EnrolApp(t)
			}
			_, acting := let(t, r.Rig, r.Sess)
			r.Policy = tt.after
			now := r.Node(t, map[limit.Kind]limit.Rate(nil))
			for what, key := range map[string]string{"browser": r.Sess.Key, "program": acting.Key} {
				before, err := r.People.Live(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				after, err := now.Book.Live(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprint(before.Identity.MFA, after.Identity.MFA), fmt.Sprint(tt.was, tt.is); got != want {
					t.Errorf("%s: proven before and after: %s, want %s", what, got, want)
				}
			}
		})
	}
}
