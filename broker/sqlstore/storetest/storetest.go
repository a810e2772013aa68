// Package storetest is the one conformance suite that every store passes.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

// Store is everything that rolegate keeps data in.
type Store interface {
	broker.StateStore
	broker.SessionStore
	broker.NameRegistry
	broker.IdentityStore
	broker.Recorder
	Events(ctx context.Context, f sqlstore.EventFilter) ([]broker.Event, error)
	Purge(ctx context.Context) (int64, error)
	Ping(ctx context.Context) error
	Close() error
}

// Open opens the store that belongs to t, with now as its clock. A second call
// with the same t opens the same data, whether or not the first store is closed:
// it is a second node, or the first one after a restart.
type Open func(t *testing.T, now func() time.Time) Store

// Start is what the suite's clock says at the beginning of each test.
var Start = time.Date(2026, 11, 24, 10, 0, 0, 123456000, time.UTC)

// clock is a clock that is moved by hand.
type clock struct{ micros atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMicro(c.micros.Load()).UTC() }

func (c *clock) advance(d time.Duration) { c.micros.Add(d.Microseconds()) }

type fixture struct {
	*testing.T
	Store
	clock *clock
	open  Open
}

// again opens the same data once more.
func (f fixture) again() Store { return f.open(f.T, f.clock.now) }

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, tt := range []struct {
		name string
		test func(fixture)
	}{
		{"put, get, take", putGetTake},
		{"values are bytes", values},
		{"expired state does not exist", stateExpiry},
		{"state needs a key and a life", stateArguments},
		{"of 50 takers one wins", concurrentTake},
		{"of 50 first users one wins", concurrentPutIfAbsent},
		{"50 swaps lose no step", concurrentSwap},
		{"swap compares", swap},
		{"sessions", sessions},
		{"session expiry", sessionExpiry},
		{"session touch", sessionTouch},
		{"find sessions", findSessions},
		{"names", names},
		{"names under concurrency", concurrentNames},
		{"one subject, 50 claims, one name", concurrentSameSubject},
		{"names are never reused", namesForEver},
		{"identities", identities},
		{"identities end after 90 days", identityExpiry},
		{"events", events},
		{"event filters", eventFilters},
		{"purge", purge},
		{"durable after reopen", durable},
		{"two nodes are one", twoNodes},
		{"an ended context is not a missing entry", endedContext},
		{"a closed store is unavailable", closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{}
			c.micros.Store(Start.UnixMicro())
			tt.test(fixture{T: t, Store: open(t, c.now), clock: c, open: open})
		})
	}
}

func (f fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f fixture) code(want broker.Code, err error) {
	f.Helper()
	if got := broker.CodeOf(err); got != want {
		f.Fatalf("code %q of %v, want %q", got, err, want)
	}
}

func (f fixture) equal(want, got any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Fatalf("(-want +got):\n%s", diff)
	}
}

// together runs n copies of do at once and waits for them.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			do(i)
		})
	}
	close(begin)
	wg.Wait()
}

func putGetTake(f fixture) {
	ctx := f.Context()
	_, err := f.Get(ctx, "k/1")
	f.code(broker.CodeNotFound, err)
	f.must(f.Put(ctx, "k/1", []byte("a"), time.Minute))
	f.must(f.Put(ctx, "k/1", []byte("b"), time.Minute))
	f.must(f.Put(ctx, "K/1", []byte("other"), time.Minute))
	for range 2 {
		v, err := f.Get(ctx, "k/1")
		f.must(err)
		f.equal("b", string(v))
	}
	v, err := f.Take(ctx, "k/1")
	f.must(err)
	f.equal("b", string(v))
	_, err = f.Take(ctx, "k/1")
	f.code(broker.CodeNotFound, err)
	_, err = f.Get(ctx, "k/1")
	f.code(broker.CodeNotFound, err)
	v, err = f.Get(ctx, "K/1")
	f.must(err)
	f.equal("other", string(v))
}

func values(f fixture) {
	ctx := f.Context()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, want := range [][]byte{nil, {}, {0}, all, bytes.Repeat([]byte("x"), 1<<20)} {
		key := fmt.Sprintf("k/'; drop table state; --\x01é%d", i)
		f.must(f.Put(ctx, key, want, time.Minute))
		got, err := f.Get(ctx, key)
		f.must(err)
		if !bytes.Equal(want, got) {
			f.Fatalf("value %d: got %d bytes, want %d", i, len(got), len(want))
		}
		ok, err := f.Swap(ctx, key, want, []byte("new"), time.Minute)
		f.must(err)
		f.equal(true, ok)
	}
}

