package portal

import (
	"slices"

	"github.com/rolegate/rolegate/broker"
)

// maxGroupKeys bounds how many labels the page offers to group by.
const maxGroupKeys = 20

// unlabelled heads the accounts that lack the label.
const unlabelled = "without a label"

// labelKeys returns the labels of the accounts, sorted.
func labelKeys(as []broker.Assignment) []string {
	var keys []string
	last := broker.AccountID("")
	for i := range as {
		if as[i].Account.ID == last { // sorted by account
			continue
		}
		last = as[i].Account.ID
		for k := range as[i].Account.Labels {
			if at, have := slices.BinarySearch(keys, k); !have && len(keys) < maxGroupKeys {
				keys = slices.Insert(keys, at, k)
			}
		}
	}
	return keys
}

// byLabel returns the assignments ordered by the label's value, those without
// it last, and otherwise as they were.
func byLabel(as []broker.Assignment, key string) []broker.Assignment {
	out := slices.Clone(as)
	slices.SortStableFunc(out, func(a, b broker.Assignment) int {
		x, y := a.Account.Labels[key], b.Account.Labels[key]
		switch {
		case x == y:
			return 0
		case y == "" || x != "" && x < y:
			return -1
		default:
			return 1
		}
	})
	return out
}

func (p *Portal) group(rows []*broker.Assignment, region, by string, marked map[broker.AssignmentID]bool) []GroupView {
	var out []GroupView
	for _, a := range rows {
		name := ""
		if by != "" {
			name = by + ": " + a.Account.Labels[by]
			if a.Account.Labels[by] == "" {
				name = by + ": " + unlabelled
			}
		}
		if len(out) == 0 || out[len(out)-1].Name != name {
			out = append(out, GroupView{Name: name})
		}
		g := &out[len(out)-1]
		if n := len(g.Accounts); n == 0 || g.Accounts[n-1].ID != a.Account.ID {
			g.Accounts = append(g.Accounts, p.accountIn(a.Account, region))
		}
		last := &g.Accounts[len(g.Accounts)-1]
		v := newRoleView(a)
		v.Marked = marked[a.ID]
		last.Roles = append(last.Roles, v)
	}
	return out
}

// accountIn is the account's view with the chosen region, if its partition has
// that.
func (p *Portal) accountIn(a broker.Account, region string) AccountView {
	v := newAccountView(a)
	if slices.Contains(p.c.Regions[a.Partition], region) {
		v.Region = region
	}
	return v
}
