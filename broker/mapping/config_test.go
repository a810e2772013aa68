package mapping_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// problems returns "field: message" for each problem of cfg.
func problems(t testing.TB, cfg mapping.Config) []string {
	t.Helper()
	_, err := mapping.New(cfg)
	var out []string
	found, _ := errors.AsType[broker.Problems](err)
	for _, p := range found {
		out = append(out, p.Error())
	}
	if (err == nil) != (len(out) == 0) {
		t.Fatalf("New failed without a problem: %v", err)
	}
	return out
}

func TestProblems(t *testing.T) {
	tags := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("k%d", i)] = `""`
		}
		return m
	}
	for _, tt := range []struct {
		name   string
		change func(*mapping.Config)
		want   []string // beginnings, in order
	}{
		{"none", func(*mapping.Config) {}, nil},
		{"misspelt field", func(c *mapping.Config) { c.Rules[2].When = `"x" in identity.gruops` },
			[]string{`rules[2].when: identity has no field "gruops"; did you mean "groups"?`}},
		{"misspelt field with a call", func(c *mapping.Config) { c.Rules[2].When = `identity.gruops.size() > 1` },
			[]string{`rules[2].when: identity has no field "gruops"; did you mean "groups"?`}},
		{"identity alone", func(c *mapping.Config) { c.Rules[2].When = `identity == identity` }, []string{`rules[2].when: identity is not a value by itself`}},
		{"type", func(c *mapping.Config) { c.Rules[2].When = `identity.groups == "x"` }, []string{"rules[2].when: found no matching overload"}},
		{"result type", func(c *mapping.Config) { c.Rules[2].When = `identity.groups` }, []string{"rules[2].when: gives list(string), but bool is needed"}},
		{"dynamic result", func(c *mapping.Config) { c.Rules[2].When = `dyn(true)` }, []string{"rules[2].when: gives dyn"}},
		{"syntax", func(c *mapping.Config) { c.Rules[2].When = "true &&\n" }, []string{"rules[2].when: Syntax error"}},
		{"now outside rules", func(c *mapping.Config) { c.RoleSession.Name = "string(now)" }, []string{"role_session.name: undeclared reference to 'now'"}},
		{"rules' variables in a provider", func(c *mapping.Config) { c.Providers[0].Groups = "identity.groups" }, []string{"identity_providers[0].identity.groups: identity"}},
		{"bad expression regexp", func(c *mapping.Config) { c.Rules[2].When = `identity.email.matches("(")` }, []string{"rules[2].when: invalid matches argument"}},
		{"not UTF-8", func(c *mapping.Config) { c.Rules[2].When = "'\xff' == ''" }, []string{"rules[2].when: is not valid UTF-8"}},
		{"unknown account", func(c *mapping.Config) { c.Rules[0].Accounts = []string{"prd"} }, []string{`rules[0].accounts[0]: there is no account "prd"; did you mean "prod"?`}},
		{"unknown account id", func(c *mapping.Config) { c.Rules[0].Accounts = []string{"999999999999"} }, []string{`rules[0].accounts[0]: there is no account "999999999999"`}},
		{"bad selectors", func(c *mapping.Config) { c.Rules[0].Accounts = []string{"=x", "a=", "a==b", "a=b,", "!=b", "a=b,c"} },
			[]string{"rules[0].accounts[0]", "rules[0].accounts[1]", "rules[0].accounts[2]", "rules[0].accounts[3]", "rules[0].accounts[4]", "rules[0].accounts[5]"}},
		{"unknown role", func(c *mapping.Config) { c.Rules[0].Roles = []string{"Admn"} }, []string{`rules[0].roles[0]: there is no role "Admn"; did you mean "Admin"?`}},
		{"nobody", func(c *mapping.Config) { c.Rules[0].Groups = nil }, []string{"rules[0]: says nobody"}},
		{"no accounts, no roles", func(c *mapping.Config) { c.Rules[0].Accounts, c.Rules[0].Roles = nil, nil }, []string{"rules[0].accounts: no account", "rules[0].roles: no role"}},
		{"pattern without a role", func(c *mapping.Config) { c.Rules[1].Pattern = `aws-(?P<account>.+)` }, []string{"rules[1].roles: no role"}},
		{"pattern with another group", func(c *mapping.Config) { c.Rules[1].Pattern = `(?P<account>.+)-(?P<role>.+)-(?P<env>.+)` }, []string{`rules[1].pattern: has a group "env"`}},
		{"pattern that escapes its anchors", func(c *mapping.Config) { c.Rules[1].Pattern = `a)|(?P<account>.+)-(?P<role>.+)|(b` }, []string{"rules[1].pattern: error parsing regexp"}},
		{"long pattern", func(c *mapping.Config) { c.Rules[1].Pattern = strings.Repeat("a", 4097) }, []string{"rules[1].pattern: is longer"}},
		{"names of rules", func(c *mapping.Config) { c.Rules[0].Name, c.Rules[1].Name = " ", "on call" }, []string{"rules[0].name: a name", "rules[2].name: another"}},
		{"empty group", func(c *mapping.Config) { c.Rules[0].Groups = []string{""} }, []string{"rules[0].groups[0]"}},
		{"time zone", func(c *mapping.Config) { c.Rules[3].TimeZone = "Berlin"; c.Rules[2].TimeZone = "Local" }, []string{"rules[2].time_zone", `rules[3].time_zone: "Berlin"`}},
		{"accounts", func(c *mapping.Config) {
			c.Accounts[0].ID, c.Accounts[1].Name, c.Accounts[2].Partition = "12", "PROD", "aws-moon"
			c.Rules = nil
		}, []string{"accounts[0].id", "accounts[1].name: another", `accounts[2].partition: there is no partition "aws-moon"`}},
		{"account named as another's id", func(c *mapping.Config) { c.Accounts[1].Name = "111122223333"; c.Rules = nil }, []string{"accounts[1].name: looks like the id"}},
		{"two accounts with an id", func(c *mapping.Config) { c.Accounts[1].ID = "111122223333"; c.Rules = nil }, []string{"accounts[1].id: another"}},
		{"roles", func(c *mapping.Config) {
			c.Roles[0].Name, c.Roles[0].IAMRole, c.Roles[0].Require.MaxAuthAge = " Admin", "a b", -1
			c.Roles[1].Name, c.Roles[1].MaxDuration = "DEPLOY", 13*time.Hour
			c.Roles[2].Name, c.Roles[2].Via = "Deploy", "magic"
			c.Rules = nil
		}, []string{"roles[0].name", "roles[0].iam_role", "roles[0].require.max_auth_age", "roles[1].max_duration", "roles[2].via"}},
		{"attack: names that steer a terminal", func(c *mapping.Config) {
			c.Accounts[0].Name, c.Accounts[1].Name, c.Rules = "a\nb", "a\u202eb", []mapping.Rule{{Name: "a\x1b]0;b", When: "true", Accounts: []string{"*"}, Roles: []string{"Admin"}}}
		}, []string{"accounts[0].name", "accounts[1].name", "rules[0].name"}},
		{"attack: names that a shell carries out", func(c *mapping.Config) {
			for i, name := range []string{"Admin$(touch x)", "`id`", "a b", "--config=x"} {
				c.Roles[i].Name = name
			}
			c.Rules = nil
		}, []string{"roles[0].name: \"Admin$(touch x)\" cannot be the name of a role.", "roles[1].name", "roles[2].name", "roles[3].name"}},
		{"one name, one via, twice", func(c *mapping.Config) { c.Roles[1].Name = "ADMIN"; c.Rules = nil }, []string{"roles[1].name: another role with via saml"}},
		{"tags", func(c *mapping.Config) {
			c.Roles[0].SessionTags = map[string]string{"": "'x'", "AWS:x": "'x'", "a#b": "'x'", "team": "'x'", "Team": "'x'", "empty": "", "list": "identity.groups", strings.Repeat("k", 129): "'x'"}
			c.Roles[0].TransitiveTagKeys = []string{"Tream"}
			c.Roles[3].SessionTags = map[string]string{"Team": "'x'"}
		}, []string{
			`roles[0].session_tags.: ""`, "roles[0].session_tags.AWS:x", "roles[0].session_tags.a#b", "roles[0].session_tags.empty: an expression",
			"roles[0].session_tags.kkk", "roles[0].session_tags.team: another", `roles[0].transitive_tag_keys[0]: "Tream"`, "roles[3].session_tags: with via idp_token",
			"roles[0].session_tags.list: gives list(string)",
		}},
		{"fifty tags", func(c *mapping.Config) { c.Roles[0].SessionTags = tags(50) }, nil},
		{"fifty-one tags", func(c *mapping.Config) { c.Roles[0].SessionTags = tags(51) }, []string{"roles[0].session_tags: has 51 tags"}},
		{"oidc without a provider", func(c *mapping.Config) { c.OIDCProvider = "" }, []string{"roles[2].via: oidc needs"}},
		{"provider names", func(c *mapping.Config) {
			c.SAMLProviderName, c.OIDCProvider, c.Providers[0].IDPTokenProviderURL = "a b", "https://x", "https://y"
			c.ProviderNames = map[broker.AccountID]mapping.ProviderNames{"1": {}}
		}, []string{"identity_providers[0].oidc.issuer", "aws.saml.provider", "aws.oidc.provider", "aws: provider names"}},
		{"providers", func(c *mapping.Config) {
			c.Providers[1].ID, c.Providers[0].GroupsAbsent = "okta", "maybe"
		}, []string{"identity_providers[0].groups_absent", "identity_providers[1].id"}},
		{"all at once", func(c *mapping.Config) {
			c.Rules[0].Roles, c.Rules[2].When, c.RoleSession.Name, c.Providers[1].Email = []string{"x"}, "x", "y", "z"
		}, []string{"rules[0].roles[0]", "identity_providers[1].identity.email", "rules[2].when", "role_session.name"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			tt.change(&cfg)
			got := problems(t, cfg)
			ok := len(got) == len(tt.want)
			for i := range tt.want {
				ok = ok && strings.HasPrefix(got[i], tt.want[i])
			}
			if !ok {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tt.want, "\n\t"))
			}
		})
	}
}

