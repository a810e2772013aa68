package mapping_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
)

// wednesday is 2026-11-25 10:30 in Berlin, 09:30 UTC.
var wednesday = time.Date(2026, 11, 25, 9, 30, 0, 0, time.UTC)

func config() mapping.Config {
	return mapping.Config{
		Providers: []mapping.Provider{
			{ID: "okta", MFA: broker.MFAPolicy{AMR: [][]string{{"mfa"}, {"pwd", "otp"}}}, IDPTokenProviderURL: "acme.okta.com/oauth2/default"},
			{ID: "adfs", GroupsAbsent: mapping.GroupsNone, EmailAuthoritativeDomains: []string{"Example.com"}},
		},
		Accounts: []broker.Account{
			{ID: "111122223333", Name: "prod", Labels: map[string]string{"env": "production"}},
			{ID: "222233334444", Name: "Dev", Labels: map[string]string{"env": "development"}},
			{ID: "333344445555", Name: "gov", Partition: broker.PartitionGovCloud},
		},
		Roles: []mapping.Role{
			{Name: "Admin", IAMRole: "RolegateAdmin", Require: broker.Requirement{MFA: true}},
			{Name: "ReadOnly", IAMRole: "path/RolegateReadOnly", MaxDuration: 8 * time.Hour, SessionTags: map[string]string{"Team": "identity.claims.team[0]"}, TransitiveTagKeys: []string{"Team"}},
			{Name: "Deploy", IAMRole: "Deploy", Via: broker.ViaOIDC},
			{Name: "Own", IAMRole: "Own", Via: broker.ViaIDPToken},
		},
		Rules: []mapping.Rule{
			{Name: "platform admins", Groups: []string{"aws-platform"}, Accounts: []string{"env=production"}, Roles: []string{"Admin"}},
			{Name: "by convention", Pattern: `^aws-(?P<account>[a-z0-9-]+)-(?P<role>\w+)$`},
			{Name: "on call", When: `"oncall" in identity.groups && now.getDayOfWeek() < 6`, Accounts: []string{"prod"}, Roles: []string{"ReadOnly"}},
			{Name: "working hours", Groups: []string{"dev", "ops"}, When: `now.getHours() >= 10 && now.getHours() < 18`, TimeZone: "Europe/Berlin", Accounts: []string{"*"}, Roles: []string{"Deploy"}},
			{Name: "own token", When: `identity.mfa && identity.provider == "okta"`, Accounts: []string{"dev"}, Roles: []string{"Own"}},
			{Name: "admins again", Groups: []string{"root"}, Accounts: []string{"111122223333"}, Roles: []string{"admin"}},
		},
		OIDCProvider: "sso.example.com",
		Now:          func() time.Time { return wednesday },
	}
}

func engine(t testing.TB, cfg mapping.Config) *mapping.Engine {
	t.Helper()
	e, err := mapping.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return e
}

func person(groups ...string) broker.Identity {
	return broker.Identity{
		Subject: broker.Subject{Provider: "okta", ID: "00u1"}, Username: "alice", Email: "alice@example.com",
		Groups: groups, Claims: broker.Claims{"team": {"core"}},
	}
}

// grants renders assignments as "account/role via rule,rule".
func grants(as []broker.Assignment) []string {
	out := []string{}
	for _, a := range as {
		out = append(out, a.Account.Name+"/"+a.Role+" "+string(a.Via)+" by "+strings.Join(a.Rules, ","))
	}
	return out
}

func assignments(t testing.TB, e *mapping.Engine, id broker.Identity) []broker.Assignment {
	t.Helper()
	as, err := e.Assignments(t.Context(), id)
	if err != nil {
		t.Fatalf("Assignments: %v", err)
	}
	return as
}

