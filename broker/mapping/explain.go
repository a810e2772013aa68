package mapping

import (
	"context"
	"fmt"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// Explain judges every rule and says why it did or did not match. Its
// assignments are those of [Engine.Assignments].
func (e *Engine) Explain(ctx context.Context, id broker.Identity) (broker.Explanation, error) {
	p, err := e.person(&id)
	if err != nil {
		return broker.Explanation{}, err
	}
	return e.explain(ctx, p)
}

func (e *Engine) explain(ctx context.Context, p *person) (broker.Explanation, error) {
	out := broker.Explanation{Rules: make([]broker.RuleResult, len(e.rules))}
	granted := map[grant][]string{}
	for i := range e.rules {
		r, res := &e.rules[i], &out.Rules[i]
		res.Rule = r.Name
		gives, err := e.judge(ctx, r, p, res)
		if err != nil {
			return broker.Explanation{}, err
		}
		for _, g := range gives {
			granted[g] = append(granted[g], r.Name)
			res.Grants = append(res.Grants, e.id(g))
		}
		if len(granted) > maxGrants {
			return broker.Explanation{}, tooManyGrants()
		}
	}
	out.Assignments = e.assignments(p, granted)
	return out, nil
}

func (r *rule) whyYes(groups []string) string {
	switch {
	case len(groups) == 0:
		return "The condition is true."
	case r.when != nil:
		return fmt.Sprintf("The person is in %s and the condition is true.", allOf(groups))
	default:
		return fmt.Sprintf("The person is in %s.", allOf(groups))
	}
}

func (r *rule) whyNot(p *person, err error) string {
	if err != nil {
		return fmt.Sprintf("The condition could not be decided for this person, so it does not hold: %v.", err)
	}
	var lacks []string
	for _, g := range r.when.groups {
		if _, ok := p.groups[g]; !ok {
			lacks = append(lacks, g)
		}
	}
	if len(lacks) > 0 {
		return fmt.Sprintf("The condition is false; it looks for %s, which the person is not in.", anyOf(lacks))
	}
	return "The condition is false."
}

func allOf(groups []string) string { return list(groups, "and") }
func anyOf(groups []string) string { return list(groups, "or") }

func list(groups []string, word string) string {
	const most = 5
	noun := "the group "
	if len(groups) > 1 {
		noun = "the groups "
	}
	quoted := make([]string, 0, most)
	for _, g := range groups[:min(len(groups), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", g))
	}
	if n := len(groups) - most; n > 0 {
		return fmt.Sprintf("%s%s %s %d more", noun, strings.Join(quoted, ", "), word, n)
	}
	if n := len(quoted); n > 1 {
		return noun + strings.Join(quoted[:n-1], ", ") + " " + word + " " + quoted[n-1]
	}
	return noun + quoted[0]
}

// maxNotes bounds the notes of one rule that are written, and so what is
// computed for them.
const maxNotes = 5

// notes are what else there is to say about a rule, the first of them in words.
type notes struct {
	first []string
	more  int
}

func (n *notes) wants() bool { return len(n.first) < maxNotes }

func (n *notes) add(text string) {
	if n.wants() {
		n.first = append(n.first, text)
	} else {
		n.more++
	}
}

// sentence joins the notes into one sentence, or returns otherwise.
func (n *notes) sentence(otherwise string) string {
	if len(n.first) == 0 {
		return otherwise
	}
	s := strings.Join(n.first, "; ")
	if n.more > 0 {
		s += fmt.Sprintf("; and %d more", n.more)
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
