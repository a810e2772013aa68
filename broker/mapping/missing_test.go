package mapping_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker/mapping"
)

// TestMissing ensures that who lacks a role is told each rule that could give
// it, why it does not, and a group that would do, also one that only a pattern
// names.
func TestMissing(t *testing.T) {
	e := engine(t, config())
	for _, tt := range []struct {
		name          string
		groups        []string
		account, role string
		want          []string // rule: missing groups
	}{
		{"a group, a pattern and another group", nil, "prod", "Admin", []string{"platform admins: [aws-platform]", "by convention: [aws-prod-Admin]", "admins again: [root]"}},
		{"by account id, in other case", nil, "111122223333", "ADMIN", []string{"platform admins: [aws-platform]", "by convention: [aws-prod-Admin]", "admins again: [root]"}},
		{"a rule that gives it is left out", []string{"root"}, "prod", "Admin", []string{"platform admins: [aws-platform]", "by convention: [aws-prod-Admin]"}},
		{"a condition", nil, "prod", "ReadOnly", []string{"by convention: [aws-prod-ReadOnly]", "on call: []"}},
		{"an account whose name the pattern does not take", nil, "Dev", "Deploy", []string{"by convention: []", "working hours: [dev ops]"}},
		{"no such account", nil, "nowhere", "Admin", nil},
		{"no such role", nil, "prod", "Root", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := e.Missing(t.Context(), person(tt.groups...), tt.account, tt.role)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, r := range got {
				if r.Reason == "" {
					t.Errorf("%s has no reason", r.Rule)
				}
				lines = append(lines, fmt.Sprintf("%s: %v", r.Rule, r.Missing))
			}
			if diff := cmp.Diff(tt.want, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMissingTakesPeopleThere ensures that each group that is told does give the
// role.
func TestMissingTakesPeopleThere(t *testing.T) {
	cfg := config()
	cfg.Rules = append(cfg.Rules, mapping.Rule{Name: "open pattern", Pattern: `team-.*-(?P<role>\w+)`, Accounts: []string{"prod"}})
	e := engine(t, cfg)
	got, err := e.Missing(t.Context(), person(), "prod", "Admin")
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, r := range got {
		for _, g := range r.Missing {
			told++
			found := false
			for _, a := range assignments(t, e, person(g)) {
				found = found || a.Account.Name == "prod" && a.Role == "Admin"
			}
			if !found {
				t.Errorf("being in %q does not give it", g)
			}
		}
	}
	if told != 3 {
		t.Errorf("%d groups told, want 3: %+v", told, got)
	}
}
