package storetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// sessionReplace: a session changes in place, with or without its key, and an
// ended session stays ended.
func sessionReplace(f fixture) {
	ctx := f.Context()
	s := session(1, alice)
	f.code(broker.CodeNotFound, f.ReplaceSession(ctx, s.Key, s))
	f.must(f.SaveSession(ctx, s))
	later := Start.Add(time.Minute)
	f.must(f.TouchSession(ctx, s.Key, later))
	s.Body = []byte("new")
	f.must(f.ReplaceSession(ctx, s.Key, s))
	got, err := f.Session(ctx, s.Key)
	f.must(err)
	s.LastUsedAt = later // not turned back
	f.equal(s, got)

	next := session(2, alice)
	next.NameID, next.LastUsedAt, next.ExpiresAt = "other", later.Add(time.Minute), next.ExpiresAt.Add(time.Hour)
	f.must(f.ReplaceSession(ctx, s.Key, next))
	_, err = f.Session(ctx, s.Key)
	f.code(broker.CodeNotFound, err)
	got, err = f.again().Session(ctx, next.Key)
	f.must(err)
	f.equal(next, got)
	f.code(broker.CodeNotFound, f.ReplaceSession(ctx, s.Key, session(3, alice)))

	f.must(f.DeleteSession(ctx, next.Key))
	f.code(broker.CodeNotFound, f.ReplaceSession(ctx, next.Key, session(3, alice)))
	for _, n := range []int{1, 2, 3} {
		_, err = f.Session(ctx, session(n, alice).Key)
		f.code(broker.CodeNotFound, err)
	}

	short := session(4, alice)
	f.must(f.SaveSession(ctx, short))
	f.clock.advance(10 * time.Hour)
	f.code(broker.CodeNotFound, f.ReplaceSession(ctx, short.Key, session(5, alice)))
}

// sessionEndedByOldKey: who holds the key of before a replacement ends the
// session all the same, and no other.
func sessionEndedByOldKey(f fixture) {
	ctx := f.Context()
	for n := range 4 {
		f.must(f.SaveSession(ctx, session(n, alice)))
	}
	f.must(f.ReplaceSession(ctx, session(1, alice).Key, session(11, alice)))
	f.must(f.ReplaceSession(ctx, session(2, alice).Key, session(12, alice)))
	changed := session(12, alice)
	changed.Body = []byte("changed")
	f.must(f.ReplaceSession(ctx, changed.Key, changed)) // keeps what it replaced
	f.must(f.DeleteSession(ctx, ""))                    // replaced by none
	f.must(f.again().DeleteSession(ctx, session(2, alice).Key))
	rows, err := f.FindSessions(ctx, broker.SessionFilter{Provider: alice.Provider})
	f.must(err)
	var got []string
	for _, r := range rows {
		got = append(got, string(r.Body))
	}
	f.equal([]string{"0", "3", "11"}, got)
}

// sessionReplaceAgainstEnd: of a replacement and an end at the same time, on two
// nodes, nothing is left whoever is first; of many replacements one wins.
func sessionReplaceAgainstEnd(f fixture) {
	ctx := f.Context()
	stores := []Store{f.Store, f.again()}
	for round := range 20 {
		old := session(1000*round, alice)
		f.must(f.SaveSession(ctx, old))
		begin := make(chan struct{})
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				<-begin
				var err error
				if i == round%2 {
					err = s.DeleteSession(ctx, old.Key)
				} else if err = s.ReplaceSession(ctx, old.Key, session(1000*round+1, alice)); broker.CodeOf(err) == broker.CodeNotFound {
					err = nil
				}
				if err != nil {
					f.Error(err)
				}
			})
		}
		close(begin)
		wg.Wait()
	}
	rows, err := f.FindSessions(ctx, broker.SessionFilter{Provider: alice.Provider})
	f.must(err)
	f.equal(0, len(rows))

	old := session(1, bob)
	f.must(f.SaveSession(ctx, old))
	var won atomic.Int32
	together(func(i int) {
		err := stores[i%2].ReplaceSession(ctx, old.Key, session(100+i, bob))
		switch broker.CodeOf(err) {
		case "":
			won.Add(1)
		case broker.CodeNotFound:
		default:
			f.Error(err)
		}
	})
	f.equal(int32(1), won.Load())
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
