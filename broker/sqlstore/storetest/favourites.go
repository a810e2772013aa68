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
