package client

import (
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
)

// Match returns the one assignment that a person means by words like "prod
// admin" or "prd adm". CodeNotFound when nothing matches; CodeConflict, naming
// them, when several match equally well.
func Match(all []api.Assignment, words string) (api.Assignment, error) {
	best, found := 0, []api.Assignment(nil)
	for _, a := range all {
		switch n := score(a, words); {
		case n == 0 || n < best:
		case n > best:
			best, found = n, []api.Assignment{a}
		default:
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return api.Assignment{}, broker.Errorf(broker.CodeNotFound, "No role of yours is like %q.", words).
			Fix("rolegate roles lists those that you have.")
	case 1:
		return found[0], nil
	}
	var names []string
	for _, a := range found[:min(len(found), 8)] {
		names = append(names, a.Account.Name+"/"+a.Role)
	}
	return api.Assignment{}, broker.Errorf(broker.CodeConflict, "%q may mean %s.", words, strings.Join(names, ", ")).
		Fix("Say it more exactly, as ACCOUNT/ROLE.")
}

// score is how well the words fit, 0 for not at all.
func score(a api.Assignment, words string) int {
	fold := strings.ToLower
	words = fold(strings.TrimSpace(words))
	name := fold(a.Account.Name + "/" + a.Role)
	if words == "" {
		return 0
	}
	if words == name || words == fold(string(a.Account.ID)+"/"+a.Role) {
		return 1000
	}
	total := 0
	for _, w := range strings.FieldsFunc(words, func(r rune) bool { return r == '/' || r == ' ' }) {
		n := 0
		for _, part := range []string{fold(a.Account.Name), fold(a.Role), string(a.Account.ID)} {
			n = max(n, scoreWord(part, w))
		}
		if n == 0 {
			return 0
		}
		total += n
	}
	return total
}

func scoreWord(part, w string) int {
	switch {
	case part == w:
		return 100
	case strings.HasPrefix(part, w):
		return 50
	case strings.Contains(part, w):
		return 20
	case subsequence(part, w):
		return 5
	}
	return 0
}

func subsequence(s, w string) bool {
	for _, r := range w {
		i := strings.IndexRune(s, r)
		if i < 0 {
			return false
		}
		s = s[i+len(string(r)):]
	}
	return true
}
