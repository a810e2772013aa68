package mapping_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// TestKnown ensures that an id or a name leads to the account and role it means,
// whoever may use them, and to nothing else.
func TestKnown(t *testing.T) {
	e := engine(t, config())
	root, err := e.Assignments(t.Context(), person("root"))
	if err != nil || len(root) == 0 {
		t.Fatal(root, err)
	}
	for _, x := range root {
		for _, wanted := range []broker.Wanted{
			{ID: x.ID}, {Account: string(x.Account.ID), Role: x.Role}, {Account: strings.ToUpper(x.Account.Name), Role: strings.ToLower(x.Role)},
		} {
			got, ok := e.Known(t.Context(), wanted)
			if !ok || got.ID != x.ID || got.RoleARN != x.RoleARN || got.Account.Name != x.Account.Name || got.Role != x.Role {
				t.Errorf("%v: %t %+v, want %+v", wanted, ok, got, x)
			}
		}
	}
	for _, wanted := range []broker.Wanted{
		{}, {ID: "x"}, {ID: "aaaaaaaaaaaaaaaaaaaa"}, {ID: broker.AssignmentID(strings.Repeat("a", 1<<20))}, {Account: "nowhere", Role: "Admin"},
		{Account: "prod", Role: "Root"}, {Account: "prod"},
	} {
		if got, ok := e.Known(t.Context(), wanted); ok {
			t.Errorf("%.60s is %+v", wanted, got)
		}
	}
}

// TestKnownIsBounded ensures that an id that is none cannot make us compare for
// long: neither beyond the bound nor after the person has left.
func TestKnownIsBounded(t *testing.T) {
	cfg := mapping.Config{}
	for i := range 1100 {
		id := broker.AccountID(fmt.Sprintf("%012d", i+1))
		cfg.Accounts = append(cfg.Accounts, broker.Account{ID: id, Name: fmt.Sprintf("a%d", i), Partition: broker.PartitionAWS})
	}
	for i := range 100 {
		cfg.Roles = append(cfg.Roles, mapping.Role{Name: fmt.Sprintf("r%d", i), IAMRole: fmt.Sprintf("R%d", i), Via: broker.ViaSAML})
	}
	e := engine(t, cfg)
	nth := func(n int) broker.AssignmentID {
		return broker.NewAssignmentID(broker.AccountID(fmt.Sprintf("%012d", n/100+1)), fmt.Sprintf("r%d", n%100), broker.ViaSAML)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	for _, row := range []struct {
		name string
		ctx  context.Context
		n    int
		want bool
	}{
		{"the last within the bound", t.Context(), 99_999, true}, {"the first beyond it", t.Context(), 100_000, false}, {"after leaving", left, 50_000, false},
	} {
		if _, ok := e.Known(row.ctx, broker.Wanted{ID: nth(row.n)}); ok != row.want {
			t.Errorf("%s: known %t", row.name, ok)
		}
	}
}
