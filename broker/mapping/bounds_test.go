package mapping

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rolegate/rolegate/broker"
)

// TestAttackLargeConfigurations ensures that a text of a megabyte does not make
// a configuration of gigabytes: each is refused before it is built.
func TestAttackLargeConfigurations(t *testing.T) {
	accounts := func(n int) []broker.Account {
		var out []broker.Account
		for i := range n {
			out = append(out, broker.Account{ID: broker.AccountID(fmt.Sprintf("%012d", i)), Name: fmt.Sprint("a", i), Labels: map[string]string{"a": "x"}})
		}
		return out
	}
	roles := func(n int) []Role {
		var out []Role
		for i := range n {
			out = append(out, Role{Name: fmt.Sprint("R", i), IAMRole: "R"})
		}
		return out
	}
	names := func(n int) []string {
		var out []string
		for _, r := range roles(n) {
			out = append(out, r.Name)
		}
		return out
	}
	var patterns, conditions, selectors []Rule
	for i := range 40 {
		patterns = append(patterns, Rule{Name: fmt.Sprint("p", i), Pattern: strings.Repeat(`a{900}`, 600) + `(?P<role>R0)`, Accounts: []string{"*"}})
		conditions = append(conditions, Rule{
			Name: fmt.Sprint("c", i), Accounts: []string{"*"}, Roles: []string{"R0"},
			When: strings.TrimSuffix(strings.Repeat(`identity.email.matches("(a{2}){20}\\pL{30}")||`, 80), "||"),
		})
	}
	for i := range 2_000 {
		selectors = append(selectors, Rule{Name: fmt.Sprint("s", i), When: "true", Accounts: []string{fmt.Sprintf("a!=%d", i)}, Roles: []string{"R0"}})
	}
	for _, tt := range []struct {
		name    string
		cfg     Config
		problem string
	}{
		{"patterns that repeat", Config{Accounts: accounts(1), Roles: roles(1), Rules: patterns}, "rules[0].pattern: is too large"},
		{"a pattern that repeats repetitions", Config{Accounts: accounts(1), Roles: roles(1), Rules: []Rule{{Name: "p", Pattern: `((a{30}){30})(?P<role>R0)`, Accounts: []string{"*"}}, {Name: "q", Pattern: `(\pL\pN){80}(?P<role>R0)\pL\pL\pL\pL`, Accounts: []string{"*"}}}}, "rules[1].pattern: is too large"},
		{"conditions full of regular expressions", Config{Accounts: accounts(1), Roles: roles(1), Rules: conditions}, "too large together"},
		{"rules that each cover all accounts in their own words", Config{Accounts: accounts(8_000), Roles: roles(1), Rules: selectors}, "cover more than"},
		{"one rule of all roles in all accounts", Config{Accounts: accounts(1_000), Roles: roles(201), Rules: []Rule{{Name: "r", When: "true", Accounts: []string{"*"}, Roles: names(201)}}}, "gives 201 roles in 1000 accounts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("want %q, not %.300v", tt.problem, err)
			}
		})
	}
	t.Run("ordinary ones are small", func(t *testing.T) {
		cfg := Config{Accounts: accounts(2_000), Roles: roles(1)}
		for i := range 1_000 {
			cfg.Rules = append(cfg.Rules,
				Rule{Name: fmt.Sprint("p", i), Pattern: fmt.Sprintf(`^(?i)team-%d-(?P<account>[a-z0-9-]{1,40})-(?P<role>\w+)$`, i)},
				Rule{Name: fmt.Sprint("w", i), Groups: []string{fmt.Sprint("g", i)}, Accounts: []string{"*"}, Roles: []string{"R0"}})
		}
		if _, err := New(cfg); err != nil {
			t.Errorf("%.300v", err)
		}
	})
}

// TestAttackCompilationGoesOn ensures that a compilation ends with the request.
func TestAttackCompilationGoesOn(t *testing.T) {
	cfg := Config{Accounts: []broker.Account{{ID: "111122223333"}}, Roles: []Role{{Name: "R", IAMRole: "R"}}}
	for i := range 100 {
		cfg.Rules = append(cfg.Rules, Rule{Name: fmt.Sprint(i), When: "identity.nothing", Accounts: []string{"*"}, Roles: []string{"R"}})
	}
	for _, looks := range []int64{0, 50, 150} { // before, among the rules, among the expressions
		if e, err := NewContext(leave(t.Context(), looks), cfg); e != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("after %d looks: %.100v", looks, err)
		}
	}
}

// TestRegexSize ensures that the size is never less than the program's.
func TestRegexSize(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "ab", "[a-z]", `\pL`, "(", ")", "|", "*", "+", "?", "{3}", "{2,9}", "{4,}", "(?i)", "(?P<role>", `\w`, "^", "$", "."})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
		re, err := syntax.Parse(text, syntax.Perl)
		if err != nil {
			return
		}
		if _, err := regexp.Compile(text); err != nil {
			return
		}
		size := regexSize(re)
		if size > 1<<16 {
			return
		}
		prog, err := syntax.Compile(re.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if len(prog.Inst) > 3*size+5 { // a node is up to three instructions
			t.Fatalf("%q has %d instructions and is said to be of size %d", text, len(prog.Inst), size)
		}
	})
}
