package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

func session(n int, sub broker.Subject) broker.SessionRow {
	return broker.SessionRow{
		Key: fmt.Sprintf("%064d", n), Subject: sub, NameID: "Name-" + sub.ID, SessionIndex: fmt.Sprintf("idx%d", n),
		CreatedAt: Start.Add(time.Duration(n) * time.Second), LastUsedAt: Start, ExpiresAt: Start.Add(10 * time.Hour), Body: []byte(fmt.Sprint(n)),
	}
}

var (
	alice = broker.Subject{Provider: "okta", ID: "00u-Alice"}
	bob   = broker.Subject{Provider: "okta", ID: "00u-bob"}
	carol = broker.Subject{Provider: "entra", ID: "00u-Alice"} // alice's id at another provider
)

func sessions(f fixture) {
	ctx := f.Context()
	s := session(1, alice)
	_, err := f.Session(ctx, s.Key)
	f.code(broker.CodeNotFound, err)
	f.must(f.SaveSession(ctx, s))
	got, err := f.Session(ctx, s.Key)
	f.must(err)
	f.equal(s, got)
	s.Body, s.SessionIndex, s.ExpiresAt = []byte("new"), "idx2", s.ExpiresAt.Add(time.Hour)
	f.must(f.SaveSession(ctx, s))
	got, err = f.Session(ctx, s.Key)
	f.must(err)
	f.equal(s, got)
	f.must(f.DeleteSession(ctx, s.Key))
	f.must(f.DeleteSession(ctx, s.Key))
	_, err = f.Session(ctx, s.Key)
	f.code(broker.CodeNotFound, err)
}

func sessionExpiry(f fixture) {
	ctx := f.Context()
	s := session(1, alice)
	f.must(f.SaveSession(ctx, s))
	f.clock.advance(10*time.Hour - time.Microsecond)
	_, err := f.Session(ctx, s.Key)
	f.must(err)
	f.clock.advance(time.Microsecond)
	_, err = f.Session(ctx, s.Key)
	f.code(broker.CodeNotFound, err)
	found, err := f.FindSessions(ctx, broker.SessionFilter{Provider: "okta"})
	f.must(err)
	f.equal(0, len(found))
}

// sessionReplace: a body changes in place, and an ended session stays ended.
func sessionReplace(f fixture) {
	ctx := f.Context()
	s := session(1, alice)
	f.code(broker.CodeNotFound, f.ReplaceBody(ctx, s.Key, []byte("new")))
	f.must(f.SaveSession(ctx, s))
	f.must(f.ReplaceBody(ctx, s.Key, []byte("new")))
	got, err := f.Session(ctx, s.Key)
	f.must(err)
	s.Body = []byte("new")
	f.equal(s, got)
	f.must(f.DeleteSession(ctx, s.Key))
	f.code(broker.CodeNotFound, f.ReplaceBody(ctx, s.Key, []byte("back")))
	_, err = f.Session(ctx, s.Key)
	f.code(broker.CodeNotFound, err)
}

func sessionTouch(f fixture) {
	ctx := f.Context()
	s := session(1, alice)
	f.must(f.SaveSession(ctx, s))
	later := Start.Add(time.Minute)
	f.must(f.TouchSession(ctx, s.Key, later))
	f.must(f.TouchSession(ctx, s.Key, Start)) // a slow request of before does not turn it back
	got, err := f.Session(ctx, s.Key)
	f.must(err)
	s.LastUsedAt = later
	f.equal(s, got)
	f.must(f.DeleteSession(ctx, s.Key))
	f.must(f.TouchSession(ctx, s.Key, later))
	_, err = f.Session(ctx, s.Key) // and does not bring it back
	f.code(broker.CodeNotFound, err)
}

func findSessions(f fixture) {
	ctx := f.Context()
	for n, sub := range []broker.Subject{alice, bob, carol, alice} {
		f.must(f.SaveSession(ctx, session(n, sub)))
	}
	for _, tt := range []struct {
		filter broker.SessionFilter
		want   string
	}{
		{broker.SessionFilter{}, ""},
		{broker.SessionFilter{Provider: "okta"}, "0 1 3"},
		{broker.SessionFilter{Provider: "okta", SubjectID: alice.ID}, "0 3"},
		{broker.SessionFilter{SubjectID: alice.ID}, "0 2 3"},
		{broker.SessionFilter{Provider: "okta", SubjectID: "00u-alice"}, ""}, // ids are exact
		{broker.SessionFilter{Provider: "entra", NameID: "Name-00u-Alice", SessionIndex: "idx2"}, "2"},
		{broker.SessionFilter{Provider: "okta", NameID: "Name-00u-Alice", SessionIndex: "idx2"}, ""},
		{broker.SessionFilter{SessionIndex: "idx3"}, "3"},
		{broker.SessionFilter{SessionIndex: "' or 1=1 --"}, ""},
		{broker.SessionFilter{NameID: "%"}, ""},
	} {
		rows, err := f.FindSessions(ctx, tt.filter)
		f.must(err)
		var got []string
		for _, r := range rows {
			got = append(got, string(r.Body))
		}
		if strings.Join(got, " ") != tt.want {
			f.Errorf("%+v: got %v, want %v", tt.filter, got, tt.want)
		}
	}
}
