package mapping_test

import (
	"slices"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// TestAttackControlsInGroups ensures that a group which steers a terminal, or
// turns the text after it, is an escape for rules and people alike, and is not
// the group that it looks like. Nobody is kept out by being put into one.
func TestAttackControlsInGroups(t *testing.T) {
	cfg := config()
	cfg.Rules = []mapping.Rule{
		{Name: "exact", Groups: []string{"staff"}, Accounts: []string{"prod"}, Roles: []string{"Admin"}},
		{Name: "pattern", Pattern: `(?s)(?:staff).*-(?P<account>\w+)`, Roles: []string{"Admin"}},
	}
	e := engine(t, cfg)
	id, err := e.Identity(t.Context(), broker.Authentication{
		Subject: broker.Subject{Provider: "okta", ID: "1"},
		Claims:  broker.Claims{"email": {"a@example.com"}, "groups": {"staff\x00", "staff\x1b]0;x\a\n  => prod", "\u202estaff", "staff\u200e", "ordinary"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`staff\u0000`, `staff\u001b]0;x\u0007\u000a  => prod`, `\u202estaff`, `staff\u200e`, "ordinary"}
	if !slices.Equal(id.Groups, want) {
		t.Errorf("%q, want %q", id.Groups, want)
	}
	if got := assignments(t, e, id); len(got) > 0 {
		t.Errorf("%v", grants(got))
	}
}

// TestAttackNamesThatTurn ensures that nobody has a name which turns the text
// after it.
func TestAttackNamesThatTurn(t *testing.T) {
	e := engine(t, config())
	for _, c := range []broker.Claims{{"preferred_username": {"alice\u202e"}}, {"email": {"a\u2066@example.com"}}, {"email": {"a\n@example.com"}}} {
		c["groups"] = []string{}
		_, err := e.Identity(t.Context(), broker.Authentication{Subject: broker.Subject{Provider: "okta", ID: "1"}, Claims: c})
		if broker.CodeOf(err) != broker.CodeDenied {
			t.Errorf("%q: %v", c, err)
		}
	}
}
