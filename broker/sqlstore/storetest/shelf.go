package storetest

import (
	"time"

	"github.com/rolegate/rolegate/broker"
)

func favourites(f fixture) {
	ctx := f.Context()
	mark := func(s broker.Subject, id broker.AssignmentID, on bool) {
		f.Helper()
		f.must(f.SetFavourite(ctx, s, id, on))
		f.clock.advance(time.Second)
	}
	mark(alice, "b", true)
	mark(alice, "a", true)
	mark(alice, "b", true) // again: its place stays
	mark(bob, "c", true)
	mark(alice, "never", false)
	got, err := f.again().Favourites(ctx, alice)
	f.must(err)
	f.equal([]broker.AssignmentID{"b", "a"}, got)
	mark(alice, "b", false)
	got, err = f.Favourites(ctx, alice)
	f.must(err)
	f.equal([]broker.AssignmentID{"a"}, got)
	together(func(int) {
		if err := f.SetFavourite(ctx, carol, "x", true); err != nil {
			f.Error(err)
		}
	})
	got, err = f.Favourites(ctx, carol)
	f.must(err)
	f.equal([]broker.AssignmentID{"x"}, got)
}

func uses(f fixture) {
	ctx := f.Context()
	at := func(n int, a broker.Action, o broker.Outcome, s broker.Subject, role string) {
		f.Helper()
		e := event(n, a, o, s)
		e.Target = role
		f.must(f.Record(ctx, e))
	}
	at(0, broker.ActionConsole, broker.OutcomeOK, alice, "old")
	at(1, broker.ActionConsole, broker.OutcomeOK, alice, "r1")
	at(2, broker.ActionCredentials, broker.OutcomeOK, alice, "r2")
	at(3, broker.ActionCredentials, broker.OutcomeRefused, alice, "refused")
	at(4, broker.ActionSignIn, broker.OutcomeOK, alice, "okta")
	at(5, broker.ActionConsole, broker.OutcomeOK, bob, "bobs")
	at(6, broker.ActionConsole, broker.OutcomeOK, alice, "r1")
	since := Start.Add(time.Second)
	got, err := f.Uses(ctx, alice, since, 10)
	f.must(err)
	f.equal([]broker.Use{
		{Role: "r1", At: Start.Add(6 * time.Second)}, {Role: "r2", At: Start.Add(2 * time.Second)}, {Role: "r1", At: Start.Add(time.Second)},
	}, got)
	got, err = f.Uses(ctx, alice, since, 1)
	f.must(err)
	f.equal(1, len(got))
}
