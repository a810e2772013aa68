package mapping_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// Each of these would take seconds, gigabytes or the stack if it ran. Refusing
// it is bounded too, counted in bytes, which are the same on every machine.
func TestExpressionBombsAreRefusedAtLoad(t *testing.T) {
	for name, when := range map[string]string{
		"loops in loops":      `identity.groups.all(a, identity.groups.all(b, a != b))`,
		"three loops":         `[1,2].all(a, [1,2].all(b, [1,2].all(c, [1,2].all(d, true))))`,
		"groups times claims": `identity.claims.x.exists(c, identity.groups.exists(g, g == c))`,
		"replace on replace":  `identity.email.replace("", identity.email).replace("", identity.email).replace("", identity.email) == ""`,
		"doubling":            `[identity.email].map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).size() > 0`,
		"constant doubling":   `["aaaaaaaaaaaaaaaa"].map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a).size() > 0`,
		"long":                `identity.email == "` + strings.Repeat("x", 5000) + `"`,
		"many nodes":          strings.Repeat("true||", 800) + "true",
		"deep":                strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300),
		"large regexp":        `identity.email.matches("(a{1,100}){1,9}")`,
	} {
		cfg := config()
		cfg.Rules = []mapping.Rule{{Name: "r", When: when, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := problems(t, cfg)
		runtime.ReadMemStats(&after)
		if len(got) != 1 || !strings.HasPrefix(got[0], "rules[0].when: ") || len(got[0]) > 500 {
			t.Errorf("%s: %.300q", name, got)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
			t.Errorf("%s: %d bytes to refuse", name, n)
		}
	}
}

// What passes at load but costs too much for one person is cut off, does not
// grant, and says so.
func TestCostLimitAtRunTime(t *testing.T) {
	cfg := config()
	cfg.Rules = nil
	for i := range 12 {
		cfg.Rules = append(cfg.Rules, mapping.Rule{
			Name: fmt.Sprint(i), When: `!identity.groups.exists(g, g.matches("x(a|b|c)+(d|e)+$"))`, Accounts: []string{"prod"}, Roles: []string{"Admin"},
		})
	}
	e := engine(t, cfg)
	if got := assignments(t, e, person("small")); len(got) != 1 {
		t.Fatalf("a small person gets %v", grants(got))
	}
	groups := make([]string, 10_000)
	for i := range groups {
		groups[i] = strings.Repeat("xabc", 500) + fmt.Sprint(i)
	}
	x, err := e.Explain(t.Context(), person(groups...))
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Assignments) != 0 || !strings.Contains(x.Rules[0].Reason, "cost limit exceeded") {
		t.Errorf("granted %v, %q", grants(x.Assignments), x.Rules[0].Reason)
	}
	if last := x.Rules[11].Reason; !strings.Contains(last, "all that may be spent") {
		t.Errorf("there is no limit over all rules: %q", last)
	}
}