func TestAssignments(t *testing.T) {
	mfa := func(id broker.Identity) broker.Identity { id.MFA = true; return id }
	other := func(id broker.Identity) broker.Identity { id.Subject.Provider = "adfs"; return id }
	for _, tt := range []struct {
		name string
		now  time.Time
		id   broker.Identity
		want []string
	}{
		{name: "nobody", id: person(), want: []string{}},
		{name: "group", id: person("x", "aws-platform"), want: []string{"prod/Admin saml by platform admins"}},
		{name: "group names are exact", id: person("AWS-platform", "aws-platform "), want: []string{}},
		{name: "pattern, account by name in other capitals", id: person("aws-dev-admin"), want: []string{"Dev/Admin saml by by convention"}},
		{name: "pattern, account by id", id: person("aws-333344445555-Deploy"), want: []string{"gov/Deploy oidc by by convention"}},
		{name: "pattern must match the whole group", id: person("xaws-dev-Admin", "aws-dev-Admin\n", "aws-dev-Admin x"), want: []string{}},
		{name: "pattern with an unknown role", id: person("aws-dev-Admn"), want: []string{}},
		{name: "look-alike letters are other letters", id: person("aws-prod-\u212Aelvin", "aws-prod-ReadOn\u2113y"), want: []string{}},
		{name: "one assignment, all its rules", id: person("root", "aws-platform", "aws-prod-Admin"), want: []string{"prod/Admin saml by platform admins,by convention,admins again"}},
		{name: "condition true", id: person("oncall"), want: []string{"prod/ReadOnly saml by on call"}},
		{name: "condition false on Saturday", now: wednesday.AddDate(0, 0, 3), id: person("oncall"), want: []string{}},
		{name: "group and condition in the rule's zone", id: person("ops"), want: []string{"Dev/Deploy oidc by working hours", "gov/Deploy oidc by working hours", "prod/Deploy oidc by working hours"}},
		{name: "the same an hour earlier", now: wednesday.Add(-time.Hour), id: person("ops"), want: []string{}},
		{name: "corporate token", id: mfa(person()), want: []string{"Dev/Own idp_token by own token"}},
		{name: "rule for another provider", id: other(mfa(person())), want: []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			if !tt.now.IsZero() {
				cfg.Now = func() time.Time { return tt.now }
			}
			e := engine(t, cfg)
			if diff := cmp.Diff(tt.want, grants(assignments(t, e, tt.id))); diff != "" {
				t.Errorf("assignments (-want +got):\n%s", diff)
			}
			x, err := e.Explain(t.Context(), tt.id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, grants(x.Assignments)); diff != "" {
				t.Errorf("explained assignments (-want +got):\n%s", diff)
			}
		})
	}
}

