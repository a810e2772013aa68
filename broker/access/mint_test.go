package access_test

import (
	"context"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// uses are the two ways to a role session.
var uses = []struct {
	name   string
	action broker.Action
	do     func(ctx context.Context, a *access.Service, s *broker.Session, id broker.AssignmentID) error
}{
	{"keys", broker.ActionCredentials, func(ctx context.Context, a *access.Service, s *broker.Session, id broker.AssignmentID) error {
		_, err := a.AssumeRole(ctx, s, access.RoleRequest{Assignment: id})
		return err
	}},
	{"console", broker.ActionConsole, func(ctx context.Context, a *access.Service, s *broker.Session, id broker.AssignmentID) error {
		_, err := a.ConsoleURL(ctx, s, access.ConsoleRequest{Assignment: id})
		return err
	}},
}

// roleSessions returns what is kept of the person's role sessions.
func roleSessions(t *testing.T, r *brokertest.Rig, s *broker.Session) []broker.RoleSessionRow {
	t.Helper()
	rows, err := r.Store.RoleSessions(t.Context(), broker.RoleSessionFilter{Subject: s.Identity.Subject})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestMintIsTwoEvents ensures that every call of STS has an intent that is
// durable before it and an outcome after it, joined by one name with the row of
// the role session.
func TestMintIsTwoEvents(t *testing.T) {
	for _, use := range uses {
		for _, tt := range []struct {
			name    string
			err     error
			state   broker.RoleSessionState
			outcome broker.Outcome
		}{
			{"given", nil, broker.RoleSessionLive, broker.OutcomeOK},
			{"AWS refuses", broker.Errorf(broker.CodeDenied, "AWS refused."), broker.RoleSessionRefused, broker.OutcomeRefused},
			{"AWS does not answer", brokertest.ErrDown, broker.RoleSessionRefused, broker.OutcomeFailed},
		} {
			t.Run(use.name+" "+tt.name, func(t *testing.T) {
				r := brokertest.New(t)
				s := r.SignIn(t)
				r.AWS.AssumeErr = tt.err
				var intent broker.Event
				r.AWS.Assuming = func(context.Context) {
					intent = r.LastEvent(t)
					if rows := roleSessions(t, r, s); len(rows) != 1 || rows[0].State != broker.RoleSessionAsked || rows[0].ID != intent.Detail["mint"] {
						t.Errorf("before STS: %+v", rows)
					}
				}
				err := use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID)
				brokertest.WantCode(t, "the use", broker.CodeOf(tt.err), err)
				if intent.Action != broker.ActionAsk || intent.Detail["mint"] == "" || intent.Detail["for"] != string(use.action) ||
					intent.Target != string(r.AWS.Granted[0].RoleARN) || intent.Actor != s.Identity.Subject {
					t.Errorf("intent %+v", intent)
				}
				outcome := r.LastEvent(t)
				if outcome.Action != use.action || outcome.Outcome != tt.outcome || outcome.Detail["mint"] != intent.Detail["mint"] {
					t.Errorf("outcome %+v", outcome)
				}
				rows := roleSessions(t, r, s)
				if len(rows) != 1 {
					t.Fatalf("%d rows", len(rows))
				}
				row := rows[0]
				if row.State != tt.state || row.ID != intent.Detail["mint"] || row.Session != s.Key || row.Use != use.action || row.Program != "" {
					t.Errorf("row %+v", row)
				}
				if (row.AccessKeyID == "ASIAEXAMPLE") != (tt.err == nil) || row.IssuedAt.IsZero() == (tt.err == nil) {
					t.Errorf("row %+v", row)
				}
			})
		}
	}
}

// TestOutcomeIsKeptWhoeverLeaves ensures that what came of a call of STS is
// recorded, and the call not broken off, when the person leaves in the middle.
func TestOutcomeIsKeptWhoeverLeaves(t *testing.T) {
	for _, use := range uses {
		for _, refused := range []error{nil, broker.Errorf(broker.CodeDenied, "AWS refused.")} {
			r := brokertest.New(t)
			s := r.SignIn(t)
			ctx, leave := context.WithCancel(t.Context())
			r.AWS.AssumeErr = refused
			r.AWS.Assuming = func(inner context.Context) {
				leave()
				if err := inner.Err(); err != nil {
					t.Errorf("%s: the call is broken off: %v", use.name, err)
				}
				if _, ok := inner.Deadline(); !ok {
					t.Errorf("%s: the call may last for ever", use.name)
				}
			}
			err := use.do(ctx, r.Acc, s, r.AWS.Granted[0].ID)
			brokertest.WantCode(t, use.name, broker.CodeOf(refused), err)
			state := broker.RoleSessionLive
			if refused != nil {
				state = broker.RoleSessionRefused
			}
			if e := r.LastEvent(t); e.Action != use.action || e.Code != broker.CodeOf(refused) || e.Detail["mint"] == "" {
				t.Errorf("%s: event %+v", use.name, e)
			}
			if rows := roleSessions(t, r, s); len(rows) != 1 || rows[0].State != state {
				t.Errorf("%s: rows %+v", use.name, rows)
			}
		}
	}
}

// TestNoIntentNoCall ensures that STS is not called when the intent cannot be
// kept, and that what STS gave is not released when the outcome cannot be: the
// intent alone then says that AWS may know more.
func TestNoIntentNoCall(t *testing.T) {
	for _, use := range uses {
		r := brokertest.New(t)
		s := r.SignIn(t)
		r.Store.LoseEvents(true)
		brokertest.WantCode(t, use.name+" without an intent", broker.CodeUnavailable, use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID))
		r.Store.LoseEvents(false)
		if len(r.AWS.Assumed) != 0 || len(roleSessions(t, r, s)) != 0 {
			t.Errorf("%s: %d calls, rows %+v", use.name, len(r.AWS.Assumed), roleSessions(t, r, s))
		}
		r.AWS.Assuming = func(context.Context) { r.Store.LoseEvents(true) }
		brokertest.WantCode(t, use.name+" without an outcome", broker.CodeUnavailable, use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID))
		r.Store.LoseEvents(false)
		if e := r.LastEvent(t); e.Action != broker.ActionAsk {
			t.Errorf("%s: event %+v", use.name, e)
		}
		open, err := favourites(t, r).Open(t.Context(), s)
		if err != nil || len(open) != 1 || open[0].State != broker.RoleSessionAsked {
			t.Errorf("%s: open %+v, %v", use.name, open, err)
		}
	}
}