func stateExpiry(f fixture) {
	ctx := f.Context()
	for _, k := range []string{"get", "take", "swap", "absent", "longer"} {
		f.must(f.Put(ctx, k, []byte("v"), time.Minute))
	}
	f.must(f.Put(ctx, "longer", []byte("v"), time.Minute+time.Microsecond))
	f.clock.advance(time.Minute - time.Microsecond)
	_, err := f.Get(ctx, "get")
	f.must(err)
	f.clock.advance(time.Microsecond) // the end is not included
	_, err = f.Get(ctx, "get")
	f.code(broker.CodeNotFound, err)
	_, err = f.Take(ctx, "take")
	f.code(broker.CodeNotFound, err)
	ok, err := f.Swap(ctx, "swap", []byte("v"), []byte("w"), time.Minute)
	f.must(err)
	f.equal(false, ok)
	ok, err = f.PutIfAbsent(ctx, "absent", []byte("w"), time.Minute)
	f.must(err)
	f.equal(true, ok)
	ok, err = f.PutIfAbsent(ctx, "absent", []byte("x"), time.Minute)
	f.must(err)
	f.equal(false, ok)
	v, err := f.Get(ctx, "absent")
	f.must(err)
	f.equal("w", string(v))
	_, err = f.Get(ctx, "longer")
	f.must(err)
}

func stateArguments(f fixture) {
	ctx := f.Context()
	for _, tt := range []struct {
		key string
		ttl time.Duration
	}{{"", time.Minute}, {"k", 0}, {"k", -time.Second}} {
		if f.Put(ctx, tt.key, nil, tt.ttl) == nil {
			f.Errorf("Put(%q, %s) was accepted", tt.key, tt.ttl)
		}
		if ok, err := f.PutIfAbsent(ctx, tt.key, nil, tt.ttl); ok || err == nil {
			f.Errorf("PutIfAbsent(%q, %s): %t, %v", tt.key, tt.ttl, ok, err)
		}
		if ok, err := f.Swap(ctx, tt.key, nil, nil, tt.ttl); ok || err == nil {
			f.Errorf("Swap(%q, %s): %t, %v", tt.key, tt.ttl, ok, err)
		}
	}
}

func concurrentTake(f fixture) {
	ctx := f.Context()
	f.must(f.Put(ctx, "one", []byte("v"), time.Minute))
	var won, lost atomic.Int32
	together(50, func(int) {
		v, err := f.Take(ctx, "one")
		switch {
		case err == nil && string(v) == "v":
			won.Add(1)
		case broker.CodeOf(err) == broker.CodeNotFound:
			lost.Add(1)
		default:
			f.Errorf("take: %q, %v", v, err)
		}
	})
	f.equal([]int32{1, 49}, []int32{won.Load(), lost.Load()})
}

func concurrentPutIfAbsent(f fixture) {
	ctx := f.Context()
	other := f.again()
	var won atomic.Int32
	var winner atomic.Value
	together(50, func(i int) {
		v := fmt.Sprint(i)
		ok, err := []Store{f.Store, other}[i%2].PutIfAbsent(ctx, "replay/x", []byte(v), time.Minute)
		if err != nil {
			f.Error(err)
		}
		if ok {
			won.Add(1)
			winner.Store(v)
		}
	})
	f.equal(int32(1), won.Load())
	v, err := f.Get(ctx, "replay/x")
	f.must(err)
	f.equal(winner.Load().(string), string(v))
}

func concurrentSwap(f fixture) {
	ctx := f.Context()
	f.must(f.Put(ctx, "counter", []byte("0"), time.Minute))
	together(50, func(int) {
		for {
			old, err := f.Get(ctx, "counter")
			if err != nil {
				f.Error(err)
				return
			}
			var n int
			if _, err := fmt.Sscan(string(old), &n); err != nil {
				f.Error(err)
				return
			}
			ok, err := f.Swap(ctx, "counter", old, []byte(fmt.Sprint(n+1)), time.Minute)
			if err != nil {
				f.Error(err)
				return
			}
			if ok {
				return
			}
		}
	})
	v, err := f.Get(ctx, "counter")
	f.must(err)
	f.equal("50", string(v))
}

