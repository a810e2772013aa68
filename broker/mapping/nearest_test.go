package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/rolegate/rolegate/broker"
)

// conventions is n accounts and rules by convention, of which no group of
// strangers names an account.
func conventions(tb testing.TB, accounts, rules int) *Engine {
	tb.Helper()
	cfg := Config{Providers: []Provider{{ID: "okta"}}, Roles: []Role{{Name: "Admin", IAMRole: "Admin"}}}
	for i := range accounts {
		cfg.Accounts = append(cfg.Accounts, broker.Account{ID: broker.AccountID(fmt.Sprintf("%012d", i)), Name: fmt.Sprintf("team-%04d-application-production", i)})
	}
	for i := range rules {
		cfg.Rules = append(cfg.Rules, Rule{Name: fmt.Sprintf("by convention %d", i), Pattern: `aws-(?P<account>.+)-(?P<role>\w+)`})
	}
	e, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// strangers is a person in n groups that fit the pattern and name an account
// that is closed by now.
func strangers(n int) *broker.Identity {
	id := &broker.Identity{Subject: broker.Subject{Provider: "okta", ID: "1"}}
	for i := range n {
		id.Groups = append(id.Groups, fmt.Sprintf("aws-term-%04d-replication-products-Admin", i))
	}
	return id
}

// TestAttackExplanationsOfManyGroups counts the names that an explanation
// compares: neither groups nor rules nor accounts may multiply.
func TestAttackExplanationsOfManyGroups(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		accounts, groups, rules int
		most                    int
	}{
		{"a thousand groups, a thousand accounts", 1_000, 1_000, 1, maxNotes * 1_000},
		{"more groups cost nothing more", 1_000, 5_000, 1, maxNotes * 1_000},
		{"nor do rules that see the same groups", 1_000, 1_000, 50, maxNotes * 1_000},
		{"more accounts stay below the bound", 5_000, 1_000, 1, maxComparisons},
		{"more accounts than may be compared", maxComparisons + 1, 100, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, id := conventions(t, tt.accounts, tt.rules), strangers(tt.groups)
			p, err := e.person(id)
			if err != nil {
				t.Fatal(err)
			}
			x, err := e.explain(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if n := maxComparisons - p.near.left; n > tt.most {
				t.Errorf("%d names were compared, %d are enough", n, tt.most)
			}
			for _, r := range x.Rules {
				if n := strings.Count(r.Reason, "fits the pattern"); n != maxNotes {
					t.Errorf("%d notes: %s", n, r.Reason)
				}
				if more := fmt.Sprintf("and %d more.", tt.groups-maxNotes); !strings.HasSuffix(r.Reason, more) {
					t.Errorf("%q does not end with %q", r.Reason, more)
				}
			}
		})
	}
}

// TestAttackMisspeltConfiguration does the same for what a compilation compares.
func TestAttackMisspeltConfiguration(t *testing.T) {
	c := &compiler{e: conventions(t, 1_000, 1), near: newSpeller(), selected: map[string][]int{}}
	r := Rule{}
	for i := range 10_000 {
		r.Accounts = append(r.Accounts, fmt.Sprintf("term-%04d-application-production", i))
	}
	c.ruleAccounts(t.Context(), "rules[0]", r)
	if len(c.problems) != len(r.Accounts) || c.near.left < 0 {
		t.Errorf("%d problems, %d comparisons left", len(c.problems), c.near.left)
	}
}

// TestNearMissesAreStillTold ensures that the bound does not cost the ordinary
// slip its hint.
func TestNearMissesAreStillTold(t *testing.T) {
	e, id := conventions(t, 1_000, 1), strangers(0)
	id.Groups = []string{"aws-team-0007-applikation-production-Admin", "aws-team-0008-application-production-Adnin"}
	x, err := e.Explain(t.Context(), *id)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`did you mean "team-0007-application-production"?`, `did you mean "Admin"?`} {
		if !strings.Contains(x.Rules[0].Reason, want) {
			t.Errorf("%q lacks %q", x.Rules[0].Reason, want)
		}
	}
}

// TestAttackGroupsThatNameOneRole ensures that groups which all name one role
// do not multiply the accounts of the rule.
func TestAttackGroupsThatNameOneRole(t *testing.T) {
	e := conventions(t, 1_000, 0)
	cfg := Config{Roles: []Role{{Name: "Admin", IAMRole: "Admin"}}, Rules: []Rule{{Name: "r", Pattern: `.*-(?P<role>(?i)admin)`, Accounts: []string{"*"}}}}
	for _, a := range e.accounts.all {
		cfg.Accounts = append(cfg.Accounts, a.Account)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	id := strangers(2_000)
	for i := range id.Groups {
		id.Groups[i] = fmt.Sprintf("%d-Admin", i)
	}
	p, err := e.person(id)
	if err != nil {
		t.Fatal(err)
	}
	pairs, _, err := e.byPattern(t.Context(), &e.rules[0], p, nil)
	if err != nil || len(pairs) != 1_000 || cap(pairs) > 2_000 {
		t.Errorf("%d pairs in memory for %d, %v", len(pairs), cap(pairs), err)
	}
}

// leaves ends after it was looked at n times, as the request of a browser that
// goes away meanwhile.
type leaves struct {
	context.Context
	n atomic.Int64
}

func leave(ctx context.Context, after int64) *leaves {
	c := &leaves{Context: ctx}
	c.n.Store(after)
	return c
}

func (c *leaves) Err() error {
	if c.n.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestAttackGoneBrowserIsWorkedFor ensures that the context is looked at among
// the groups of one rule as well.
func TestAttackGoneBrowserIsWorkedFor(t *testing.T) {
	e, id := conventions(t, 10, 1), strangers(10_000)
	for name, call := range map[string]func(ctx context.Context) error{
		"explain":     func(ctx context.Context) error { _, err := e.Explain(ctx, *id); return err },
		"missing":     func(ctx context.Context) error { _, err := e.Missing(ctx, *id, "000000000001", "Admin"); return err },
		"assignments": func(ctx context.Context) error { _, err := e.Assignments(ctx, *id); return err },
	} {
		if err := call(leave(t.Context(), 10)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDistance(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("abc")), 0, 7, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b, limit := text.Draw(t, "a"), text.Draw(t, "b"), rapid.IntRange(1, 5).Draw(t, "limit")
		if got, want := distance(a, b, limit), min(limit, levenshtein(a, b)); got != want {
			t.Fatalf("distance(%q, %q, %d) = %d, not %d", a, b, limit, got, want)
		}
	})
}

// levenshtein is the definition.
func levenshtein(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return levenshtein(a[1:], b[1:])
	}
	return 1 + min(levenshtein(a[1:], b), levenshtein(a, b[1:]), levenshtein(a[1:], b[1:]))
}

// BenchmarkExplainStrangers is the page of a person in a thousand groups of
// closed accounts.
func BenchmarkExplainStrangers(b *testing.B) {
	e, id := conventions(b, 1_000, 1), strangers(1_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Explain(b.Context(), *id); err != nil {
			b.Fatal(err)
		}
	}
}