func TestSelectors(t *testing.T) {
	cfg := config()
	cfg.Accounts = []broker.Account{
		{ID: "000000000001", Name: "a", Labels: map[string]string{"env": "prod", "tier": "gold"}},
		{ID: "000000000002", Name: "b", Labels: map[string]string{"env": "prod", "tier": "lead"}},
		{ID: "000000000003", Name: "c", Labels: map[string]string{"env": "dev"}},
		{ID: "000000000004", Name: "d"},
		{ID: "000000000005", Name: "env=prod"}, // a name wins over a selector
		{ID: "000000000006"},
	}
	for _, tt := range []struct {
		selectors []string
		want      string
	}{
		{[]string{"*"}, "000000000006 a b c d env=prod"},
		{[]string{"A"}, "a"},
		{[]string{"000000000002", "b"}, "b"},
		{[]string{"env=prod"}, "env=prod"},
		{[]string{" env = prod "}, "a b"},
		{[]string{"env=prod,tier=gold"}, "a"},
		{[]string{"env=prod,tier!=gold"}, "b"},
		{[]string{"env!=prod"}, "c"}, // not d: an account without the label is not known to differ
		{[]string{"env=dev", "tier=gold"}, "a c"},
	} {
		cfg.Rules = []mapping.Rule{{Name: "r", Groups: []string{"g"}, Accounts: tt.selectors, Roles: []string{"Admin"}}}
		var got []string
		for _, a := range assignments(t, engine(t, cfg), person("g")) {
			got = append(got, a.Account.Name)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.selectors, diff)
		}
	}
}

