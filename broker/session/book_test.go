package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/session"
)

// acting is the session of a program that was let in from a browser's, kept as
// one that was derived from root; "" for one that a person approved.
func acting(t *testing.T, r *brokertest.Rig, from *broker.Session, root string) *broker.Session {
	t.Helper()
	s := *from
	s.Key = broker.NewSecret("acting for " + root).Hash()
	s.Client = &broker.SessionClient{ID: "x", Name: "x", Source: from.Key, Root: root}
	if err := r.People.Save(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// storeBehind is a store that still has what has expired: one whose clock is
// behind, or that was not tidied.
type storeBehind struct {
	*brokertest.Store
	rows map[string]broker.SessionRow
}

func (s storeBehind) Session(ctx context.Context, key string) (broker.SessionRow, error) {
	if row, ok := s.rows[key]; ok {
		return row, nil
	}
	return s.Store.Session(ctx, key)
}

// TestAttackEndedByTheClock ensures that each end of a session holds alone, at
// the moment itself, also where the store still has the row, and that who comes
// with it takes the row away once nothing needs it any more.
func TestAttackEndedByTheClock(t *testing.T) {
	for _, tt := range []struct {
		name    string
		limits  broker.SessionLimits
		program bool
		after   time.Duration
		over    bool // nobody gets in
		kept    bool // it still holds what programs need
	}{
		{"a browser's in time", broker.SessionLimits{Idle: time.Hour, Absolute: 2 * time.Hour}, false, time.Hour - 1, false, true},
		{"a browser's idle end", broker.SessionLimits{Idle: time.Hour, Absolute: 2 * time.Hour}, false, time.Hour, true, true},
		{"a browser's absolute end", broker.SessionLimits{Idle: 9 * time.Hour, Absolute: 2 * time.Hour}, false, 2 * time.Hour, true, false},
		{"just before a browser's absolute end", broker.SessionLimits{Idle: 9 * time.Hour, Absolute: 2 * time.Hour}, false, 2*time.Hour - 1, false, true},
		{"a program's is not used", broker.SessionLimits{Idle: time.Hour, Absolute: 2 * time.Hour}, true, 2*time.Hour - 1, false, true},
		{"a program's absolute end", broker.SessionLimits{Idle: time.Hour, Absolute: 2 * time.Hour}, true, 2 * time.Hour, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.Limits = tt.limits
			r.Limit(t, nil)
			sess := r.SignIn(t)
			if tt.program {
				sess = acting(t, r, sess, "")
			}
			behind := storeBehind{r.Store, r.Store.Sessions()}
			b := book(t, r, func(c *session.Config) { c.Limits, c.Store = tt.limits, behind })
			r.Clock = r.Clock.Add(tt.after)
			want := map[bool]broker.Code{false: "", true: broker.CodeNotFound}
			_, err := b.Kept(t.Context(), sess.Key)
			brokertest.WantCode(t, "kept", want[!tt.kept], err)
			_, err = b.Live(t.Context(), sess.Key)
			brokertest.WantCode(t, "live", want[tt.over], err)
			if !r.Alive(sess) {
				t.Error("a look took the row away")
			}
			_, err = b.Use(t.Context(), sess.Key)
			brokertest.WantCode(t, "used", want[tt.over], err)
			if r.Alive(sess) != tt.kept {
				t.Errorf("the row is there: %t", r.Alive(sess))
			}
			if listed := b.Describe([]broker.SessionRow{behind.rows[sess.Key]}); (len(listed) == 0) != tt.over {
				t.Errorf("%d are listed", len(listed))
			}
		})
	}
}

// TestAttackDerivedFromWhatEnded ensures that a session which hangs on another
// one opens nothing once that is gone, that the reason names it, and that a store
// which does not answer about it is no yes.
func TestAttackDerivedFromWhatEnded(t *testing.T) {
	r := brokertest.New(t)
	root := r.SignIn(t)
	derived := acting(t, r, root, root.Key)
	if _, err := r.People.Live(t.Context(), derived.Key); err != nil {
		t.Fatal(err)
	}
	down := book(t, r, func(c *session.Config) { c.Store = brokertest.Failing{Store: r.Store, Call: "read", Key: root.Key} })
	_, err := down.Live(t.Context(), derived.Key)
	brokertest.WantCode(t, "the store is down for the other one", broker.CodeUnavailable, err)

	if err := r.People.Remove(t.Context(), root.Key); err != nil {
		t.Fatal(err)
	}
	_, err = r.People.Live(t.Context(), derived.Key)
	brokertest.WantCode(t, "the other one ended", broker.CodeNotFound, err)
	why, ok := errors.AsType[*session.RootError](err)
	if !ok || why.Key != root.Key || broker.CodeOf(errors.Unwrap(why)) != broker.CodeNotFound {
		t.Errorf("%v does not say which one ended, and why", err)
	}
	_, err = r.People.Kept(t.Context(), derived.Key)
	brokertest.WantCode(t, "what it holds", broker.CodeNotFound, err)
}

// TestProven ensures that each proof counts alone, our own only where it is
// allowed, and that none is none.
func TestProven(t *testing.T) {
	provider := broker.MFAPolicy{AuthnContext: [][]string{{"mfa"}}}
	own := &broker.OwnProof{}
	for _, tt := range []struct {
		name   string
		policy broker.MFAPolicy
		acr    string
		own    *broker.OwnProof
		want   bool
	}{
		{"no proof", provider, "", nil, false},
		{"no proof where our own is allowed", brokertest.Allowed, "", nil, false},
		{"the provider's", provider, "mfa", nil, true},
		{"our own where it is allowed", brokertest.Allowed, "", own, true},
		{"our own where it is off", provider, "", own, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &broker.Session{Own: tt.own, Identity: broker.Identity{AuthnContext: broker.AuthnContext{ACR: tt.acr}}}
			if got := session.Proven(s, tt.policy); got != tt.want {
				t.Errorf("proven: %t", got)
			}
		})
	}
}

