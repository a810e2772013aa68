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

// config is that of a book over the rig's store.
func config(r *brokertest.Rig) session.Config {
	return session.Config{
		EnderConfig: session.EnderConfig{Store: r.Store, List: r.Store, Revoker: r.Store, Journal: r.Broker().Journal},
		Sealer:      brokertest.Sealer{}, Policies: map[broker.ProviderID]broker.MFAPolicy{"okta": r.Policy}, Now: r.Now,
	}
}

// book builds a book over the rig's store, changed.
func book(t *testing.T, r *brokertest.Rig, change func(*session.Config)) *session.Book {
	t.Helper()
	c := config(r)
	change(&c)
	b, err := session.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNewRefusesMissingParts ensures that there is no book and no ender without
// all that they need.
func TestNewRefusesMissingParts(t *testing.T) {
	r := brokertest.New(t)
	for _, tt := range []struct {
		name  string
		ender bool // is short of it too
		take  func(*session.Config)
	}{
		{"no sealer", false, func(c *session.Config) { c.Sealer = nil }},
		{"no policies", false, func(c *session.Config) { c.Policies = nil }},
		{"no store", true, func(c *session.Config) { c.Store = nil }},
		{"no list", true, func(c *session.Config) { c.List = nil }},
		{"no revoker", true, func(c *session.Config) { c.Revoker = nil }},
		{"no journal", true, func(c *session.Config) { c.Journal = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(r)
			tt.take(&c)
			if b, err := session.New(c); err == nil || b != nil {
				t.Errorf("a book: %v, %v", b, err)
			}
			if e, err := session.NewEnder(c.EnderConfig); (err != nil) != tt.ender || (e == nil) != tt.ender {
				t.Errorf("an ender: %v, %v", e, err)
			}
		})
	}
}

// TestBookSaysWhatFailed ensures that nobody takes a session for begun, used or
// ended where the store did not do it.
func TestBookSaysWhatFailed(t *testing.T) {
	for _, tt := range []struct {
		name string
		call string
		do   func(ctx context.Context, b *session.Book, mine, fresh *broker.Session) error
	}{
		{"saved", "save", func(ctx context.Context, b *session.Book, _, fresh *broker.Session) error { return b.Save(ctx, fresh) }},
		{"begun", "save", func(ctx context.Context, b *session.Book, _, fresh *broker.Session) error { return b.Begin(ctx, fresh) }},
		{"begun, and not seen again", "read", func(ctx context.Context, b *session.Book, _, fresh *broker.Session) error {
			return b.Begin(ctx, fresh)
		}},
		{"derived", "save", func(ctx context.Context, b *session.Book, mine, fresh *broker.Session) error {
			return b.Derive(ctx, fresh, mine.Key)
		}},
		{"used", "touch", func(ctx context.Context, b *session.Book, mine, _ *broker.Session) error {
			_, err := b.Use(ctx, mine.Key)
			return err
		}},
		{"removed", "delete", func(ctx context.Context, b *session.Book, mine, _ *broker.Session) error {
			return b.Remove(ctx, mine.Key)
		}},
		{"ended", "delete", func(ctx context.Context, b *session.Book, mine, _ *broker.Session) error {
			return b.EndOwn(ctx, mine, mine.Key)
		}},
		{"looked up to be ended", "read", func(ctx context.Context, b *session.Book, mine, _ *broker.Session) error {
			return b.EndOwn(ctx, mine, mine.Key)
		}},
		{"revoked", "revoke", func(ctx context.Context, b *session.Book, mine, _ *broker.Session) error {
			return b.EndEverywhere(ctx, mine)
		}},
		{"revoked, and not deleted", "delete", func(ctx context.Context, b *session.Book, mine, _ *broker.Session) error {
			return b.EndEverywhere(ctx, mine)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			mine := r.As(t, "00u1", "alice", "i1")
			r.Clock = r.Clock.Add(time.Hour / 4)
			s := brokertest.Failing{Store: r.Store, Call: tt.call}
			b := book(t, r, func(c *session.Config) { c.Store, c.Revoker = s, s })
			fresh := *mine
			fresh.Key, fresh.CreatedAt = broker.NewSecret("fresh").Hash(), r.Clock
			brokertest.WantCode(t, tt.name, broker.CodeUnavailable, tt.do(t.Context(), b, mine, &fresh))
		})
	}
}

// TestEndFoundGoesOn ensures that a session which cannot be ended does not keep
// the others alive, is counted as one that was not, and has one event.
func TestEndFoundGoesOn(t *testing.T) {
	r := brokertest.New(t)
	mine, stuck, other := r.As(t, "00u1", "alice", "i1"), r.As(t, "00u1", "alice", "i2"), r.As(t, "00u1", "alice", "i3")
	b := book(t, r, func(c *session.Config) { c.Store = brokertest.Failing{Store: r.Store, Call: "delete", Key: stuck.Key} })
	events := len(r.Store.AllEvents())
	n, err := b.EndOthers(t.Context(), mine)
	if !errors.Is(err, brokertest.ErrDown) || n != 1 || r.Alive(other) || !r.Alive(stuck) || !r.Alive(mine) {
		t.Errorf("%d ended, %v; the other is there: %t", n, err, r.Alive(other))
	}
	if got := len(r.Store.AllEvents()) - events; got != 2 {
		t.Errorf("%d events for two sessions", got)
	}
}
