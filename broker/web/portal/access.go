package portal

import (
	"net/http"
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/page"
)

// maxRules bounds each list of rules on the page, maxGrants each rule's roles.
const (
	maxRules  = 100
	maxGrants = 30
)

// AccessPage explains why a person has what they have.
type AccessPage struct {
	page.Meta
	About       string // one role in one account, when the page is about that only
	Username    string
	Email       string
	Unverified  string // an address that nobody vouches for
	Subject     string
	MFA         bool
	SignedInAt  time.Time // at the identity provider; zero if unknown
	SessionName string    // as AWS shows the person
	Groups      []string
	Granted     []RuleView
	Missed      []RuleView
	MoreGranted int
	MoreMissed  int
}

// Template names the page.
func (AccessPage) Template() string { return "access" }

// RuleView is one rule's outcome.
type RuleView struct {
	Name    string
	Reason  string
	Groups  []string
	Missing []string
	Grants  []string
	More    int // grants left out
}

func (p *Portal) access(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	why, err := p.c.Access.Explain(r.Context(), sess)
	if err != nil {
		return err
	}
	id := sess.Identity
	out := AccessPage{
		Meta: p.meta(sess, "Why you have access", "access"), Username: id.Username, Email: id.Email, Unverified: id.UnverifiedEmail, Subject: id.Subject.String(),
		MFA: id.MFA, SignedInAt: id.AuthnInstant, SessionName: sess.SessionName, Groups: id.Groups,
	}
	names := make(map[broker.AssignmentID]string, len(why.Assignments))
	for _, a := range why.Assignments {
		names[a.ID] = a.Role + " in " + a.Account.Name
	}
	about := broker.AssignmentID(r.URL.Query().Get("assignment"))
	out.About = names[about]
	for _, rule := range why.Rules {
		switch {
		case out.About != "" && !slices.Contains(rule.Grants, about):
		case rule.Matched && len(out.Granted) < maxRules:
			out.Granted = append(out.Granted, newRuleView(rule, names))
		case rule.Matched:
			out.MoreGranted++
		case len(out.Missed) < maxRules:
			out.Missed = append(out.Missed, newRuleView(rule, names))
		default:
			out.MoreMissed++
		}
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}

func newRuleView(rule broker.RuleResult, names map[broker.AssignmentID]string) RuleView {
	v := RuleView{Name: rule.Rule, Reason: rule.Reason, Groups: rule.Groups, Missing: rule.Missing}
	for _, g := range rule.Grants {
		if len(v.Grants) == maxGrants {
			v.More = len(rule.Grants) - maxGrants
			break
		}
		if name, ok := names[g]; ok {
			v.Grants = append(v.Grants, name)
		}
	}
	return v
}
