package mapping_test

import (
	"fmt"
	"testing"

	"cel.dev/cel-go/cel"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

func groupNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("CN=aws-%d-engineering,OU=groups,DC=corp,DC=example", i)
	}
	return out
}

// manyRules is n rules, of which every twentieth is a CEL expression and the
// others are lists of groups.
func manyRules(n int) mapping.Config {
	cfg := mapping.Config{Providers: []mapping.Provider{{ID: "okta"}}}
	for i := range 100 {
		cfg.Accounts = append(cfg.Accounts, broker.Account{ID: broker.AccountID(fmt.Sprintf("%012d", i)), Name: fmt.Sprintf("account %d", i)})
		cfg.Roles = append(cfg.Roles, mapping.Role{Name: fmt.Sprintf("Role%d", i), IAMRole: fmt.Sprintf("Role%d", i)})
	}
	for i, g := range groupNames(n) {
		r := mapping.Rule{Name: fmt.Sprintf("rule %d", i), Groups: []string{g}, Accounts: []string{cfg.Accounts[i%100].Name}, Roles: []string{fmt.Sprintf("Role%d", i/100)}}
		if i%20 == 0 {
			r.Groups, r.When = nil, fmt.Sprintf("%q in identity.groups", g)
		}
		cfg.Rules = append(cfg.Rules, r)
	}
	return cfg
}

// BenchmarkRules compares one evaluation for a person with 20 groups to the
// same rules as CEL programs that are run one after the other; the column
// linear is the ratio of the two.
func BenchmarkRules(b *testing.B) {
	user := groupNames(20)
	for _, n := range []int{1_000, 10_000} {
		var linear float64 // ns
		b.Run(fmt.Sprintf("rules=%d/linear_cel", n), func(b *testing.B) {
			env, err := cel.NewEnv(cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)))
			if err != nil {
				b.Fatal(err)
			}
			programs := make([]cel.Program, n)
			for i, g := range groupNames(n) {
				ast, issues := env.Compile(fmt.Sprintf("%q in claims.groups", g))
				if issues.Err() != nil {
					b.Fatal(issues.Err())
				}
				if programs[i], err = env.Program(ast); err != nil {
					b.Fatal(err)
				}
			}
			in := map[string]any{"claims": map[string]any{"groups": user}}
			b.ReportAllocs()
			for b.Loop() {
				got := 0
				for _, p := range programs {
					if v, _, err := p.Eval(in); err != nil {
						b.Fatal(err)
					} else if v.Value() == true {
						got++
					}
				}
				if got != len(user) {
					b.Fatal(got)
				}
			}
			linear = float64(b.Elapsed()) / float64(b.N)
		})
		b.Run(fmt.Sprintf("rules=%d/engine", n), func(b *testing.B) {
			e := engine(b, manyRules(n))
			id := person(user...)
			b.ReportAllocs()
			for b.Loop() {
				as, err := e.Assignments(b.Context(), id)
				if err != nil || len(as) != len(user) {
					b.Fatal(len(as), err)
				}
			}
			if linear > 0 {
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/linear, "linear")
			}
		})
	}
}

// BenchmarkEverything is a person who gets 5,000 assignments from one rule.
func BenchmarkEverything(b *testing.B) {
	cfg := manyRules(100)
	cfg.Rules = []mapping.Rule{{Name: "all", Groups: []string{"all"}, Accounts: []string{"*"}}}
	for _, r := range cfg.Roles[:50] {
		cfg.Rules[0].Roles = append(cfg.Rules[0].Roles, r.Name)
	}
	e := engine(b, cfg)
	b.ReportAllocs()
	for b.Loop() {
		if as := assignments(b, e, person("all")); len(as) != 5_000 {
			b.Fatal(len(as))
		}
	}
}

func BenchmarkNew(b *testing.B) {
	cfg := manyRules(10_000)
	b.ReportAllocs()
	for b.Loop() {
		engine(b, cfg)
	}
}

func BenchmarkIdentity(b *testing.B) {
	cfg := config()
	cfg.Providers[0].Username, cfg.Providers[0].Groups = `claims.email[0].split("@")[0]`, "claims.groups"
	e := engine(b, cfg)
	a := broker.Authentication{Subject: broker.Subject{Provider: "okta", ID: "1"}, Claims: broker.Claims{"groups": groupNames(20), "email": {"alice@example.com"}, "email_verified": {"true"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Identity(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}
