package broker_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no zone files

	"github.com/rolegate/rolegate/broker"

	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestWorkingDay ensures when sessions end by the clocks of a place, on days of
// 23 and 25 hours too.
func TestWorkingDay(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, start, dayEnd, want string
		absolute                  time.Duration
	}{
		{"morning", "2026-11-24T09:00:00+01:00", "19h", "2026-11-24T19:00:00+01:00", 12 * time.Hour},
		{"absolute comes first", "2026-11-24T09:00:00+01:00", "19h", "2026-11-24T17:00:00+01:00", 8 * time.Hour},
		{"a minute before", "2026-11-24T18:59:00+01:00", "19h", "2026-11-24T19:00:00+01:00", 12 * time.Hour},
		{"at the end itself", "2026-11-24T19:00:00+01:00", "19h", "2026-11-25T19:00:00+01:00", 48 * time.Hour},
		{"evening", "2026-11-24T20:00:00+01:00", "19h", "2026-11-25T19:00:00+01:00", 48 * time.Hour},
		{"day of 25 hours", "2026-10-25T00:00:00+02:00", "19h", "2026-10-25T19:00:00+01:00", 48 * time.Hour},
		{"day of 23 hours", "2026-03-29T00:00:00+01:00", "19h", "2026-03-29T19:00:00+02:00", 48 * time.Hour},
		{"in the hour that there is twice", "2026-10-25T02:45:00+02:00", "19h", "2026-10-25T19:00:00+01:00", 48 * time.Hour},
		{"an end in the hour that there is not", "2026-03-29T01:00:00+01:00", "2h30m", "2026-03-29T03:30:00+02:00", 48 * time.Hour},
		{"midnight", "2026-11-24T09:00:00+01:00", "0h", "2026-11-25T00:00:00+01:00", 48 * time.Hour},
		{"another day there", "2026-11-24T23:30:00Z", "19h", "2026-11-25T19:00:00+01:00", 48 * time.Hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			start, err := time.Parse(time.RFC3339, row.start)
			if err != nil {
				t.Fatal(err)
			}
			end, err := time.ParseDuration(row.dayEnd)
			if err != nil {
				t.Fatal(err)
			}
			got := broker.SessionLimits{Absolute: row.absolute, DayEnd: end, Zone: berlin}.End(start)
			if s := got.In(berlin).Format(time.RFC3339); s != row.want {
				t.Errorf("%s, want %s", s, row.want)
			}
		})
	}
	r := brokertest.New(t) // 09:00 UTC is 10:00 there
	r.Limits = broker.SessionLimits{Idle: 20 * time.Hour, Absolute: 24 * time.Hour, DayEnd: 19 * time.Hour, Zone: berlin}
	r.Limit(nil)
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Clock = r.Clock.Add(9*time.Hour - time.Second)
	if _, err := r.Acc.Authenticate(t.Context(), out.Token); err != nil {
		t.Errorf("a second before: %v", err)
	}
	r.Clock = r.Clock.Add(time.Second)
	if _, err := r.Acc.Authenticate(t.Context(), out.Token); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("at the end: %v", err)
	}
}

// TestSignOutEverywhere ensures that every session of the person that has begun
// is dead at its next use, a sign-in in flight at that time too if it had got
// its session, while later ones and other people's live.
func TestSignOutEverywhere(t *testing.T) {
	r := brokertest.New(t)
	first, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.IdP.Auth.ReplayID = "_assertion2"
	second, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.IdP.Auth.ReplayID, r.IdP.Auth.Subject.ID = "_assertion3", "00u2"
	other, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	r.Mem.NoEvents = true
	if err := r.People.EndEverywhere(t.Context(), first.Session); broker.CodeOf(err) != broker.CodeUnavailable || len(r.Mem.Revoked) > 0 {
		t.Errorf("without an event: %v, %v", err, r.Mem.Revoked)
	}
	r.Mem.NoEvents = false
	if err := r.People.EndEverywhere(t.Context(), first.Session); err != nil {
		t.Fatal(err)
	}
	if e := r.LastEvent(t); e.Action != broker.ActionRevoke || e.Target != "okta/00u1" || e.Detail["sessions"] != "2" {
		t.Errorf("event %+v", e)
	}
	alive := func(token broker.Secret) bool {
		_, err := r.Acc.Authenticate(t.Context(), token)
		return err == nil
	}
	if alive(first.Token) || alive(second.Token) || !alive(other.Token) {
		t.Errorf("alive: %t %t %t", alive(first.Token), alive(second.Token), alive(other.Token))
	}
	r.Clock = r.Clock.Add(time.Second)
	r.IdP.Auth.ReplayID, r.IdP.Auth.Subject.ID = "_assertion4", "00u1"
	late, err := r.Finish(t, r.Begin(t))
	if err != nil || !alive(late.Token) {
		t.Errorf("a later sign-in: %v", err)
	}
}

