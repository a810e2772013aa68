package mapping_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// TestIsAdmin ensures who is an administrator, and that whatever is absent or
// cannot be decided makes nobody one.
func TestIsAdmin(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) // a Tuesday
	for name, tt := range map[string]struct {
		admins mapping.Admins
		groups []string
		want   bool
	}{
		"no rule":                 {mapping.Admins{}, []string{"ops"}, false},
		"in a group":              {mapping.Admins{Groups: []string{"root", "ops"}}, []string{"ops"}, true},
		"in none":                 {mapping.Admins{Groups: []string{"ops"}}, []string{"Ops", "ops2", "ops "}, false},
		"no groups at all":        {mapping.Admins{Groups: []string{"ops"}}, nil, false},
		"condition":               {mapping.Admins{When: `identity.username == "alice"`}, nil, true},
		"condition is false":      {mapping.Admins{When: `identity.username == "bob"`}, []string{"ops"}, false},
		"both":                    {mapping.Admins{Groups: []string{"ops"}, When: `identity.mfa`}, []string{"ops"}, true},
		"group alone of both":     {mapping.Admins{Groups: []string{"ops"}, When: `identity.username == "bob"`}, []string{"ops"}, false},
		"condition alone of both": {mapping.Admins{Groups: []string{"ops"}, When: `true`}, []string{"staff"}, false},
		"condition that fails":    {mapping.Admins{When: `identity.claims["none"][0] == "x"`}, []string{"ops"}, false},
		"hours of a place":        {mapping.Admins{When: `now.getHours() == 13`, TimeZone: "Europe/Berlin"}, nil, true},
	} {
		e, err := mapping.New(mapping.Config{Admins: tt.admins, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.IsAdmin(t.Context(), broker.Identity{Subject: broker.Subject{Provider: "p", ID: "1"}, Username: "alice", Groups: tt.groups, MFA: true})
		if err != nil || got != tt.want {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	_, err := mapping.New(mapping.Config{Admins: mapping.Admins{Groups: []string{""}, When: "1", TimeZone: "Mars"}})
	if ps, _ := errors.AsType[broker.Problems](err); len(ps) != 3 {
		t.Errorf("%d problems: %v", len(ps), err)
	}
}
