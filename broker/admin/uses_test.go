package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
)

// administrator is a rig with an administrator who proved a second factor.
func administrator(t *testing.T) (*brokertest.Rig, *broker.Session) {
	t.Helper()
	r := brokertest.New(t)
	r.AWS.Admins = "g"
	return r, r.SignIn(t)
}

// TestNeedsItsParts ensures that a service that lacks a part does not start.
func TestNeedsItsParts(t *testing.T) {
	r := brokertest.New(t)
	b := r.Broker()
	whole := admin.Config{Judge: r.AWS, Book: b.Book, Log: r.Store, Journal: b.Journal, Identities: b.Identities, Roles: r.AWS}
	if _, err := admin.New(whole); err != nil {
		t.Error("with all parts:", err)
	}
	for name, lose := range map[string]func(*admin.Config){
		"judge":      func(c *admin.Config) { c.Judge = nil },
		"book":       func(c *admin.Config) { c.Book = nil },
		"log":        func(c *admin.Config) { c.Log = nil },
		"journal":    func(c *admin.Config) { c.Journal = nil },
		"identities": func(c *admin.Config) { c.Identities.Store = nil },
		"roles":      func(c *admin.Config) { c.Roles = nil },
	} {
		c := whole
		lose(&c)
		if _, err := admin.New(c); err == nil {
			t.Errorf("started without %s", name)
		}
	}
}

// TestTraceAsPeopleSayIt ensures that a trace is found however its id is written
// down, and that a wrong one is told from one that cannot be read.
func TestTraceAsPeopleSayIt(t *testing.T) {
	r, sess := administrator(t)
	tr := r.Broker().Journal.Start()
	if err := r.Broker().Journal.Keep(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(tr.ID, "-")
	for _, id := range []string{
		tr.ID, strings.ToUpper(tr.ID), strings.Join(parts, " "), strings.Join(parts, "_"), strings.Join(parts, "\t"), " " + strings.Join(parts, " - ") + " ",
	} {
		got, err := r.Admin.Trace(t.Context(), sess, id)
		if err != nil || got.ID != tr.ID {
			t.Errorf("%q: %v", id, err)
		}
		if e := r.LastEvent(t); e.Action != broker.ActionAdminView || e.Target != tr.ID {
			t.Errorf("event %+v", e)
		}
	}
	for _, id := range []string{"", strings.Join(parts, "x"), strings.Join(parts, "")} {
		_, err := r.Admin.Trace(t.Context(), sess, id)
		brokertest.WantCode(t, id, broker.CodeNotFound, err)
		if got := broker.Message(err); got != "There is no trace with this id, or not any more." {
			t.Error(got)
		}
	}
}

// TestExport ensures that a file holds every event once, that it ends where
// writing it fails, and where the events do.
func TestExport(t *testing.T) {
	r, sess := administrator(t)
	r.Clock = r.Clock.Add(time.Minute)
	for n := range 2000 - len(r.Store.AllEvents()) - 1 { // the export itself is an event
		e := journal.Entry{Action: broker.ActionSignIn, Target: fmt.Sprint(n)}
		if err := r.Broker().Journal.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	seen, calls := map[string]bool{}, 0
	err := r.Admin.Export(t.Context(), sess, admin.AuditQuery{}, func(e broker.EventRow) error {
		calls++
		seen[e.ID] = true
		return nil
	})
	if err != nil || calls != 2000 || len(seen) != 2000 {
		t.Errorf("%d events, %d different ones, %v", calls, len(seen), err)
	}
	full := errors.New("the disk is full")
	calls = 0
	err = r.Admin.Export(t.Context(), sess, admin.AuditQuery{}, func(broker.EventRow) error { calls++; return full })
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// TestEndsAreOfWhatIsThere ensures that the end of nothing is not reported as one,
// and that nobody is explained who has not signed in.
func TestEndsAreOfWhatIsThere(t *testing.T) {
	r, sess := administrator(t)
	brokertest.WantCode(t, "end", broker.CodeNotFound, r.Admin.End(t.Context(), sess, "made-up"))
	_, err := r.Admin.Explain(t.Context(), sess, "nobody")
	brokertest.WantCode(t, "explain", broker.CodeNotFound, err)
	why, err := r.Admin.Explain(t.Context(), sess, "alice", "more", "more", "")
	if err != nil || len(why) != 1 || len(why[0].Assignments) != 1 || strings.Join(why[0].Identity.Groups, " ") != "g more" {
		t.Errorf("%+v, %v", why, err)
	}
	if why, err := r.Admin.Explain(t.Context(), sess, ""); err != nil || why != nil {
		t.Errorf("nobody: %+v, %v", why, err)
	}
	if err := r.Admin.End(t.Context(), sess, sess.Key); err != nil || r.Alive(sess) {
		t.Error(err)
	}
}
