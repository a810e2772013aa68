package mapping

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

	"github.com/rolegate/rolegate/broker"
)

// Engine is a compiled [Config]. It implements [broker.IdentityMapper] and
// [broker.RoleMapper], is immutable, and is safe for concurrent use.
type Engine struct {
	providers map[broker.ProviderID]*provider
	accounts  accountIndex
	roles     []role
	roleNames map[string][]int // folded name to roles
	roleList  nameList
	rules     []rule
	byGroup   map[string][]int // exact group to the rules that list it
	unindexed []int            // rules without a list of groups

	// The places of accounts and roles in the order of [broker.SortAssignments],
	// so that nothing is compared by name during an evaluation.
	accountRank, roleRank []int

	sessionName, sourceIdentity *expr // nil: the default
	admins                      rule
	now                         func() time.Time

	warnings broker.Problems
}

type provider struct {
	Provider
	subject, username, email, groups *expr // nil: the default
}

type account struct {
	broker.Account
	saml, oidc broker.ProviderARN
}

type role struct {
	Role
	tags []tag
}

type tag struct {
	key  string
	expr *expr
}

type rule struct {
	Rule
	pattern               *regexp.Regexp
	accountGroup, rolePos int // submatch indexes, -1 if the pattern lacks them
	when                  *expr
	zone                  *time.Location
	accounts, roles       []int // sorted; nil: the pattern says it
}

// compiler gathers the problems of one [New]. Expressions are queued and
// compiled side by side, as one takes a tenth of a millisecond and more.
type compiler struct {
	e        *Engine
	envs     envs
	near     *speller
	regexes  *regexBudget
	covered  int              // accounts of the rules so far
	selected map[string][]int // what entries of Rule.Accounts select, by all of them
	jobs     []job
	problems broker.Problems
}

type job struct {
	path, src string
	env       *cel.Env
	want      *cel.Type
	out       **expr
}

// New compiles cfg. The error is [broker.Problems], in the order of the
// configuration; what is no mistake but has no effect is in [Engine.Warnings].
func New(cfg Config) (*Engine, error) { return NewContext(context.Background(), cfg) }

// NewContext is [New] for a configuration that somebody waits for: it ends with
// the context, whose error it returns.
func NewContext(ctx context.Context, cfg Config) (*Engine, error) {
	vs, err := newEnvs()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		providers: map[broker.ProviderID]*provider{}, roleNames: map[string][]int{}, byGroup: map[string][]int{}, now: cfg.Now,
		roles: make([]role, len(cfg.Roles)), rules: make([]rule, len(cfg.Rules)),
	}
	if e.now == nil {
		e.now = time.Now
	}
	c := &compiler{e: e, envs: vs, near: newSpeller(), regexes: newRegexBudget(), selected: map[string][]int{}}
	for i, p := range cfg.Providers {
		c.provider(fmt.Sprintf("identity_providers[%d]", i), p)
	}
	c.accounts(cfg)
	for i, r := range cfg.Roles {
		c.role(fmt.Sprintf("roles[%d]", i), i, r)
	}
	names := map[string]bool{}
	for i, r := range cfg.Rules {
		if err := compiling(ctx); err != nil {
			return nil, err
		}
		path := fmt.Sprintf("rules[%d]", i)
		switch {
		case strings.TrimSpace(r.Name) == "":
			c.problem(path+".name", "a name is needed: it tells people why they have a role")
		case strings.ContainsFunc(r.Name, broker.Breaks):
			c.problem(path+".name", "%q holds control characters", r.Name)
		case names[r.Name]:
			c.problem(path+".name", "another rule has the name %q", r.Name)
		}
		names[r.Name] = true
		c.rule(ctx, path, i, r)
	}
	c.admins("admins", cfg.Admins)
	c.expr("role_session.name", cfg.RoleSession.Name, vs.identity, cel.StringType, &e.sessionName)
	c.expr("role_session.source_identity", cfg.RoleSession.SourceIdentity, vs.identity, cel.StringType, &e.sourceIdentity)
	if err := c.compileAll(ctx); err != nil {
		return nil, err
	}
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	e.unreachable()
	accounts := make([]broker.Assignment, len(e.accounts.all))
	for i, a := range e.accounts.all {
		accounts[i].Account = a.Account
	}
	roles := make([]broker.Assignment, len(e.roles))
	for i, r := range e.roles {
		roles[i].Role, roles[i].Via = r.Name, r.Via
	}
	e.accountRank, e.roleRank = ranks(accounts), ranks(roles)
	return e, nil
}

// ranks returns the place of each assignment after sorting.
func ranks(as []broker.Assignment) []int {
	for i := range as {
		as[i].ID = broker.AssignmentID(strconv.Itoa(i))
	}
	broker.SortAssignments(as)
	out := make([]int, len(as))
	for place, a := range as {
		i, _ := strconv.Atoi(string(a.ID)) // written above
		out[i] = place
	}
	return out
}

func (c *compiler) problem(path, format string, args ...any) {
	c.problems.Add(path, format, args...)
}

