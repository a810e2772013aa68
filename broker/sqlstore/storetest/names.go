package storetest

import (
	"fmt"

	"github.com/rolegate/rolegate/broker"
)

// releaseNames: names are found by whose they are and by themselves, and one that
// is released goes with its event, or not at all.
func releaseNames(f fixture) {
	ctx := f.Context()
	list := func(user string) (out []string) {
		f.Helper()
		f.must(f.Names(ctx, user, func(r broker.NameRow) error {
			out = append(out, fmt.Sprint(r.Name, " ", r.Kind, " ", r.Subject, " ", r.Username, " ", r.ClaimedAt.Equal(Start)))
			return nil
		}))
		return out
	}
	for _, s := range []broker.Subject{alice, bob} {
		for _, kind := range []broker.NameKind{broker.NameRoleSession, broker.NameSourceIdentity} {
			_, err := f.ClaimName(ctx, kind, s, "Name-"+s.ID+string(s.Provider))
			f.must(err)
		}
	}
	f.must(f.SaveIdentity(ctx, broker.IdentityRow{Subject: alice, Username: "alice", Email: "alice@example.com", SeenAt: Start}))
	name := "Name-" + alice.ID + string(alice.Provider)
	want := []string{
		fmt.Sprint(name, " role_session ", alice, " alice true"), fmt.Sprint(name, " source_identity ", alice, " alice true"),
	}
	for _, user := range []string{"ALICE", "alice@EXAMPLE.com", alice.ID, "n" + name[1:]} {
		f.equal(want, list(user))
	}
	f.equal(4, len(list("")))
	f.equal(0, len(list("mallory")))
	boom := broker.Errorf(broker.CodeDenied, "Enough.")
	if err := f.Names(ctx, "", func(broker.NameRow) error { return boom }); err == nil {
		f.Error("the error of each is lost")
	}

	e := event(1, broker.ActionNameRelease, broker.OutcomeOK, broker.Subject{})
	e.Target = name
	f.code(broker.CodeNotFound, f.ReleaseName(ctx, name, bob, e))
	f.code(broker.CodeNotFound, f.ReleaseName(ctx, "nobody's", alice, e))
	f.equal(4, len(list("")))
	all, err := f.QueryEvents(ctx, broker.EventQuery{})
	f.must(err)
	f.equal(0, len(all))
	f.must(f.ReleaseName(ctx, "n"+name[1:], alice, e))
	f.equal(0, len(list("alice")))
	f.equal(2, len(list("")))
	all, err = f.QueryEvents(ctx, broker.EventQuery{Action: broker.ActionNameRelease})
	f.must(err)
	f.equal(1, len(all))
	got, err := f.again().ClaimName(ctx, broker.NameSourceIdentity, carol, name)
	f.must(err)
	f.equal(name, got)
}