func TestPatternWithLists(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule mapping.Rule
		want []string
	}{
		{"accounts restrict", mapping.Rule{Pattern: `aws-(?P<account>\w+)-(?P<role>\w+)`, Accounts: []string{"dev"}}, []string{"Dev/Admin saml by r"}},
		{"roles restrict", mapping.Rule{Pattern: `aws-(?P<account>\w+)-(?P<role>\w+)`, Roles: []string{"ReadOnly"}}, []string{"prod/ReadOnly saml by r"}},
		{"accounts from the list", mapping.Rule{Pattern: `\w+-prod-(?P<role>\w+)`, Accounts: []string{"gov", "dev"}}, []string{"Dev/ReadOnly saml by r", "gov/ReadOnly saml by r"}},
		{"roles from the list", mapping.Rule{Pattern: `aws-(?P<account>\w+)-\w+`, Roles: []string{"Deploy"}}, []string{"Dev/Deploy oidc by r", "prod/Deploy oidc by r"}},
		{"a filter only", mapping.Rule{Pattern: `aws-.*`, Accounts: []string{"gov"}, Roles: []string{"Admin"}}, []string{"gov/Admin saml by r"}},
		{"with a group that is missing", mapping.Rule{Groups: []string{"x"}, Pattern: `aws-(?P<account>\w+)-(?P<role>\w+)`}, []string{}},
		{"with a condition that is false", mapping.Rule{When: "identity.mfa", Pattern: `aws-(?P<account>\w+)-(?P<role>\w+)`}, []string{}},
		{"alternatives stay within the anchors", mapping.Rule{Pattern: `aws-dev|ReadOnly`, Accounts: []string{"gov"}, Roles: []string{"Admin"}}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			tt.rule.Name = "r"
			cfg.Rules = []mapping.Rule{tt.rule}
			got := grants(assignments(t, engine(t, cfg), person("aws-dev-Admin", "aws-prod-ReadOnly")))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSessionTagValues(t *testing.T) {
	for _, tt := range []struct {
		value string
		ok    bool
	}{
		{"", true}, {"Blue Team_1.2:/=+-@", true}, {"Größe 株式会社", true}, {strings.Repeat("ä", 256), true},
		{strings.Repeat("a", 257), false}, {"a,b", false}, {"a\nb", false}, {"<b>", false}, {"a\x00", false}, {"a\xff", false}, {"😀", false},
	} {
		cfg := config()
		cfg.Rules = []mapping.Rule{{Name: "r", Groups: []string{"g"}, Accounts: []string{"prod"}, Roles: []string{"ReadOnly", "Admin"}}}
		id := person("g")
		id.Claims = broker.Claims{"team": {tt.value}}
		got := grants(assignments(t, engine(t, cfg), id))
		want := []string{"prod/Admin saml by r"}
		if tt.ok {
			want = append(want, "prod/ReadOnly saml by r")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.value, diff)
		}
	}
}