// expr queues src unless it is empty.
func (c *compiler) expr(path, src string, env *cel.Env, want *cel.Type, out **expr) {
	if src != "" {
		c.jobs = append(c.jobs, job{path, src, env, want, out})
	}
}

func (c *compiler) compileAll(ctx context.Context) error {
	failed := make([]error, len(c.jobs))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), len(c.jobs)) {
		wg.Go(func() {
			for i := range next {
				if j := c.jobs[i]; ctx.Err() == nil {
					*j.out, failed[i] = compile(j.env, j.src, j.want, c.regexes)
				}
			}
		})
	}
	for i := range c.jobs {
		next <- i
	}
	close(next)
	wg.Wait()
	if err := compiling(ctx); err != nil {
		return err
	}
	for i, err := range failed {
		if err != nil {
			c.problem(c.jobs[i].path, "%v", err)
		}
	}
	return nil
}

func (c *compiler) provider(path string, p Provider) {
	if p.ID == "" || c.e.providers[p.ID] != nil {
		c.problem(path+".id", "each identity provider needs an id of its own, not %q", p.ID)
		return
	}
	p.GroupsAbsent = cmp.Or(p.GroupsAbsent, GroupsRefuse)
	if p.GroupsAbsent != GroupsRefuse && p.GroupsAbsent != GroupsNone {
		c.problem(path+".groups_absent", "is %q; %q or %q is needed", p.GroupsAbsent, GroupsRefuse, GroupsNone)
	}
	if p.IDPTokenProviderURL != "" && !oidcProviderName.MatchString(p.IDPTokenProviderURL) {
		c.problem(path+".oidc.issuer", "%q, host and path of the issuer, is no name that an OIDC provider in IAM can have", p.IDPTokenProviderURL)
	}
	pr := &provider{Provider: p}
	c.e.providers[p.ID] = pr
	for _, x := range []struct {
		key, src string
		want     *cel.Type
		out      **expr
	}{
		{"subject", p.Subject, cel.StringType, &pr.subject},
		{"username", p.Username, cel.StringType, &pr.username},
		{"email", p.Email, cel.StringType, &pr.email},
		{"groups", p.Groups, stringList, &pr.groups},
	} {
		c.expr(path+".identity."+x.key, x.src, c.envs.claims, x.want, x.out)
	}
}

func (c *compiler) accounts(cfg Config) {
	x := accountIndex{by: map[string]int{}}
	ids := map[broker.AccountID]bool{}
	for i, a := range cfg.Accounts {
		path := fmt.Sprintf("accounts[%d]", i)
		if _, err := broker.ParseAccountID(string(a.ID)); err != nil {
			c.problem(path+".id", "%s", broker.Message(err))
		} else if ids[a.ID] {
			c.problem(path+".id", "another account has the id %s", a.ID)
		}
		ids[a.ID] = true
		a.Name = cmp.Or(a.Name, string(a.ID))
		if _, err := broker.ParseAccountID(a.Name); err == nil && a.Name != string(a.ID) {
			c.problem(path+".name", "looks like the id of another account")
		} else if _, taken := x.by[fold(a.Name)]; taken {
			c.problem(path+".name", "another account has the name %q (capitals make no difference)", a.Name)
		} else if a.Name != strings.TrimSpace(a.Name) || a.Name == "*" || strings.ContainsFunc(a.Name, broker.Breaks) {
			c.problem(path+".name", "%q cannot be a name", a.Name)
		}
		a.Partition = cmp.Or(a.Partition, broker.PartitionAWS)
		if err := a.Partition.Check(); err != nil {
			c.problem(path+".partition", "%v", err)
		}
		names := cfg.ProviderNames[a.ID]
		x.by[string(a.ID)], x.by[fold(a.Name)] = i, i
		x.names.add(a.Name)
		x.all = append(x.all, account{
			Account: a,
			saml:    c.providerARN(a, "saml-provider", samlProviderName, cmp.Or(names.SAML, cfg.SAMLProviderName, "rolegate"), "aws.saml.provider"),
			oidc:    c.providerARN(a, "oidc-provider", oidcProviderName, cmp.Or(names.OIDC, cfg.OIDCProvider), "aws.oidc.provider"),
		})
	}
	for id := range maps.Keys(cfg.ProviderNames) {
		if !ids[id] {
			c.problem("aws", "provider names are given for %s, which is not an account", id)
		}
	}
	c.e.accounts = x
}

