package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

func keysOf(rows []broker.SessionRow) string {
	var out []string
	for _, r := range rows {
		out = append(out, string(r.Body))
	}
	return strings.Join(out, " ")
}

// listSessions: every live session is on exactly one page, newest first.
func listSessions(f fixture) {
	ctx := f.Context()
	for n := range 5 {
		s := session(n, alice)
		s.CreatedAt = Start.Add(time.Duration(n/2) * time.Second) // some begin in one microsecond
		f.must(f.SaveSession(ctx, s))
	}
	seen, before := map[string]bool{}, ""
	last := time.Time{}
	for range 4 {
		rows, err := f.ListSessions(ctx, broker.SessionPage{Before: before, Limit: 2})
		f.must(err)
		for _, r := range rows {
			if seen[r.Key] {
				f.Errorf("%s is on two pages", r.Key)
			}
			if !last.IsZero() && r.CreatedAt.After(last) {
				f.Errorf("%s is out of order", r.Key)
			}
			seen[r.Key], before, last = true, r.Key, r.CreatedAt
		}
	}
	f.equal(5, len(seen))
	n, err := f.CountSessions(ctx)
	f.must(err)
	f.equal(5, n)
	rows, err := f.ListSessions(ctx, broker.SessionPage{Before: "no such key", Limit: 2})
	f.must(err)
	f.equal(0, len(rows))

	foreign := session(9, broker.Subject{Provider: "elsewhere", ID: "x"})
	foreign.CreatedAt = Start // the oldest of all
	f.must(f.SaveSession(ctx, foreign))
	rows, err = f.ListSessions(ctx, broker.SessionPage{Provider: "elsewhere", Limit: 2})
	f.must(err)
	f.equal(1, len(rows))
	f.equal(foreign.Key, rows[0].Key)
	rows, err = f.ListSessions(ctx, broker.SessionPage{Provider: "elsewhere", Before: foreign.Key, Limit: 2})
	f.must(err)
	f.equal(0, len(rows))
}

// revocation: what began before is told by its key with the time and not
// listed, on every node; what begins later is untouched; the time never goes
// back.
func revocation(f fixture) {
	ctx := f.Context()
	for n, sub := range []broker.Subject{alice, bob, carol} {
		s := session(n, sub)
		s.CreatedAt = Start
		f.must(f.SaveSession(ctx, s))
	}
	other := f.again()
	at := Start
	f.must(other.RevokeBefore(ctx, alice, at))
	f.must(f.RevokeBefore(ctx, alice, at.Add(-time.Hour)))
	got, err := f.Session(ctx, session(0, alice).Key)
	f.must(err)
	f.equal(at, got.RevokedBefore)
	for _, sub := range []broker.Subject{bob, carol} {
		found, err := f.FindSessions(ctx, broker.SessionFilter{Provider: sub.Provider, SubjectID: sub.ID})
		f.must(err)
		f.equal(1, len(found))
		f.equal(time.Time{}, found[0].RevokedBefore)
	}
	found, err := f.FindSessions(ctx, broker.SessionFilter{Provider: alice.Provider, SubjectID: alice.ID})
	f.must(err)
	f.equal("", keysOf(found))
	n, err := f.CountSessions(ctx)
	f.must(err)
	f.equal(2, n)
	late := session(7, alice)
	late.CreatedAt = at.Add(time.Microsecond)
	f.must(f.SaveSession(ctx, late))
	found, err = f.FindSessions(ctx, broker.SessionFilter{Provider: alice.Provider, SubjectID: alice.ID})
	f.must(err)
	f.equal("7", keysOf(found))
	rows, err := f.ListSessions(ctx, broker.SessionPage{Limit: 10})
	f.must(err)
	f.equal(3, len(rows))
	if err := f.RevokeBefore(ctx, broker.Subject{Provider: "okta"}, at); err == nil {
		f.Error("half a subject was revoked")
	}
}

func queryEvents(f fixture) {
	ctx := f.Context()
	const role = "arn:aws-us-gov:iam::111122223333:role/team/Admin"
	all := []broker.Event{
		event(0, broker.ActionSignIn, broker.OutcomeOK, alice),
		event(1, broker.ActionSignIn, broker.OutcomeRefused, bob),
		event(2, broker.ActionConsole, broker.OutcomeOK, carol),
		event(3, broker.ActionConsole, broker.OutcomeFailed, alice),
		event(4, broker.ActionSignOut, broker.OutcomeOK, alice),
	}
	all[2].Target, all[3].Target = role, "arn:aws:iam::99:role/x"
	for _, i := range []int{2, 0, 4, 3, 1} {
		f.must(f.Record(ctx, all[i]))
	}
	for name, tt := range map[string]struct {
		query broker.EventQuery
		want  string
	}{
		"all, latest first":  {broker.EventQuery{}, "4 3 2 1 0"},
		"limit":              {broker.EventQuery{Limit: 2}, "4 3"},
		"time":               {broker.EventQuery{Since: all[1].Time, Until: all[3].Time}, "2 1"},
		"action":             {broker.EventQuery{Action: broker.ActionSignIn}, "1 0"},
		"outcome":            {broker.EventQuery{Outcome: broker.OutcomeOK}, "4 2 0"},
		"what did not go ok": {broker.EventQuery{NotOK: true}, "3 1"},
		"one person":         {broker.EventQuery{Actors: []broker.Subject{alice}}, "4 3 0"},
		"two people":         {broker.EventQuery{Actors: []broker.Subject{alice, bob}, Limit: 3}, "4 3 1"},
		"username":           {broker.EventQuery{Username: "u" + bob.ID}, "1"},
		"trace":              {broker.EventQuery{TraceID: "trace-2"}, "2"},
		"account":            {broker.EventQuery{Account: "111122223333"}, "2"},
		"no account":         {broker.EventQuery{Account: "99"}, ""},
		"injection":          {broker.EventQuery{Username: "' or 1=1 --"}, ""},
		"unknown cursor":     {broker.EventQuery{Before: "' or 1=1 --"}, ""},
	} {
		rows, err := f.QueryEvents(ctx, tt.query)
		f.must(err)
		var got []string
		for _, r := range rows {
			got = append(got, r.Detail["n"])
		}
		if strings.Join(got, " ") != tt.want {
			f.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
	var got []string
	before := ""
	for range 4 {
		rows, err := f.QueryEvents(ctx, broker.EventQuery{Before: before, Limit: 2})
		f.must(err)
		for _, r := range rows {
			got, before = append(got, r.Detail["n"]), r.ID
		}
	}
	f.equal("4 3 2 1 0", strings.Join(got, " "))
	rows, err := f.QueryEvents(ctx, broker.EventQuery{Limit: 1})
	f.must(err)
	f.equal(fmt.Sprint(all[4]), fmt.Sprint(rows[0].Event))
}
