package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

const maxSelector = 1_024 // bytes of one entry of Rule.Accounts

// fold lowers ASCII letters only. Letters that merely look like ASCII ones, or
// fold to them in Unicode (the Kelvin sign), stay different.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// term is one comparison of a label selector. An account without the label
// matches neither form: what is not said is not granted.
type term struct {
	key, value string
	not        bool
}

func (t term) matches(a broker.Account) bool {
	v, ok := a.Labels[t.key]
	return ok && (v == t.value) != t.not
}

// parseSelector reads "key=value", "key!=value" and several of them joined by
// commas.
func parseSelector(s string) ([]term, error) {
	var terms []term
	for part := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not a label selector: key=value or key!=value is needed", strings.TrimSpace(part))
		}
		key, not := strings.CutSuffix(key, "!")
		t := term{key: strings.TrimSpace(key), value: strings.TrimSpace(value), not: not}
		if t.key == "" || t.value == "" || strings.ContainsAny(t.key+t.value, "=!,") {
			return nil, fmt.Errorf("%q is not a label selector: key=value or key!=value is needed", strings.TrimSpace(part))
		}
		terms = append(terms, t)
	}
	return terms, nil
}

// accountIndex finds accounts by what a rule or a group name calls them.
type accountIndex struct {
	all   []account
	by    map[string]int // id, and folded name
	names nameList
}

func (x *accountIndex) find(s string) (int, bool) {
	i, ok := x.by[fold(s)]
	return i, ok
}

// selects returns the accounts of one entry of Rule.Accounts, in configured
// order. A name that does not exist is an error; a selector may select none, as
// accounts come and go.
func (x *accountIndex) selects(entry string, near *speller) ([]int, error) {
	if len(entry) > maxSelector {
		return nil, fmt.Errorf("is longer than %d bytes", maxSelector)
	}
	if i, ok := x.find(entry); ok {
		return []int{i}, nil
	}
	var terms []term
	if entry != "*" {
		if !strings.Contains(entry, "=") {
			return nil, fmt.Errorf("there is no account %q%s", entry, near.nearest(entry, &x.names))
		}
		var err error
		if terms, err = parseSelector(entry); err != nil {
			return nil, err
		}
	}
	var out []int
	for i, a := range x.all {
		if !slices.ContainsFunc(terms, func(t term) bool { return !t.matches(a.Account) }) {
			out = append(out, i)
		}
	}
	return out, nil
}