// IAM: SAML provider names are 1-128 of [\w._-]; an OIDC provider is named by
// the host and path of its issuer.
var (
	samlProviderName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
	oidcProviderName = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?$`)
)

func (c *compiler) providerARN(a broker.Account, kind string, valid *regexp.Regexp, name, path string) broker.ProviderARN {
	if name == "" {
		return ""
	}
	if !valid.MatchString(name) {
		p := broker.Problem{Field: path, Message: fmt.Sprintf("%q is not the name of a %s in IAM", name, kind)}
		if !slices.Contains(c.problems, p) {
			c.problems = append(c.problems, p)
		}
	}
	return providerARN(a, kind, name)
}

func providerARN(a broker.Account, kind, name string) broker.ProviderARN {
	return broker.ProviderARN("arn:" + string(a.Partition) + ":iam::" + string(a.ID) + ":" + kind + "/" + name)
}

// iamRole is a role name of IAM with an optional path (IAM: 64 characters, and
// 512 for the path).
var iamRole = regexp.MustCompile(`^/?([!-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$`)

func (c *compiler) role(path string, i int, r Role) {
	r.Via = cmp.Or(r.Via, broker.ViaSAML)
	r.MaxDuration = cmp.Or(r.MaxDuration, time.Hour)
	key := fold(r.Name)
	switch {
	case broker.ValidRoleName(r.Name) != nil:
		c.problem(path+".name", "%s %s", broker.Message(broker.ValidRoleName(r.Name)), broker.Remedy(broker.ValidRoleName(r.Name)))
	case slices.ContainsFunc(c.e.roleNames[key], func(j int) bool { return c.e.roles[j].Via == r.Via }):
		c.problem(path+".name", "another role with via %s has the name %q (capitals make no difference)", r.Via, r.Name)
	}
	if !iamRole.MatchString(r.IAMRole) {
		c.problem(path+".iam_role", "%q is not the name of an IAM role", r.IAMRole)
	}
	switch r.Via {
	case broker.ViaSAML:
	case broker.ViaOIDC:
		if slices.ContainsFunc(c.e.accounts.all, func(a account) bool { return a.oidc == "" }) {
			c.problem(path+".via", "oidc needs the name of rolegate's OIDC provider in IAM")
		}
	case broker.ViaIDPToken:
		if len(r.SessionTags) > 0 {
			c.problem(path+".session_tags", "with via idp_token the identity provider makes the token, so rolegate cannot put tags in it")
		}
		if r.ProofTags {
			c.problem(path+".proof_tags", "with via idp_token the identity provider makes the token, so rolegate cannot put the proof in it")
		}
	default:
		c.problem(path+".via", "%q is not one of saml, oidc, idp_token", r.Via)
	}
	if err := broker.ValidDuration(r.MaxDuration); err != nil {
		c.problem(path+".max_duration", "%s", broker.Message(err))
	}
	if r.Require.MaxAuthAge < 0 {
		c.problem(path+".require.max_auth_age", "is negative")
	}
	ro := role{Role: r}
	ro.tags = c.tags(path, r)
	c.e.roles[i] = ro
	c.e.roleList.add(r.Name)
	c.e.roleNames[key] = append(c.e.roleNames[key], i)
}

func (c *compiler) rule(ctx context.Context, path string, i int, r Rule) {
	out := rule{Rule: r, accountGroup: -1, rolePos: -1, zone: time.UTC}
	if len(r.Groups) == 0 && r.Pattern == "" && r.When == "" {
		c.problem(path, "says nobody: groups, pattern or when is needed (when: 'true' is everybody)")
	}
	for j, g := range r.Groups {
		if g == "" || len(g) > maxText || !utf8.ValidString(g) {
			c.problem(fmt.Sprintf("%s.groups[%d]", path, j), "is not a group name")
		}
		if len(c.e.byGroup[g]) == 0 || c.e.byGroup[g][len(c.e.byGroup[g])-1] != i {
			c.e.byGroup[g] = append(c.e.byGroup[g], i)
		}
	}
	if len(r.Groups) == 0 {
		c.e.unindexed = append(c.e.unindexed, i)
	}
	c.pattern(path+".pattern", &out)
	c.zone(path, r.TimeZone, &out)
	out.accounts, out.roles = c.ruleAccounts(ctx, path, r), c.ruleRoles(path, r)
	if n := len(out.accounts) * len(out.roles); n > maxGrants {
		c.problem(path, "gives %d roles in %d accounts, %d in all; %d are allowed", len(out.roles), len(out.accounts), n, maxGrants)
	}
	patternFailed := r.Pattern != "" && out.pattern == nil
	if len(r.Accounts) == 0 && out.accountGroup < 0 && !patternFailed {
		c.problem(path+".accounts", "no account is named, and no pattern with (?P<account>…) says one")
	}
	if len(r.Roles) == 0 && out.rolePos < 0 && !patternFailed {
		c.problem(path+".roles", "no role is named, and no pattern with (?P<role>…) says one")
	}
	c.e.rules[i] = out
	c.expr(path+".when", r.When, c.envs.rule, cel.BoolType, &c.e.rules[i].when)
}

func (c *compiler) zone(path, name string, out *rule) {
	if name == "" {
		return
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		c.problem(path+".time_zone", "%q is not the name of a time zone, as in Europe/Berlin", name)
		return
	}
	out.zone = zone
}

// admins compiles the rule that names administrators.
func (c *compiler) admins(path string, a Admins) {
	out := rule{Rule: Rule{Groups: a.Groups, When: a.When}, zone: time.UTC}
	for j, g := range a.Groups {
		if g == "" || len(g) > maxText || !utf8.ValidString(g) {
			c.problem(fmt.Sprintf("%s.groups[%d]", path, j), "is not a group name")
		}
	}
	c.zone(path, a.TimeZone, &out)
	c.e.admins = out
	c.expr(path+".when", a.When, c.envs.rule, cel.BoolType, &c.e.admins.when)
}