// TestListsAreOneEventAMinute ensures that the lists of a person within a minute
// are one event, and that it says how many there were.
func TestListsAreOneEventAMinute(t *testing.T) {
	r := brokertest.New(t)
	alice := r.As(t, "00u1", "alice", "i1")
	bob := r.As(t, "00u2", "bob", "i2")
	list := func(s *broker.Session) {
		t.Helper()
		if as, err := r.Acc.Assignments(t.Context(), s); err != nil || len(as) != 1 {
			t.Fatalf("%d roles, %v", len(as), err)
		}
	}
	lists := func() (out []string) {
		for _, e := range r.Store.AllEvents() {
			if e.Action == broker.ActionListRoles {
				out = append(out, e.Actor.ID+" "+e.Detail["lists"]+" of "+e.Detail["count"])
			}
		}
		return out
	}
	for range 3 {
		list(alice)
	}
	list(bob)
	r.Clock = r.Clock.Add(time.Minute - time.Second)
	list(alice)
	if got := lists(); len(got) != 2 || got[0] != "00u1 1 of 1" || got[1] != "00u2 1 of 1" {
		t.Errorf("within a minute: %q", got)
	}
	r.Clock = r.Clock.Add(time.Second)
	list(alice)
	if got := lists(); len(got) != 3 || got[2] != "00u1 4 of 1" {
		t.Errorf("a minute later: %q", got)
	}
	// What could not be recorded is not taken for recorded.
	r.Clock = r.Clock.Add(time.Minute)
	r.Store.LoseEvents(true)
	if as, err := r.Acc.Assignments(t.Context(), alice); broker.CodeOf(err) != broker.CodeUnavailable || as != nil {
		t.Errorf("without an event: %v %v", as, err)
	}
	r.Store.LoseEvents(false)
	list(alice)
	if got := lists(); len(got) != 4 {
		t.Errorf("after a lost one: %q", got)
	}
}

// TestOwnFactorIsEnforcedForEveryRole ensures that where rolegate's own factor is
// required, no role opens without proof from the grace date on, not even one
// that asks for none itself, in the browser and for programs.
func TestOwnFactorIsEnforcedForEveryRole(t *testing.T) {
	r := brokertest.NewFactorRig(t, broker.MFAPolicy{Own: broker.OwnFactorRequired, EnrolUntil: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)})
	set, err := r.Dev.RedeemCode(t.Context(), r.CLI(t), r.Rig.Code(t, r.Sess), "http://127.0.0.1:1/", broker.NewSecret(brokertest.Verifier))
	if err != nil {
		t.Fatal(err)
	}
	program, err := r.Dev.Authenticate(t.Context(), set.Access)
	if err != nil {
		t.Fatal(err)
	}
	try := func(when string, want broker.Code) {
		t.Helper()
		for name, s := range map[string]*broker.Session{"browser": r.Sess, "program": program} {
			for _, use := range uses {
				brokertest.WantCode(t, when+", "+name+", "+use.name, want, use.do(t.Context(), r.Acc, s, r.AWS.Granted[0].ID))
			}
		}
	}
	r.Clock = r.Clock.Add(30*time.Minute - time.Second)
	try("before the grace date", "")
	r.Clock = r.Clock.Add(time.Second)
	try("from it on", broker.CodeStepUp)
	if len(r.AWS.Assumed) != 4 {
		t.Errorf("STS was called %d times", len(r.AWS.Assumed))
	}
}