func swap(f fixture) {
	ctx := f.Context()
	ok, err := f.Swap(ctx, "k", nil, []byte("b"), time.Minute)
	f.must(err)
	f.equal(false, ok) // nothing there
	f.must(f.Put(ctx, "k", []byte("a"), time.Minute))
	ok, err = f.Swap(ctx, "k", []byte("A"), []byte("b"), time.Minute)
	f.must(err)
	f.equal(false, ok)
	ok, err = f.Swap(ctx, "k", []byte("a"), []byte("b"), time.Hour)
	f.must(err)
	f.equal(true, ok)
	f.clock.advance(59 * time.Minute) // the new life counts
	v, err := f.Get(ctx, "k")
	f.must(err)
	f.equal("b", string(v))
}

func session(n int, sub broker.Subject) broker.SessionRow {
	return broker.SessionRow{
		Key: fmt.Sprintf("%064d", n), Subject: sub, NameID: "Name-" + sub.ID, SessionIndex: fmt.Sprintf("idx%d", n),
		CreatedAt: Start.Add(time.Duration(n) * time.Second), LastUsedAt: Start, ExpiresAt: Start.Add(10 * time.Hour), Body: []byte{0, byte(n)},
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
		want   []int
	}{
		{broker.SessionFilter{}, nil},
		{broker.SessionFilter{Provider: "okta"}, []int{0, 1, 3}},
		{broker.SessionFilter{Provider: "okta", SubjectID: alice.ID}, []int{0, 3}},
		{broker.SessionFilter{SubjectID: alice.ID}, []int{0, 2, 3}},
		{broker.SessionFilter{Provider: "okta", SubjectID: "00u-alice"}, nil}, // ids are exact
		{broker.SessionFilter{Provider: "entra", NameID: "Name-00u-Alice", SessionIndex: "idx2"}, []int{2}},
		{broker.SessionFilter{Provider: "okta", NameID: "Name-00u-Alice", SessionIndex: "idx2"}, nil},
		{broker.SessionFilter{SessionIndex: "idx3"}, []int{3}},
		{broker.SessionFilter{SessionIndex: "' or 1=1 --"}, nil},
		{broker.SessionFilter{NameID: "%"}, nil},
	} {
		rows, err := f.FindSessions(ctx, tt.filter)
		f.must(err)
		var got []int
		for _, r := range rows {
			got = append(got, int(r.Body[1]))
		}
		if !slices.Equal(tt.want, got) {
			f.Errorf("%+v: got %v, want %v", tt.filter, got, tt.want)
		}
	}
}

func names(f fixture) {
	ctx := f.Context()
	claim := func(kind broker.NameKind, s broker.Subject, candidates ...string) string {
		f.Helper()
		n, err := f.ClaimName(ctx, kind, s, candidates...)
		f.must(err)
		return n
	}
	f.equal("Alice@example.com", claim(broker.NameRoleSession, alice, "Alice@example.com", "x"))
	f.equal("Alice@example.com", claim(broker.NameRoleSession, alice, "other"))                         // stable
	f.equal("alice@example.com", claim(broker.NameSourceIdentity, bob, "alice@example.com"))            // another table
	f.equal("b2", claim(broker.NameRoleSession, bob, "ALICE@EXAMPLE.COM", "b2"))                        // taken in other capitals
	f.equal("c3", claim(broker.NameRoleSession, carol, "alice@example.com", "B2", "c3"))                // same id, other provider
	f.equal("second", claim(broker.NameSourceIdentity, alice, "Alice@Example.Com", "second", "unused")) // not asked for further
	_, err := f.ClaimName(ctx, broker.NameSourceIdentity, carol, "SECOND", "Alice@example.com")
	f.code(broker.CodeConflict, err)
	if n, err := f.ClaimName(ctx, broker.NameRoleSession, broker.Subject{Provider: "okta"}, "x"); err == nil {
		f.Errorf("a subject without an id got the name %q", n)
	}
	if n, err := f.ClaimName(ctx, broker.NameSourceIdentity, carol, ""); err == nil {
		f.Errorf("got the empty name as %q", n)
	}
}

