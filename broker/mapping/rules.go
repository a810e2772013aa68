package mapping

import (
	"context"
	"fmt"
	"regexp"
	"slices"
)

// pattern compiles the pattern by itself first, so that an unbalanced
// parenthesis cannot escape the anchors that are put around it.
func (c *compiler) pattern(path string, out *rule) {
	if out.Pattern == "" {
		return
	}
	if len(out.Pattern) > maxExprLength {
		c.problem(path, "is longer than %d bytes", maxExprLength)
		return
	}
	parsed, err := parsePattern(out.Pattern)
	if err == nil {
		err = c.regexes.take(regexSize(parsed))
	}
	if err != nil {
		c.problem(path, "%v", err)
		return
	}
	re, err := regexp.Compile(`\A(?:` + out.Pattern + `)\z`)
	if err != nil {
		c.problem(path, "%v", err)
		return
	}
	out.pattern = re
	for n, name := range re.SubexpNames() {
		switch {
		case name == "account" && out.accountGroup < 0:
			out.accountGroup = n
		case name == "role" && out.rolePos < 0:
			out.rolePos = n
		case name != "":
			c.problem(path, "has a group %q; account and role are known", name)
		}
	}
}

// ruleAccounts returns the accounts of a rule. Rules with the same entries share
// one list. Where the context ends meanwhile, the list is not whole.
func (c *compiler) ruleAccounts(ctx context.Context, path string, r Rule) []int {
	if len(r.Accounts) == 0 {
		return nil
	}
	key := fmt.Sprintf("%q", r.Accounts)
	if out, ok := c.selected[key]; ok {
		return out
	}
	good, n := true, 0
	chosen := make([]bool, len(c.e.accounts.all))
	for j, entry := range r.Accounts {
		if ctx.Err() != nil {
			return nil
		}
		found, err := c.e.accounts.selects(entry, c.near)
		at := fmt.Sprintf("%s.accounts[%d]", path, j)
		switch {
		case err != nil:
			c.problem(at, "%v", err)
			good = false
		case len(found) == 0:
			c.e.warnings.Add(at, "%q selects no account", entry)
			good = false
		}
		for _, i := range found {
			if !chosen[i] {
				chosen[i], n = true, n+1
			}
		}
	}
	if c.covered += n; c.covered > maxCovered {
		c.problem(path+".accounts", "the rules cover more than %d accounts in all; give several of them the same entries", maxCovered)
		return nil
	}
	out := make([]int, 0, n)
	for i, is := range chosen {
		if is {
			out = append(out, i)
		}
	}
	if good { // else each rule has its problem
		c.selected[key] = out
	}
	return out
}

func (c *compiler) ruleRoles(path string, r Rule) []int {
	var out []int
	for j, name := range r.Roles {
		found := c.e.roleNames[fold(name)]
		if len(found) == 0 {
			c.problem(fmt.Sprintf("%s.roles[%d]", path, j), "there is no role %q%s", name, c.near.nearest(name, &c.e.roleList))
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
