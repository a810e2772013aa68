package mapping_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// TestWarnings ensures that what has no effect is told and is no mistake, and
// that a selector of nothing gives nothing, above all where a pattern says the
// account.
func TestWarnings(t *testing.T) {
	roles := []mapping.Role{{Name: "Admin", IAMRole: "Admin"}, {Name: "ReadOnly", IAMRole: "ReadOnly"}}
	both := []string{"Admin", "ReadOnly"}
	for _, tt := range []struct {
		name  string
		rules []mapping.Rule
		want  []string
		given int // roles of somebody in all groups
	}{
		{"all reached", []mapping.Rule{{Name: "a", Groups: []string{"g"}, Accounts: []string{"prod"}, Roles: both}}, nil, 2},
		{"a role that no rule gives", []mapping.Rule{{Name: "a", Groups: []string{"g"}, Accounts: []string{"*"}, Roles: []string{"Admin"}}},
			[]string{`roles[1]: no rule gives the role "ReadOnly"`}, 1},
		{"selector of nothing", []mapping.Rule{
			{Name: "a", Groups: []string{"g"}, Accounts: []string{"env=prodution"}, Roles: both},
			{Name: "b", Groups: []string{"g"}, Accounts: []string{"prod"}, Roles: both},
		}, []string{`rules[0].accounts[0]: "env=prodution" selects no account`, `rules[0]: the rule "a" gives nothing: it is for no account`}, 2},
		{"one selector of two", []mapping.Rule{{Name: "a", Groups: []string{"g"}, Accounts: []string{"env=gone", "prod"}, Roles: both}},
			[]string{`rules[0].accounts[0]: "env=gone" selects no account`}, 2},
		{"a role of a rule that gives nothing", []mapping.Rule{
			{Name: "a", Groups: []string{"g"}, Accounts: []string{"env=gone"}, Roles: both},
			{Name: "b", Groups: []string{"g"}, Accounts: []string{"prod"}, Roles: []string{"Admin"}},
		}, []string{`rules[0].accounts[0]: "env=gone" selects no account`, `rules[0]: the rule "a" gives nothing: it is for no account`, `roles[1]: no rule gives the role "ReadOnly"`}, 1},
		{"a pattern may give any", []mapping.Rule{{Name: "a", Pattern: `aws-(?P<account>\w+)-(?P<role>\w+)`}}, nil, 1},
		{"a pattern over a selector of nothing", []mapping.Rule{
			{Name: "a", Pattern: `aws-(?P<account>\w+)-(?P<role>\w+)`, Accounts: []string{"env=gone"}},
		}, []string{`rules[0].accounts[0]: "env=gone" selects no account`, `rules[0]: the rule "a" gives nothing: it is for no account`,
			`roles[0]: no rule gives the role "Admin"`, `roles[1]: no rule gives the role "ReadOnly"`}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := mapping.New(mapping.Config{
				Providers: []mapping.Provider{{ID: "corp"}}, Roles: roles, Rules: tt.rules,
				Accounts: []broker.Account{{ID: "111122223333", Name: "prod", Labels: map[string]string{"env": "production"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range e.Warnings() {
				got = append(got, p.Error())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			as, err := e.Assignments(t.Context(), broker.Identity{
				Subject: broker.Subject{Provider: "corp", ID: "1"}, Username: "alice", Groups: []string{"g", "aws-prod-Admin"},
			})
			if err != nil || len(as) != tt.given {
				t.Errorf("%d roles, want %d: %v %v", len(as), tt.given, as, err)
			}
		})
	}
}