func concurrentNames(f fixture) {
	ctx := f.Context()
	other := f.again()
	var mu sync.Mutex
	holders := map[string]broker.Subject{}
	together(50, func(i int) {
		s := broker.Subject{Provider: "okta", ID: fmt.Sprint(i)}
		wanted := "J.Doe@example.com"
		if i%2 == 1 {
			wanted = "j.doe@EXAMPLE.com"
		}
		n, err := []Store{f.Store, other}[i%2].ClaimName(ctx, broker.NameRoleSession, s, wanted, fmt.Sprintf("%s-%d", wanted, i))
		if err != nil {
			f.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if h, taken := holders[strings.ToLower(n)]; taken {
			f.Errorf("%s and %s both have %s", h, s, n)
		}
		holders[strings.ToLower(n)] = s
	})
	if _, ok := holders["j.doe@example.com"]; !ok || len(holders) != 50 {
		f.Errorf("%d names, the plain one given: %t", len(holders), ok)
	}
}

func concurrentSameSubject(f fixture) {
	ctx := f.Context()
	other := f.again()
	var got [50]string
	together(50, func(i int) {
		n, err := []Store{f.Store, other}[i%2].ClaimName(ctx, broker.NameRoleSession, alice, fmt.Sprintf("alice-%d", i))
		if err != nil {
			f.Error(err)
		}
		got[i] = n
	})
	for _, n := range got {
		f.equal(got[0], n)
	}
}

func namesForEver(f fixture) {
	ctx := f.Context()
	_, err := f.ClaimName(ctx, broker.NameRoleSession, alice, "alice")
	f.must(err)
	f.clock.advance(10 * 365 * 24 * time.Hour)
	_, err = f.Purge(ctx)
	f.must(err)
	_, err = f.ClaimName(ctx, broker.NameRoleSession, bob, "Alice")
	f.code(broker.CodeConflict, err)
}

func identity(s broker.Subject, user, email string, seen time.Time) broker.IdentityRow {
	return broker.IdentityRow{Subject: s, Username: user, Email: email, SeenAt: seen, Body: []byte(user)}
}

func identities(f fixture) {
	ctx := f.Context()
	a, b, c := identity(alice, "alice", "alice@example.com", Start), identity(bob, "bob", "b@example.com", Start), identity(carol, "alice", "", Start)
	for _, r := range []broker.IdentityRow{a, b, c} {
		f.must(f.SaveIdentity(ctx, r))
	}
	b.Username, b.Email, b.SeenAt, b.Body = "robert", "robert@example.com", Start.Add(time.Hour), []byte("new")
	f.must(f.SaveIdentity(ctx, b))
	for _, tt := range []struct {
		user string
		want []broker.IdentityRow
	}{
		{"", []broker.IdentityRow{c, a, b}},
		{"alice", []broker.IdentityRow{c, a}},
		{"ALICE@example.com", []broker.IdentityRow{a}},
		{"00U-alice", []broker.IdentityRow{c, a}},
		{"00u-Bob", []broker.IdentityRow{b}},
		{"bob", nil}, {"ali", nil}, {"%", nil}, {"' or 1=1 --", nil},
	} {
		got, err := f.FindIdentities(ctx, tt.user)
		f.must(err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			f.Errorf("%q (-want +got):\n%s", tt.user, diff)
		}
	}
}

func identityExpiry(f fixture) {
	ctx := f.Context()
	f.must(f.SaveIdentity(ctx, identity(alice, "alice", "", Start)))
	f.clock.advance(sqlstore.IdentityTTL - time.Microsecond)
	got, err := f.FindIdentities(ctx, "alice")
	f.must(err)
	f.equal(1, len(got))
	f.clock.advance(time.Microsecond)
	got, err = f.FindIdentities(ctx, "")
	f.must(err)
	f.equal(0, len(got))
}

func event(n int, a broker.Action, o broker.Outcome, s broker.Subject) broker.Event {
	return broker.Event{
		Time: Start.Add(time.Duration(n) * time.Second), Action: a, Outcome: o, Actor: s, Username: "u" + s.ID,
		TraceID: fmt.Sprintf("trace-%d", n), RequestID: fmt.Sprintf("request-%d", n), Remote: "192.0.2.1", Target: "okta",
		Detail: map[string]string{"n": fmt.Sprint(n), "odd": "'\"\x00\u2028é"},
	}
}

func events(f fixture) {
	ctx := f.Context()
	full := event(0, broker.ActionSignIn, broker.OutcomeRefused, alice)
	full.Code = broker.CodeStepUp
	bare := broker.Event{Time: Start, Action: broker.ActionSignOut, Outcome: broker.OutcomeOK}
	want := []broker.Event{full, bare, full} // three of one microsecond stay in order
	for _, e := range want {
		f.must(f.Record(ctx, e))
	}
	got, err := f.Events(ctx, sqlstore.EventFilter{})
	f.must(err)
	f.equal(want, got)

	together(50, func(i int) {
		if err := f.Record(ctx, event(i+1, broker.ActionConsole, broker.OutcomeOK, bob)); err != nil {
			f.Error(err)
		}
	})
	got, err = f.Events(ctx, sqlstore.EventFilter{Action: broker.ActionConsole})
	f.must(err)
	f.equal(50, len(got))
}

func eventFilters(f fixture) {
	ctx := f.Context()
	all := []broker.Event{
		event(0, broker.ActionSignIn, broker.OutcomeOK, alice),
		event(1, broker.ActionSignIn, broker.OutcomeRefused, bob),
		event(2, broker.ActionConsole, broker.OutcomeOK, carol),
		event(3, broker.ActionConsole, broker.OutcomeFailed, alice),
	}
	for _, i := range []int{2, 0, 3, 1} { // told in the order of their times, not of their arrival
		f.must(f.Record(ctx, all[i]))
	}
	for _, tt := range []struct {
		filter sqlstore.EventFilter
		want   []int
	}{
		{sqlstore.EventFilter{}, []int{0, 1, 2, 3}},
		{sqlstore.EventFilter{Limit: 2}, []int{2, 3}},
		{sqlstore.EventFilter{Since: all[1].Time, Until: all[3].Time}, []int{1, 2}},
		{sqlstore.EventFilter{Action: broker.ActionSignIn}, []int{0, 1}},
		{sqlstore.EventFilter{Outcome: broker.OutcomeOK}, []int{0, 2}},
		{sqlstore.EventFilter{Actor: alice}, []int{0, 3}},
		{sqlstore.EventFilter{Actor: alice, Action: broker.ActionConsole, Limit: 5}, []int{3}},
		{sqlstore.EventFilter{Username: "u00u-bob"}, []int{1}},
		{sqlstore.EventFilter{TraceID: "trace-2"}, []int{2}},
		{sqlstore.EventFilter{RequestID: "request-3"}, []int{3}},
		{sqlstore.EventFilter{TraceID: "' or 1=1 --"}, nil},
	} {
		got, err := f.Events(ctx, tt.filter)
		f.must(err)
		var want []broker.Event
		for _, i := range tt.want {
			want = append(want, all[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			f.Errorf("%+v (-want +got):\n%s", tt.filter, diff)
		}
	}
}

func purge(f fixture) {
	ctx := f.Context()
	const many = 1100 // more than two batches
	for i := range many {
		f.must(f.Put(ctx, fmt.Sprintf("short/%d", i), nil, time.Minute))
	}
	f.must(f.Put(ctx, "long", nil, 1000*24*time.Hour))
	f.must(f.SaveSession(ctx, session(1, alice)))
	live := session(2, alice)
	live.ExpiresAt = Start.Add(1000 * 24 * time.Hour)
	f.must(f.SaveSession(ctx, live))
	f.must(f.SaveIdentity(ctx, identity(alice, "alice", "", Start)))
	f.must(f.SaveIdentity(ctx, identity(bob, "bob", "", Start.Add(time.Hour))))
	f.must(f.Record(ctx, event(0, broker.ActionSignIn, broker.OutcomeOK, alice)))
	n, err := f.Purge(ctx)
	f.must(err)
	f.equal(int64(0), n)
	f.clock.advance(sqlstore.IdentityTTL)
	n, err = f.Purge(ctx)
	f.must(err)
	f.equal(int64(many+1+1), n)
	_, err = f.Get(ctx, "long")
	f.must(err)
	_, err = f.Session(ctx, live.Key)
	f.must(err)
	ids, err := f.FindIdentities(ctx, "")
	f.must(err)
	f.equal(1, len(ids))
	es, err := f.Events(ctx, sqlstore.EventFilter{})
	f.must(err)
	f.equal(1, len(es))
}

func durable(f fixture) {
	ctx := f.Context()
	f.must(f.Put(ctx, "k", []byte("v"), time.Hour))
	f.must(f.Put(ctx, "gone", []byte("v"), time.Hour))
	_, err := f.Take(ctx, "gone")
	f.must(err)
	s, e, i := session(1, alice), event(0, broker.ActionSignIn, broker.OutcomeOK, alice), identity(alice, "alice", "", Start)
	f.must(f.SaveSession(ctx, s))
	f.must(f.Record(ctx, e))
	f.must(f.SaveIdentity(ctx, i))
	_, err = f.ClaimName(ctx, broker.NameRoleSession, alice, "alice")
	f.must(err)
	f.must(f.Close())

	g := f.again()
	v, err := g.Get(ctx, "k")
	f.must(err)
	f.equal("v", string(v))
	_, err = g.Take(ctx, "gone")
	f.code(broker.CodeNotFound, err)
	gotS, err := g.Session(ctx, s.Key)
	f.must(err)
	f.equal(s, gotS)
	gotE, err := g.Events(ctx, sqlstore.EventFilter{})
	f.must(err)
	f.equal([]broker.Event{e}, gotE)
	gotI, err := g.FindIdentities(ctx, "alice")
	f.must(err)
	f.equal([]broker.IdentityRow{i}, gotI)
	name, err := g.ClaimName(ctx, broker.NameRoleSession, alice, "other")
	f.must(err)
	f.equal("alice", name)
}

func twoNodes(f fixture) {
	ctx := f.Context()
	other := f.again()
	f.must(f.Put(ctx, "k", []byte("v"), time.Hour))
	v, err := other.Take(ctx, "k")
	f.must(err)
	f.equal("v", string(v))
	_, err = f.Take(ctx, "k")
	f.code(broker.CodeNotFound, err)
	s := session(1, alice)
	f.must(other.SaveSession(ctx, s))
	f.must(f.DeleteSession(ctx, s.Key))
	_, err = other.Session(ctx, s.Key)
	f.code(broker.CodeNotFound, err)
}

func endedContext(f fixture) {
	f.must(f.Put(f.Context(), "k", []byte("v"), time.Hour))
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	_, err := f.Get(ctx, "k")
	f.code(broker.CodeUnavailable, err)
	_, err = f.Take(ctx, "k")
	f.code(broker.CodeUnavailable, err)
	_, err = f.PutIfAbsent(ctx, "k2", nil, time.Hour)
	f.code(broker.CodeUnavailable, err)
	_, err = f.Take(f.Context(), "k")
	f.must(err)
}

func closed(f fixture) {
	ctx := f.Context()
	f.must(f.Ping(ctx))
	f.must(f.Close())
	for name, do := range map[string]func() error{
		"Put":         func() error { return f.Put(ctx, "k", nil, time.Hour) },
		"PutIfAbsent": func() error { _, err := f.PutIfAbsent(ctx, "k", nil, time.Hour); return err },
		"Get":         func() error { _, err := f.Get(ctx, "k"); return err },
		"Take":        func() error { _, err := f.Take(ctx, "k"); return err },
		"Swap":        func() error { _, err := f.Swap(ctx, "k", nil, nil, time.Hour); return err },
		"SaveSession": func() error { return f.SaveSession(ctx, session(1, alice)) },
		"Session":     func() error { _, err := f.Session(ctx, "k"); return err },
		"Touch":       func() error { return f.TouchSession(ctx, "k", Start) },
		"Delete":      func() error { return f.DeleteSession(ctx, "k") },
		"Find":        func() error { _, err := f.FindSessions(ctx, broker.SessionFilter{Provider: "okta"}); return err },
		"ClaimName":   func() error { _, err := f.ClaimName(ctx, broker.NameRoleSession, alice, "a"); return err },
		"SaveID":      func() error { return f.SaveIdentity(ctx, identity(alice, "alice", "", Start)) },
		"FindIDs":     func() error { _, err := f.FindIdentities(ctx, ""); return err },
		"Record":      func() error { return f.Record(ctx, broker.Event{Time: Start}) },
		"Events":      func() error { _, err := f.Events(ctx, sqlstore.EventFilter{}); return err },
		"Purge":       func() error { _, err := f.Purge(ctx); return err },
		"Ping":        func() error { return f.Ping(ctx) },
	} {
		if err := do(); broker.CodeOf(err) != broker.CodeUnavailable {
			f.Errorf("%s: %v", name, err)
		}
	}
}
