package mapping

import (
	"context"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// maxMissing bounds how many rules [Engine.Missing] tells of.
const maxMissing = 20

// Missing returns the rules that could give the role in the account (id or
// name, without regard to case) but do not give it to id, each with its reason
// and the groups any one of which would do. It is empty for an account or role
// that does not exist: who lacks access is not told what there is.
func (e *Engine) Missing(ctx context.Context, id broker.Identity, accountName, roleName string) ([]broker.RuleResult, error) {
	account, ok := e.accounts.find(accountName)
	roles := e.roleNames[fold(roleName)]
	if !ok || len(roles) == 0 {
		return nil, nil
	}
	p, err := e.person(&id)
	if err != nil {
		return nil, err
	}
	var out []broker.RuleResult
	for i := range e.rules {
		r := &e.rules[i]
		if !r.covers(account, roles) || len(out) == maxMissing {
			continue
		}
		res := broker.RuleResult{Rule: r.Name}
		gives, err := e.judge(ctx, r, p, &res)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(gives, func(g grant) bool { return g.account == account && slices.Contains(roles, g.role) }) {
			continue
		}
		if r.pattern != nil {
			if g := r.groupFor(e.accounts.all[account].Name, e.roles[roles[0]].Name); g != "" {
				res.Missing = append(res.Missing, g)
			}
		}
		out = append(out, res)
	}
	return out, nil
}

// covers reports whether the rule could name the account and one of the roles.
func (r *rule) covers(account int, roles []int) bool {
	if r.accounts != nil && !holds(r.accounts, account) {
		return false
	}
	return r.roles == nil || slices.ContainsFunc(roles, func(i int) bool { return holds(r.roles, i) })
}

// groupFor returns a group name that fits the pattern and names the account and
// the role, or "" where the pattern leaves more open than those two.
func (r *rule) groupFor(account, role string) string {
	re, err := syntax.Parse(r.Pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	var b strings.Builder
	if !spell(&b, re, map[string]string{"account": account, "role": role}) {
		return ""
	}
	name := b.String()
	m := r.pattern.FindStringSubmatch(name)
	if m == nil || r.accountGroup >= 0 && m[r.accountGroup] != account || r.rolePos >= 0 && m[r.rolePos] != role {
		return ""
	}
	return name
}

// spell writes the one text that re stands for, with each named group replaced;
// false when there is more than one.
func spell(b *strings.Builder, re *syntax.Regexp, named map[string]string) bool {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCapture:
		if text, ok := named[re.Name]; ok {
			b.WriteString(text)
			return true
		}
		return spell(b, re.Sub[0], named)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !spell(b, sub, named) {
				return false
			}
		}
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
	default:
		return false
	}
	return true
}