// Within one minute the answer stays the same.
func TestNowIsTheMinute(t *testing.T) {
	cfg := config()
	cfg.Now = func() time.Time { return wednesday.Add(59*time.Second + 999*time.Millisecond) }
	cfg.Rules = []mapping.Rule{{Name: "r", When: `now == timestamp("2026-11-25T09:30:00Z")`, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
	if got := assignments(t, engine(t, cfg), person()); len(got) != 1 {
		t.Error("now has seconds")
	}
}

func TestAssignmentFields(t *testing.T) {
	cfg := config()
	cfg.ProviderNames = map[broker.AccountID]mapping.ProviderNames{"222233334444": {SAML: "corp", OIDC: "old.example.com/aws"}}
	e := engine(t, cfg)
	id := person("aws-prod-ReadOnly", "aws-gov-Deploy", "aws-dev-Admin", "aws-dev-Deploy", "aws-prod-Own")
	got := map[string]broker.Assignment{}
	for _, a := range assignments(t, e, id) {
		got[a.Account.Name+"/"+a.Role] = a
	}
	want := broker.Assignment{
		ID:      broker.NewAssignmentID("111122223333", "ReadOnly", broker.ViaSAML),
		Account: broker.Account{ID: "111122223333", Name: "prod", Partition: broker.PartitionAWS, Labels: map[string]string{"env": "production"}},
		Role:    "ReadOnly", RoleARN: "arn:aws:iam::111122223333:role/path/RolegateReadOnly",
		ProviderARN: "arn:aws:iam::111122223333:saml-provider/rolegate", Via: broker.ViaSAML, MaxDuration: 8 * time.Hour,
		SessionTags: map[string]string{"Team": "core"}, TransitiveTagKeys: []string{"Team"}, Rules: []string{"by convention"},
	}
	if diff := cmp.Diff(want, got["prod/ReadOnly"]); diff != "" {
		t.Errorf("prod/ReadOnly (-want +got):\n%s", diff)
	}
	for key, arns := range map[string][2]string{
		"gov/Deploy": {"arn:aws-us-gov:iam::333344445555:role/Deploy", "arn:aws-us-gov:iam::333344445555:oidc-provider/sso.example.com"},
		"Dev/Admin":  {"arn:aws:iam::222233334444:role/RolegateAdmin", "arn:aws:iam::222233334444:saml-provider/corp"},
		"Dev/Deploy": {"arn:aws:iam::222233334444:role/Deploy", "arn:aws:iam::222233334444:oidc-provider/old.example.com/aws"},
		"prod/Own":   {"arn:aws:iam::111122223333:role/Own", "arn:aws:iam::111122223333:oidc-provider/acme.okta.com/oauth2/default"},
	} {
		if a := got[key]; string(a.RoleARN) != arns[0] || string(a.ProviderARN) != arns[1] {
			t.Errorf("%s: %s and %s, want %v", key, a.RoleARN, a.ProviderARN, arns)
		}
	}
	if got["Dev/Admin"].MaxDuration != time.Hour {
		t.Errorf("default max duration %s", got["Dev/Admin"].MaxDuration)
	}
}

func TestExplain(t *testing.T) {
	id := person("aws-prd-Admin", "aws-prod-Admn", "aws-dev-ReadOnly")
	id.Claims = nil
	x, err := engine(t, config()).Explain(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := []broker.RuleResult{
		{Rule: "platform admins", Missing: []string{"aws-platform"}, Reason: `The person is not in the group "aws-platform".`},
		{Rule: "by convention", Matched: true, Groups: []string{"aws-dev-ReadOnly"},
			Reason: `The person is in the group "aws-dev-ReadOnly". The group "aws-prd-Admin" fits the pattern, but there is no account "prd"; did you mean "prod"?; ` +
				`the group "aws-prod-Admn" fits the pattern, but there is no role "Admn"; did you mean "Admin"?; ` +
				`the session tag "Team" of the role "ReadOnly" could not be made: no such key: team.`},
		{Rule: "on call", Reason: `The condition is false; it looks for the group "oncall", which the person is not in.`},
		{Rule: "working hours", Missing: []string{"dev", "ops"}, Reason: `The person is not in the groups "dev" or "ops".`},
		{Rule: "own token", Reason: "The condition is false."},
		{Rule: "admins again", Missing: []string{"root"}, Reason: `The person is not in the group "root".`},
	}
	if diff := cmp.Diff(want, x.Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if len(x.Assignments) != 0 {
		t.Errorf("a role whose tag cannot be made was granted: %v", grants(x.Assignments))
	}
}

// A condition that cannot be decided never grants, even under a negation.
func TestConditionErrorNeverGrants(t *testing.T) {
	for _, when := range []string{
		`identity.claims.team[0] == "core"`, `!(identity.claims.team[0] == "core")`, `!("core" in identity.claims.team)`,
		`identity.claims.other[9] == "x" || false`, `identity.groups[99] != "x"`, `timestamp(identity.username) < now`,
	} {
		cfg := config()
		cfg.Rules = []mapping.Rule{{Name: "r", When: when, Accounts: []string{"prod"}, Roles: []string{"Admin"}}}
		e := engine(t, cfg)
		id := person("g")
		id.Claims = broker.Claims{"other": {"a"}}
		x, err := e.Explain(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(x.Assignments) > 0 || x.Rules[0].Matched || !strings.Contains(x.Rules[0].Reason, "could not be decided") {
			t.Errorf("%s: %+v", when, x)
		}
	}
}

func TestDiff(t *testing.T) {
	old := config()
	next := config()
	next.Rules[0].Roles = []string{"ReadOnly"}
	next.Roles[2].IAMRole, next.Roles[2].MaxDuration = "Deployer", 2*time.Hour
	changes, err := mapping.Diff(t.Context(), engine(t, old), engine(t, next), []broker.Identity{person("aws-platform"), person("aws-gov-Deploy"), person("root")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, string(c.Kind)+" "+c.Username+" "+grants([]broker.Assignment{c.Assignment})[0]+" "+strings.Join(c.What, "; "))
	}
	want := []string{
		"gained alice prod/ReadOnly saml by platform admins ",
		"lost alice prod/Admin saml by platform admins ",
		"changed alice gov/Deploy oidc by by convention role_arn: arn:aws-us-gov:iam::333344445555:role/Deploy → arn:aws-us-gov:iam::333344445555:role/Deployer; max_duration: 1h0m0s → 2h0m0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// A changed identity setting changes what people have, though no rule did.
func TestDiffOfIdentitySettings(t *testing.T) {
	old := config()
	old.Rules = []mapping.Rule{
		{Name: "admins", Groups: []string{"root"}, Accounts: []string{"prod"}, Roles: []string{"Admin"}},
		{Name: "strong", When: "identity.mfa", Accounts: []string{"dev"}, Roles: []string{"Admin"}},
	}
	e := engine(t, old)
	signIn := func(c broker.Claims, amr ...string) broker.Identity {
		id, err := e.Identity(t.Context(), broker.Authentication{
			Subject: broker.Subject{Provider: "okta", ID: "1"}, Claims: c, AuthnContext: broker.AuthnContext{AMR: amr},
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	recorded := signIn(broker.Claims{"groups": {"root"}, "roles": {"none"}}, "pwd", "otp")
	byHand := person("root") // its claims hold no groups
	other := person("root")  // its claims hold others
	other.Claims = broker.Claims{"groups": {"staff"}}
	for _, tt := range []struct {
		name   string
		change func(*mapping.Config)
		id     broker.Identity
		want   []string
	}{
		{"nothing", func(*mapping.Config) {}, recorded, nil},
		{"groups from elsewhere", func(c *mapping.Config) { c.Providers[0].Groups = "claims.roles" }, recorded, []string{"lost prod/Admin"}},
		{"groups from nowhere", func(c *mapping.Config) { c.Providers[0].Groups = "claims.nothing" }, recorded,
			[]string{"lost Dev/Admin the sign-in would be refused: Your identity provider did not send your groups.", "lost prod/Admin the sign-in would be refused: Your identity provider did not send your groups."}},
		{"stricter second factor", func(c *mapping.Config) { c.Providers[0].MFA.AMR = [][]string{{"hwk", "user"}} }, recorded, []string{"lost Dev/Admin"}},
		{"provider gone", func(c *mapping.Config) { c.Providers = c.Providers[1:] }, recorded,
			[]string{`lost Dev/Admin the sign-in would be refused: There is no identity provider "okta".`, `lost prod/Admin the sign-in would be refused: There is no identity provider "okta".`}},
		{"written by hand", func(c *mapping.Config) { c.Providers[0].Groups = "claims.nothing" }, byHand, nil},
		{"written by hand with other claims", func(*mapping.Config) {}, other, nil},
	} {
		next := config()
		next.Rules = old.Rules
		tt.change(&next)
		changes, err := mapping.Diff(t.Context(), e, engine(t, next), []broker.Identity{tt.id})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, strings.TrimSpace(string(c.Kind)+" "+c.Assignment.Account.Name+"/"+c.Assignment.Role+" "+strings.Join(c.What, "; ")))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if as, err := engine(t, config()).Assignments(ctx, person("aws-platform")); err == nil {
		t.Errorf("got %v from an ended context", grants(as))
	}
}
