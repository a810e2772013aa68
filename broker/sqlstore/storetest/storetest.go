package storetest

import (
	"context"
	"fmt"
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
	broker.SessionLister
	broker.Revoker
	broker.NameRegistry
	broker.NameKeeper
	broker.IdentityStore
	broker.Recorder
	broker.FavouriteStore
	broker.RoleSessionStore
	SaveNode(ctx context.Context, id, keys string, ttl time.Duration) error
	Nodes(ctx context.Context) (map[string]string, error)
	DeleteNode(ctx context.Context, id string) error
	broker.EventLog
	broker.EventPruner
	broker.FactorStore
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
		{"session replace", sessionReplace},
		{"session ended by the key of before", sessionEndedByOldKey},
		{"session replaced and ended at once", sessionReplaceAgainstEnd},
		{"session touch", sessionTouch},
		{"find sessions", findSessions},
		{"list sessions", listSessions},
		{"revocation", revocation},
		{"query events", queryEvents},
		{"names", names},
		{"names under concurrency", concurrentNames},
		{"one subject, 50 claims, one name", concurrentSameSubject},
		{"names are never reused", namesForEver},
		{"names are listed and released", releaseNames},
		{"identities", identities},
		{"favourites", favourites},
		{"role sessions", roleSessions},
		{"a role session and its event are one", roleSessionWithEvent},
		{"identities end after 90 days", identityExpiry},
		{"events", events},
		{"event filters", eventFilters},
		{"old events are deleted", deleteEvents},
		{"events of odd bytes", oddEvents},
		{"nodes", nodes},
		{"factors", testFactors},
		{"of 20 uses of a factor one wins", testSwapFactor},
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

// together runs 50 copies of do at once and waits for them.
func together(do func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range 50 {
		wg.Go(func() {
			<-begin
			do(i)
		})
	}
	close(begin)
	wg.Wait()
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
		"Replace":     func() error { return f.ReplaceSession(ctx, "k", session(1, alice)) },
		"Delete":      func() error { return f.DeleteSession(ctx, "k") },
		"Find":        func() error { _, err := f.FindSessions(ctx, broker.SessionFilter{Provider: "okta"}); return err },
		"ClaimName":   func() error { _, err := f.ClaimName(ctx, broker.NameRoleSession, alice, "a"); return err },
		"SaveID":      func() error { return f.SaveIdentity(ctx, identity(alice, "alice", "", Start)) },
		"FindIDs":     func() error { _, err := f.FindIdentities(ctx, ""); return err },
		"Record":      func() error { return f.Record(ctx, broker.Event{Time: Start}) },
		"SaveNode":    func() error { return f.SaveNode(ctx, "a", "k", time.Minute) },
		"Nodes":       func() error { _, err := f.Nodes(ctx); return err },
		"DeleteNode":  func() error { return f.DeleteNode(ctx, "a") },
		"Events":      func() error { _, err := f.Events(ctx, sqlstore.EventFilter{}); return err },
		"Purge":       func() error { _, err := f.Purge(ctx); return err },
		"Ping":        func() error { return f.Ping(ctx) },
	} {
		if err := do(); broker.CodeOf(err) != broker.CodeUnavailable {
			f.Errorf("%s: %v", name, err)
		}
	}
}

func nodes(f fixture) {
	ctx := f.Context()
	other := f.again()
	f.must(f.SaveNode(ctx, "a", "1 2", time.Minute))
	f.must(other.SaveNode(ctx, "b", "1", time.Hour))
	f.must(other.SaveNode(ctx, "b", "1 2 3", time.Hour))
	got, err := f.Nodes(ctx)
	f.must(err)
	f.equal(map[string]string{"a": "1 2", "b": "1 2 3"}, got)
	f.clock.advance(time.Minute)
	got, err = other.Nodes(ctx)
	f.must(err)
	f.equal(map[string]string{"b": "1 2 3"}, got)
	n, err := f.Purge(ctx)
	f.must(err)
	f.equal(int64(1), n)
	f.must(f.DeleteNode(ctx, "b"))
	f.must(f.DeleteNode(ctx, "b"))
	got, err = other.Nodes(ctx)
	f.must(err)
	f.equal(map[string]string{}, got)
}

// oddEvents are kept: no database may refuse to record an attack for its bytes.
func oddEvents(f fixture) {
	ctx := f.Context()
	e := event(0, broker.ActionSignIn, broker.OutcomeRefused, alice)
	e.Username, e.Target, e.Actor.ID = "a\x00b", "\xff\xfe", "c\xc3"
	e.Detail = map[string]string{"n": "\x00\xff"}
	f.must(f.Record(ctx, e))
	got, err := f.Events(ctx, sqlstore.EventFilter{})
	f.must(err)
	e.Username, e.Target, e.Actor.ID = "a\uFFFDb", "\uFFFD", "c\uFFFD"
	e.Detail = map[string]string{"n": "\x00\uFFFD"}
	f.equal([]broker.Event{e}, got)
}