// TestRolesAreJudgedAtEachUse ensures that a role or an administrator's right
// that the rules do not give any more is gone at once, in the same session.
func TestRolesAreJudgedAtEachUse(t *testing.T) {
	r := brokertest.New(t)
	r.AWS.Admins = "g"
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	sess, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil || !sess.Admin {
		t.Fatalf("%v, admin %t", err, sess.Admin)
	}
	id := r.AWS.Granted[0].ID
	r.AWS.Granted, r.AWS.Admins = nil, "others"
	if _, err := r.Acc.AssumeRole(t.Context(), sess, broker.AssumeRole{Assignment: id}); broker.CodeOf(err) != broker.CodeDenied {
		t.Errorf("role: %v", err)
	}
	if err := r.Admin.Enter(t.Context(), sess); broker.CodeOf(err) != broker.CodeDenied {
		t.Errorf("administration: %v", err)
	}
	if sess, err = r.Acc.Authenticate(t.Context(), out.Token); err != nil || sess.Admin {
		t.Errorf("%v, admin %t", err, sess.Admin)
	}
}

// TestEveryAdminUseAsks ensures that no use case of administrators relies on
// the pages above it.
func TestEveryAdminUseAsks(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	ctx := t.Context()
	for name, use := range map[string]func() error{
		"trace":    func() error { _, err := r.Admin.Trace(ctx, sess, "x"); return err },
		"audit":    func() error { _, err := r.Admin.Audit(ctx, sess, broker.AuditQuery{}); return err },
		"failures": func() error { _, err := r.Admin.Failures(ctx, sess); return err },
		"export": func() error {
			return r.Admin.Export(ctx, sess, broker.AuditQuery{}, func(broker.EventRow) error { return nil })
		},
		"list":      func() error { _, err := r.Admin.List(ctx, sess, broker.PeopleSessions{Limit: 1}); return err },
		"end":       func() error { return r.Admin.End(ctx, sess, sess.Key) },
		"revoke":    func() error { return r.Admin.Revoke(ctx, sess, sess.Identity.Subject) },
		"explain":   func() error { _, err := r.Admin.Explain(ctx, sess, "alice"); return err },
		"everybody": func() error { _, err := r.Admin.Everybody(ctx, sess); return err },
	} {
		r.AWS.Admins = ""
		if err := use(); broker.CodeOf(err) != broker.CodeDenied {
			t.Errorf("%s for somebody: %v", name, err)
		}
		r.AWS.Admins, sess.Identity.MFA = "g", false
		if err := use(); broker.CodeOf(err) != broker.CodeStepUp {
			t.Errorf("%s without a second factor: %v", name, err)
		}
		sess.Identity.MFA = true
		if name != "end" && name != "revoke" {
			r.Mem.NoEvents = true
			if err := use(); broker.CodeOf(err) != broker.CodeUnavailable {
				t.Errorf("%s without an event: %v", name, err)
			}
			r.Mem.NoEvents = false
		}
	}
}

// TestTraceHidesClaims ensures that a trace names claims and not their values.
func TestTraceHidesClaims(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Auth.Claims["secret_claim"] = []string{"planted-value", "planted-other"}
	b := r.Begin(t)
	if _, err := r.Finish(t, b); err != nil {
		t.Fatal(err)
	}
	tr, err := broker.Traces{State: r.Mem, Now: r.Mem.Now}.Find(t.Context(), b.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, s := range tr.Steps() {
		all += s.Name + ": " + s.Detail + "\n"
	}
	if !strings.Contains(all, "secret_claim (2)") || strings.Contains(all, "planted") {
		t.Error(all)
	}
}
