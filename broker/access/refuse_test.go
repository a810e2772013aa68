package access_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestRefusalsNameTheRole ensures that the event of every refusal is about the
// role's ARN and names person, account and role where the rules know the role,
// whether or not the person has it, and else says what was asked for, bounded.
func TestRefusalsNameTheRole(t *testing.T) {
	unheld := broker.Assignment{
		ID: broker.NewAssignmentID("444455556666", "Root", broker.ViaSAML), Account: broker.Account{ID: "444455556666", Name: "vault"}, Role: "Root",
		RoleARN: "arn:aws:iam::444455556666:role/RolegateRoot", Via: broker.ViaSAML,
	}
	console := func(id broker.AssignmentID, path string) func(context.Context, *brokertest.Rig, *broker.Session) error {
		return func(ctx context.Context, r *brokertest.Rig, s *broker.Session) error {
			_, err := r.Acc.ConsoleURL(ctx, s, access.ConsoleRequest{Assignment: id, Destination: broker.Destination{Path: path}})
			return err
		}
	}
	keys := func(id broker.AssignmentID, d time.Duration) func(context.Context, *brokertest.Rig, *broker.Session) error {
		return func(ctx context.Context, r *brokertest.Rig, s *broker.Session) error {
			_, err := r.Acc.AssumeRole(ctx, s, access.RoleRequest{Assignment: id, Duration: d})
			return err
		}
	}
	find := func(account, role string) func(context.Context, *brokertest.Rig, *broker.Session) error {
		return func(ctx context.Context, r *brokertest.Rig, s *broker.Session) error {
			_, err := r.Acc.FindAssignment(ctx, s, broker.ActionConsole, account, role)
			return err
		}
	}
	mine := brokertest.New(t).AWS.Granted[0]
	held, theirs := mine.Account.Name+" "+mine.Role, "vault Root"
	long := strings.Repeat("x", 5000)
	for _, row := range []struct {
		name   string
		change func(r *brokertest.Rig)
		do     func(context.Context, *brokertest.Rig, *broker.Session) error
		target string
		names  string // account and role
	}{
		{"too long", nil, keys(mine.ID, 12*time.Hour), string(mine.RoleARN), held},
		{"no such duration", nil, keys(mine.ID, time.Second), string(mine.RoleARN), held},
		{"an old sign-in", func(r *brokertest.Rig) {
			r.AWS.Granted[0].Require.MaxAuthAge, r.Clock = time.Minute, r.Clock.Add(2*time.Minute)
		}, console(mine.ID, ""), string(mine.RoleARN), held},
		{"AWS refuses", func(r *brokertest.Rig) { r.AWS.AssumeErr = broker.Errorf(broker.CodeDenied, "No.") }, keys(mine.ID, 0), string(mine.RoleARN), held},
		{"no such page", nil, console(mine.ID, "evil"), string(mine.RoleARN), held},
		{"somebody else's, keys", nil, keys(unheld.ID, 0), string(unheld.RoleARN), theirs},
		{"somebody else's, console", nil, console(unheld.ID, ""), string(unheld.RoleARN), theirs},
		{"somebody else's, by name", nil, find("VAULT", "root"), string(unheld.RoleARN), theirs},
		{"nobody's, keys", nil, keys("aaaaaaaaaaaaaaaaaaaa", 0), "aaaaaaaaaaaaaaaaaaaa", " "},
		{"nobody's, by name", nil, find("nowhere", "Root"), "nowhere/Root", " "},
		{"nobody's, endless id", nil, keys(broker.AssignmentID(long), 0), long[:200], " "},
		{"nobody's, endless name", nil, find(long, "Root"), long[:200], " "},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.AWS.Unheld = []broker.Assignment{unheld}
			s := r.SignIn(t)
			if row.change != nil {
				row.change(r)
			}
			if err := row.do(t.Context(), r, s); err == nil {
				t.Fatal("not refused")
			}
			e := r.LastEvent(t)
			if e.Outcome != broker.OutcomeRefused || e.Target != row.target || e.Detail["account"]+" "+e.Detail["role"] != row.names {
				t.Errorf("%s: target %q, account %q, role %q; want %q and %q", e.Outcome, e.Target, e.Detail["account"], e.Detail["role"], row.target, row.names)
			}
			if e.Actor != s.Identity.Subject || e.Username != s.Identity.Username || e.Detail["reason"] == "" {
				t.Errorf("event %+v", e)
			}
		})
	}
}
