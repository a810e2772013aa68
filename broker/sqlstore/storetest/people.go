package storetest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

func names(f fixture) {
	ctx := f.Context()
	claim := func(kind broker.NameKind, s broker.Subject, candidates ...string) string {
		f.Helper()
		n, err := f.ClaimName(ctx, kind, s, candidates...)
		f.must(err)
		return n
	}
	f.equal("Alice@example.com", claim(broker.NameRoleSession, alice, "Alice@example.com", "x"))
	f.equal("Alice@example.com", claim(broker.NameRoleSession, alice, "other"))                          // stable
	f.equal("b1", claim(broker.NameSourceIdentity, bob, "alice@example.com", "b1"))                      // another kind, and yet alice's
	f.equal("b2", claim(broker.NameRoleSession, bob, "ALICE@EXAMPLE.COM", "b2"))                         // taken in other capitals
	f.equal("c3", claim(broker.NameRoleSession, carol, "alice@example.com", "B2", "c3"))                 // same id, other provider
	f.equal("Alice@Example.Com", claim(broker.NameSourceIdentity, alice, "Alice@Example.Com", "unused")) // her own of the other kind
	_, err := f.ClaimName(ctx, broker.NameSourceIdentity, carol, "B1", "b2", "Alice@example.com")
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
	together(func(i int) {
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
	together(func(i int) {
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
