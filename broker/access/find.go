package access

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// GoPath is the deep link to an assignment, the route /go.
func GoPath(as broker.Assignment, d broker.Destination) string {
	q := "/go?account=" + string(as.Account.ID) + "&role=" + url.QueryEscape(as.Role)
	if d.Path != "" {
		q += "&destination=" + url.QueryEscape(d.Path)
	}
	if d.Region != "" {
		q += "&region=" + url.QueryEscape(d.Region)
	}
	return q
}

// FindAssignment returns the assignment for an account (id, or name without
// regard to case) and role name. CodeDenied with what would give it otherwise,
// recorded as a refusal of what it is wanted for. When one pair has several ways
// to STS, the first is meant.
func (a *Service) FindAssignment(ctx context.Context, sess *broker.Session, act broker.Action, account, role string) (broker.Assignment, error) {
	as, err := a.c.Entitlements.Assignments(ctx, sess.Identity)
	if err != nil {
		return broker.Assignment{}, err
	}
	for _, x := range as {
		if (string(x.Account.ID) == account || strings.EqualFold(x.Account.Name, account)) && strings.EqualFold(x.Role, role) {
			return x, nil
		}
	}
	missing, err := a.c.Entitlements.Missing(ctx, sess.Identity, account, role)
	if err != nil {
		return broker.Assignment{}, err
	}
	return broker.Assignment{}, a.refuse(ctx, sess, act, broker.Wanted{Account: account, Role: role}, broker.Assignment{},
		broker.Errorf(broker.CodeDenied, "You do not have the role %q in the account %q.", role, account).Fix("%s", wouldGive(missing)))
}

// wouldGive says in one or two sentences which rule, and which group, would
// give what a person lacks.
func wouldGive(missing []broker.RuleResult) string {
	const most = 3
	var parts []string
	for _, r := range missing[:min(len(missing), most)] {
		switch {
		case len(r.Missing) > 0:
			groups := r.Missing[:min(len(r.Missing), most)]
			parts = append(parts, fmt.Sprintf("the rule %q gives it to members of %s", r.Rule, strings.Join(groups, " or ")))
		default:
			parts = append(parts, fmt.Sprintf("the rule %q would give it, but does not hold for you now", r.Rule))
		}
	}
	if len(parts) == 0 {
		return "Ask your administrator for access, or choose another role in the portal."
	}
	text := strings.Join(parts, "; ")
	return strings.ToUpper(text[:1]) + text[1:] + ". Ask your administrator; groups are read when you sign in."
}