// TestUseIsNotedOnceAMinute ensures that a use is noted when the last note is a
// minute old, or a quarter of the idle time where that is less, and not before.
func TestUseIsNotedOnceAMinute(t *testing.T) {
	for _, tt := range []struct {
		name    string
		idle    time.Duration
		program bool
		every   time.Duration
	}{
		{"a browser's", time.Hour, false, time.Minute},
		{"a browser's with a short idle time", 2 * time.Minute, false, 30 * time.Second},
		{"a program's", 2 * time.Minute, true, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.Limits = broker.SessionLimits{Idle: tt.idle, Absolute: 9 * time.Hour}
			r.Limit(t, nil)
			sess := r.SignIn(t)
			if tt.program {
				sess = acting(t, r, sess, "")
			}
			began := sess.LastUsedAt
			for _, after := range []time.Duration{tt.every - time.Microsecond, tt.every} {
				r.Clock = began.Add(after)
				got, err := r.People.Use(t.Context(), sess.Key)
				if err != nil {
					t.Fatal(err)
				}
				want := began
				if after == tt.every {
					want = r.Clock
				}
				if row := r.Store.Sessions()[sess.Key]; !row.LastUsedAt.Equal(want) || !got.LastUsedAt.Equal(want) {
					t.Errorf("after %s: noted at %s, said %s, want %s", after, row.LastUsedAt, got.LastUsedAt, want)
				}
			}
		})
	}
}

// TestAttackBeginWhileRevoked ensures that who signs in while all is ended is told
// so, and that the row goes: another clock could take it for one that began later.
func TestAttackBeginWhileRevoked(t *testing.T) {
	r := brokertest.New(t)
	sess := *r.SignIn(t)
	sess.Key = broker.NewSecret("next").Hash()
	r.Store.Before("save", func() {
		if err := r.Store.RevokeBefore(t.Context(), sess.Identity.Subject, sess.CreatedAt); err != nil {
			t.Error(err)
		}
	})
	brokertest.WantCode(t, "the beginning", broker.CodeNotFound, r.People.Begin(t.Context(), &sess))
	if r.Alive(&sess) {
		t.Error("the row is still there")
	}
}

// TestAttackNobodysSessions ensures that an incomplete subject is nobody, and
// never everybody.
func TestAttackNobodysSessions(t *testing.T) {
	for name, sub := range map[string]broker.Subject{"zero": {}, "no id": {Provider: "okta"}, "no provider": {ID: "00u1"}} {
		t.Run(name, func(t *testing.T) {
			r := brokertest.New(t)
			mine := r.SignIn(t)
			if n, err := r.People.RevokeAs(t.Context(), mine, sub); err == nil || n != 0 {
				t.Errorf("revoked: %d, %v", n, err)
			}
			if !r.Alive(mine) || r.Store.Revocations() != 0 {
				t.Error("something was revoked")
			}
			if list, err := r.People.Of(t.Context(), sub); err == nil || len(list) != 0 {
				t.Errorf("listed: %d, %v", len(list), err)
			}
			r.Store.Down(true) // which nobody must notice, as it is not asked
			_, err := r.People.RevokeAs(t.Context(), mine, sub)
			brokertest.WantCode(t, "revoked", broker.CodeInternal, err)
		})
	}
}

// TestAttackEndOneOfAnother ensures that nobody ends the session of another
// person by its key, which is answered like one that is not there, while who may
// end anybody's does.
func TestAttackEndOneOfAnother(t *testing.T) {
	r := brokertest.New(t)
	bob, mine := r.As(t, "00u2", "bob", "i2"), r.As(t, "00u1", "alice", "i1")
	events := len(r.Store.AllEvents())
	other := r.People.EndOwn(t.Context(), mine, bob.Key)
	none := r.People.EndOwn(t.Context(), mine, broker.NewSecret("none").Hash())
	brokertest.WantCode(t, "another person's", broker.CodeNotFound, other)
	brokertest.WantCode(t, "none", broker.CodeNotFound, none)
	if other.Error() != none.Error() || broker.Remedy(none) == "" {
		t.Errorf("they differ: %q, %q", other, none)
	}
	if !r.Alive(bob) || len(r.Store.AllEvents()) != events {
		t.Errorf("bob's is there: %t; %d events", r.Alive(bob), len(r.Store.AllEvents())-events)
	}
	if err := r.People.EndOne(t.Context(), mine, broker.Subject{}, bob.Key); err != nil || r.Alive(bob) {
		t.Errorf("anybody's: %v, there: %t", err, r.Alive(bob))
	}
}
