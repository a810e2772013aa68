package program_test

import (
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/program"
)

const home = "http://127.0.0.1:1/"

// approvals are the two ways in which a person lets a program in, each up to the
// moment at which the program comes for its tokens.
var approvals = []struct {
	name    string
	approve func(t *testing.T, r *brokertest.Rig, sess *broker.Session) (redeem func() (program.TokenSet, error))
}{
	{"authorization code", func(t *testing.T, r *brokertest.Rig, sess *broker.Session) func() (program.TokenSet, error) {
		t.Helper()
		code, cli := r.Code(t, sess), r.CLI(t)
		return func() (program.TokenSet, error) {
			return r.Dev.RedeemCode(t.Context(), cli, code, home, broker.NewSecret(brokertest.Verifier))
		}
	}},
	{"device code", func(t *testing.T, r *brokertest.Rig, sess *broker.Session) func() (program.TokenSet, error) {
		t.Helper()
		cli := r.CLI(t)
		d, err := r.Dev.StartDevice(t.Context(), cli, "laptop", broker.Requirement{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Dev.DecideDevice(t.Context(), sess, d.UserCode, true); err != nil {
			t.Fatal(err)
		}
		return func() (program.TokenSet, error) { return r.Dev.PollDevice(t.Context(), cli, d.DeviceCode) }
	}},
}

// TestAttackRedeemAfterTheEnd ensures that no program gets in on the approval of
// a session that has ended since, however it ended: there are no tokens, no
// session, and no event that says there were.
func TestAttackRedeemAfterTheEnd(t *testing.T) {
	type end struct {
		name string
		end  func(t *testing.T, r *brokertest.FactorRig)
	}
	ends := []end{
		{"not used for too long", func(_ *testing.T, r *brokertest.FactorRig) {
			row := r.Store.Sessions()[r.Sess.Key]
			row.LastUsedAt = r.Clock.Add(-time.Hour)
			r.Store.SetSession(row)
		}},
		{"its provider was taken out of the configuration", func(t *testing.T, r *brokertest.FactorRig) {
			r.Dev = r.Node(t, nil, func(p *brokertest.Parts) { p.Providers = p.Providers[1:] }).Program
		}},
		{"revoked on another node, the row is there still", func(t *testing.T, r *brokertest.FactorRig) {
			if err := r.Store.RevokeBefore(t.Context(), r.Sess.Identity.Subject, r.Clock); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, x := range brokertest.Ends {
		ends = append(ends, end{x.Name, func(t *testing.T, r *brokertest.FactorRig) {
			t.Helper()
			if err := x.End(t, r, r.Sess); err != nil {
				t.Fatal(err)
			}
		}})
	}
	for _, way := range approvals {
		for _, tt := range ends {
			t.Run(way.name+", "+tt.name, func(t *testing.T) {
				r := brokertest.Endable(t)
				redeem := way.approve(t, r.Rig, r.Sess)
				tt.end(t, r)
				rows, events := len(r.Store.Sessions()), len(r.Store.AllEvents())
				set, err := redeem()
				brokertest.WantCode(t, "redeeming", broker.CodeUnauthenticated, err)
				if got := broker.Message(err); got != "The session in which this was approved has ended." {
					t.Errorf("message %q", got)
				}
				if !set.Access.IsZero() || !set.Refresh.IsZero() || len(r.Store.Sessions()) != rows || len(r.Store.AllEvents()) != events {
					t.Errorf("tokens %v, %d more sessions, events %+v", set, len(r.Store.Sessions())-rows, r.Store.AllEvents()[events:])
				}
			})
		}
	}
}

// TestAttackRedeemWhileItEnds ensures the same where the session ends after it
// was looked at: right before the program's session is stored, and right before
// the end takes effect.
func TestAttackRedeemWhileItEnds(t *testing.T) {
	for _, way := range approvals {
		for _, tt := range brokertest.Ends {
			t.Run(way.name+", "+tt.Name+" before the program's session is stored", func(t *testing.T) {
				r := brokertest.Endable(t)
				redeem := way.approve(t, r.Rig, r.Sess)
				r.Store.Before("save", func() {
					if err := tt.End(t, r, r.Sess); err != nil {
						t.Error(err)
					}
				})
				set, err := redeem()
				brokertest.WantCode(t, "redeeming", broker.CodeUnauthenticated, err)
				if !set.Access.IsZero() || len(r.Store.Sessions()) != 0 {
					t.Errorf("tokens %v, %d sessions", set, len(r.Store.Sessions()))
				}
			})
		}
		// The first end looked for sessions, and the program came in after that.
		for _, tt := range []struct {
			name, call string
			end        func(t *testing.T, r *brokertest.FactorRig, mine *broker.Session) error
		}{
			{"all others ended", "delete", func(t *testing.T, r *brokertest.FactorRig, mine *broker.Session) error {
				_, err := r.People.EndOthers(t.Context(), mine)
				return err
			}},
			{"provider logout", "delete", func(t *testing.T, r *brokertest.FactorRig, _ *broker.Session) error {
				r.Hears("l1", brokertest.Named("alice", "i1"))
				_, _, err := r.Out.Receive(t.Context(), "okta", broker.LogoutMessage{})
				return err
			}},
			{"ended everywhere", "revoke", func(t *testing.T, r *brokertest.FactorRig, mine *broker.Session) error {
				return r.People.EndEverywhere(t.Context(), mine)
			}},
		} {
			t.Run(way.name+", "+tt.name+" right after", func(t *testing.T) {
				r := brokertest.Endable(t)
				stolen := r.Sess
				r.IdP.Auth.SessionIndex = "i2"
				r.Clock = r.Clock.Add(time.Second)
				r.SignIn(t)
				redeem := way.approve(t, r.Rig, stolen)
				var set program.TokenSet
				r.Store.Before(tt.call, func() {
					var err error
					if set, err = redeem(); err != nil {
						t.Error(err)
					}
				})
				if err := tt.end(t, r, r.Sess); err != nil {
					t.Fatal(err)
				}
				if set.Access.IsZero() {
					t.Fatal("the program did not come in between: the test shows nothing")
				}
				_, err := r.Dev.Authenticate(t.Context(), set.Access)
				brokertest.WantCode(t, "its access token", broker.CodeUnauthenticated, err)
				_, err = r.Dev.Refresh(t.Context(), r.CLI(t), set.Refresh)
				brokertest.WantCode(t, "its refresh token", broker.CodeUnauthenticated, err)
			})
		}
	}
}

// TestAttackGuessUserCodes ensures that ten wrong user codes close the door of a
// session even to a right one, with one event in the person's name, and not that
// of another session at the same address.
func TestAttackGuessUserCodes(t *testing.T) {
	r := brokertest.New(t)
	alice, bob := r.As(t, "00u1", "alice", "i1"), r.As(t, "00u2", "bob", "i2")
	d, err := r.Dev.StartDevice(t.Context(), r.CLI(t), "laptop", broker.Requirement{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := brokertest.From(t, "192.0.2.1")
	for range 10 {
		_, err := r.Dev.FindDevice(ctx, alice, "BBBB-BBBB")
		brokertest.WantCode(t, "a wrong code", broker.CodeNotFound, err)
	}
	before := len(r.Store.AllEvents())
	for range 3 {
		_, err = r.Dev.FindDevice(ctx, alice, d.UserCode)
		brokertest.WantCode(t, "a right code behind the lock", broker.CodeRateLimited, err)
		brokertest.WantCode(t, "an approval behind the lock", broker.CodeRateLimited, r.Dev.DecideDevice(ctx, alice, d.UserCode, true))
	}
	if events := r.Store.AllEvents()[before:]; len(events) != 1 || events[0].Action != broker.ActionLimit || events[0].Actor.ID != "00u1" {
		t.Errorf("events %+v", events)
	}
	if _, err := r.Dev.FindDevice(ctx, bob, d.UserCode); err != nil {
		t.Error("somebody else at the same address:", err)
	}
	r.Clock = r.Clock.Add(time.Minute)
	if err := r.Dev.DecideDevice(ctx, alice, d.UserCode, true); err != nil {
		t.Error("a minute later:", err)
	}
}