// A claim that is too large to look at is neither there nor absent.
func TestLargeClaimsDecideNothing(t *testing.T) {
	for _, when := range []string{
		`"x" in identity.claims.big`, `!("x" in identity.claims.big)`, `has(identity.claims.big)`, `!has(identity.claims.big)`,
		`identity.claims["big"].size() == 0`, `[identity.claims][0]["big"].size() == 0`, `!identity.claims.exists(k, identity.claims[k].exists(v, v == "x"))`,
	} {
		cfg := config()
		cfg.Rules = []mapping.Rule{{Name: "r", When: when, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
		id := person("g")
		id.Claims = broker.Claims{"big": {strings.Repeat("x", 2049)}, "team": {"core"}}
		x, err := engine(t, cfg).Explain(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(x.Assignments) > 0 || !strings.Contains(x.Rules[0].Reason, "larger than expressions may look at") {
			t.Errorf("%s: %v, %q", when, grants(x.Assignments), x.Rules[0].Reason)
		}
	}
	id := person("g")
	id.Claims = broker.Claims{"big": {strings.Repeat("x", 2049)}, "team": {"core"}}
	beside := config()
	beside.Rules = []mapping.Rule{{Name: "r", When: `identity.claims.team[0] == "core" && [identity.claims][0]["team"].size() == 1 && !has(identity.claims.none)`, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
	if got := assignments(t, engine(t, beside), id); len(got) != 1 {
		t.Errorf("one large claim hides the others: %v", grants(got))
	}
	id.Claims = broker.Claims{}
	for i := range 1001 {
		id.Claims[fmt.Sprint(i)] = nil
	}
	cfg := config()
	cfg.Rules = []mapping.Rule{{Name: "r", When: `!has(identity.claims.contractor)`, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
	if got := assignments(t, engine(t, cfg), id); len(got) > 0 {
		t.Errorf("with too many claims, one that cannot be seen counts as absent: %v", grants(got))
	}
}

func TestTooLargeIdentityIsRefused(t *testing.T) {
	e := engine(t, config())
	for name, groups := range map[string][]string{"many": make([]string, 10_001), "long": {strings.Repeat("x", 2049)}} {
		_, err := e.Assignments(t.Context(), person(groups...))
		_, xErr := e.Explain(t.Context(), person(groups...))
		if broker.CodeOf(err) != broker.CodeDenied || broker.CodeOf(xErr) != broker.CodeDenied {
			t.Errorf("%s: %v, %v", name, err, xErr)
		}
	}
}

// Patterns run on RE2: with backtracking, the first of these groups would not
// end before the test run does.
func TestPatternsDoNotBacktrack(t *testing.T) {
	cfg := config()
	cfg.Rules = []mapping.Rule{{Name: "r", Pattern: `(?:(a+)+)+$b(?P<account>x)(?P<role>y)`}}
	e := engine(t, cfg)
	groups := make([]string, 1000)
	for i := range groups {
		groups[i] = strings.Repeat("a", 2000)
	}
	if got := assignments(t, e, person(groups...)); len(got) > 0 {
		t.Errorf("%v", grants(got))
	}
}

// Names are folded in ASCII only; nothing that looks alike or folds to ASCII
// letters in Unicode is taken for them.
func TestLookAlikes(t *testing.T) {
	cfg := config()
	cfg.Accounts = append(cfg.Accounts, broker.Account{ID: "444455556666", Name: "kiosk"}, broker.Account{ID: "555566667777", Name: "Größe"})
	cfg.Rules = []mapping.Rule{{Name: "r", Pattern: `(?P<account>.+)/(?P<role>.+)`}}
	e := engine(t, cfg)
	for group, want := range map[string]bool{
		"kiosk/Admin": true, "KIOSK/ADMIN": true, "Größe/Admin": true,
		"\u212Aiosk/Admin": false, "kio\u017Fk/Admin": false, "kıosk/Admin": false, "kiosk\u200b/Admin": false,
		"GRÖSSE/Admin": false, "GRÖßE/Admin": false, "Gro\u0308ße/Admin": false, "kiosk/Adm\u0131n": false,
		"kiosk /Admin": false, "kiosk/Admin\x00": false, "444455556666/Admin": true, "４４４４５５５５６６６６/Admin": false,
	} {
		if got := assignments(t, e, person(group)); (len(got) == 1) != want {
			t.Errorf("%q: %v, want %t", group, grants(got), want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	e := engine(t, config())
	id := person("oncall", "ops", "aws-platform", "aws-gov-Deploy")
	want := assignments(t, e, id)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				got, err := e.Assignments(t.Context(), id)
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if _, err := e.Explain(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// What a caller does to a result stays with the caller.
	want[0].Rules[0] = "changed"
	for _, a := range want {
		for k := range a.SessionTags {
			a.SessionTags[k] = "changed"
		}
	}
	for _, a := range assignments(t, e, id) {
		if slices.Contains(a.Rules, "changed") || a.SessionTags["Team"] == "changed" {
			t.Errorf("the engine shares its memory: %+v", a)
		}
	}
}

// naive evaluates a configuration of groups, conditions over groups, and the
// pattern ACCOUNT-ROLE without any index, expression or regular expression.
func naive(cfg mapping.Config, id broker.Identity) []string {
	type key struct{ account, role string }
	got := map[key][]string{}
	for _, r := range cfg.Rules {
		if len(r.Groups) > 0 && !slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(id.Groups, g) }) {
			continue
		}
		if r.When != "" {
			literal, negated := strings.CutPrefix(r.When, "!")
			literal = strings.TrimSuffix(strings.TrimPrefix(literal, `("`), `" in identity.groups)`)
			if slices.Contains(id.Groups, literal) == negated {
				continue
			}
		}
		for _, a := range cfg.Accounts {
			for _, ro := range cfg.Roles {
				if r.Pattern != "" {
					fits := func(g string) bool { return strings.EqualFold(g, a.Name+"-"+ro.Name) }
					if !slices.ContainsFunc(id.Groups, fits) {
						continue
					}
				} else {
					in := func(s string) bool {
						return s == "*" || s == a.Name || s == "env="+a.Labels["env"] || strings.HasPrefix(s, "env!=") && s != "env!="+a.Labels["env"]
					}
					if !slices.ContainsFunc(r.Accounts, in) || !slices.Contains(r.Roles, ro.Name) {
						continue
					}
				}
				got[key{a.Name, ro.Name}] = append(got[key{a.Name, ro.Name}], r.Name)
			}
		}
	}
	out := []string{}
	for k, rules := range got {
		out = append(out, k.account+"/"+k.role+" saml by "+strings.Join(rules, ","))
	}
	slices.Sort(out)
	return out
}

func TestPropertyIndexedEqualsNaive(t *testing.T) {
	cfg := mapping.Config{Providers: []mapping.Provider{{ID: "okta"}}}
	var names, roles, groups []string
	for i := range 5 {
		name := fmt.Sprintf("acc%d", i)
		cfg.Accounts = append(cfg.Accounts, broker.Account{ID: broker.AccountID(fmt.Sprintf("%012d", 9-i)), Name: name, Labels: map[string]string{"env": fmt.Sprint(i % 2)}})
		cfg.Roles = append(cfg.Roles, mapping.Role{Name: fmt.Sprintf("Role%d", i), IAMRole: "R"})
		names, roles = append(names, name), append(roles, fmt.Sprintf("Role%d", i))
		groups = append(groups, fmt.Sprintf("g%d", i), fmt.Sprintf("ACC%d-role%d", i, 4-i), fmt.Sprintf("acc%d-none", i))
	}
	some := func(from []string) *rapid.Generator[[]string] {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, 4, rapid.ID[string])
	}
	ruleGen := rapid.Custom(func(t *rapid.T) mapping.Rule {
		var r mapping.Rule
		kind := rapid.IntRange(1, 7).Draw(t, "kind")
		if kind&1 != 0 {
			r.Groups = some(groups).Draw(t, "groups")
		}
		if kind&2 != 0 {
			r.When = rapid.SampledFrom([]string{"", "!"}).Draw(t, "not") + fmt.Sprintf(`(%q in identity.groups)`, rapid.SampledFrom(groups).Draw(t, "g"))
		}
		if kind&4 != 0 {
			r.Pattern = `(?P<account>\w+)-(?P<role>\w+)`
		} else {
			r.Accounts = some(append([]string{"*", "env=0", "env!=0"}, names...)).Draw(t, "accounts")
			r.Roles = some(roles).Draw(t, "roles")
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		cfg := cfg
		cfg.Rules = rapid.SliceOfN(ruleGen, 0, 12).Draw(t, "rules")
		for i := range cfg.Rules {
			cfg.Rules[i].Name = fmt.Sprint("r", i)
		}
		id := person(rapid.SliceOfN(rapid.SampledFrom(groups), 0, 8).Draw(t, "person")...)
		e, err := mapping.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		as, err := e.Assignments(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.Clone(as)
		slices.Reverse(sorted)
		broker.SortAssignments(sorted)
		if diff := cmp.Diff(sorted, as); diff != "" {
			t.Fatalf("not in the order of SortAssignments:\n%s", diff)
		}
		got := grants(as)
		slices.Sort(got)
		if diff := cmp.Diff(naive(cfg, id), got); diff != "" {
			t.Fatalf("(-naive +indexed):\n%s", diff)
		}
		x, err := e.Explain(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(as, x.Assignments); diff != "" {
			t.Fatalf("(-assignments +explained):\n%s", diff)
		}
		granted := map[broker.AssignmentID][]string{}
		for _, r := range x.Rules {
			if r.Matched != (len(r.Grants) > 0) || r.Reason == "" {
				t.Fatalf("rule %+v", r)
			}
			for _, id := range r.Grants {
				granted[id] = append(granted[id], r.Rule)
			}
		}
		for _, a := range as {
			if diff := cmp.Diff(a.Rules, granted[a.ID]); diff != "" {
				t.Fatalf("rules of %s (-assignment +explained):\n%s", a.ID, diff)
			}
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		`"oncall" in identity.groups && now.getDayOfWeek("Europe/Berlin") < 6`, `identity.claims.team[0] == "x"`, `has(identity.claims.x)`,
		`identity.email.endsWith("@x") || identity.groups.exists(g, g.matches("^a+$"))`, `identity.username.split("@").size() == 2`,
		`now > timestamp("2026-01-01T00:00:00Z")`, `identity.gruops`, `[1].map(x, x+x)`, `"\u0000"`, `true?false:1/0==1`,
	} {
		f.Add(s)
	}
	id := person("oncall", "aws-1")
	f.Fuzz(func(t *testing.T, src string) {
		cfg := config()
		cfg.Rules = []mapping.Rule{{Name: "r", When: src, Groups: []string{"oncall"}, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
		cfg.RoleSession.Name, cfg.Providers[0].Groups = src, src
		e, err := mapping.New(cfg)
		if err != nil {
			found, _ := errors.AsType[broker.Problems](err)
			for _, p := range found {
				if p.Field == "" || p.Message == "" {
					t.Fatalf("empty problem in %v", err)
				}
			}
			cfg.RoleSession.Name, cfg.Providers[0].Groups = "", ""
			if e, err = mapping.New(cfg); err != nil {
				return
			}
		}
		as, err := e.Assignments(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.Assignments(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(as, again); diff != "" {
			t.Fatalf("not pure:\n%s", diff)
		}
	})
}

func FuzzSelectorAndPattern(f *testing.F) {
	f.Add("env=production", `aws-(?P<account>\w+)-(?P<role>\w+)`, "aws-prod-Admin")
	f.Add("env!=x,tier=gold", `(?i)x|(?P<account>.*)`, "x\n")
	f.Add("*", `a)|(b`, "a")
	f.Fuzz(func(t *testing.T, selector, pattern, group string) {
		cfg := config()
		cfg.Rules = []mapping.Rule{{Name: "r", Pattern: pattern, Accounts: []string{selector}, Roles: []string{"Admin"}}}
		e, err := mapping.New(cfg)
		if err != nil || len(group) > 2048 {
			return
		}
		x, err := e.Explain(t.Context(), person(group))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range x.Assignments {
			if a.Role != "Admin" {
				t.Fatalf("%q, %q and %q gave %v", selector, pattern, group, a)
			}
		}
		if len(x.Assignments) > 0 != x.Rules[0].Matched {
			t.Fatalf("%+v", x)
		}
	})
}
