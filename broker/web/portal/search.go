package portal

import (
	"strings"
	"unicode/utf8"

	"github.com/rolegate/rolegate/broker"
)

// maxQuery bounds a search.
const maxQuery = 200

// terms splits a search into its lower-case words; all must be found.
func terms(query string) []string {
	if len(query) > maxQuery {
		query = query[:maxQuery]
	}
	return strings.Fields(strings.ToLower(query))
}

// matches reports whether each term is part of the account's name, id or one of
// its labels ("env=production"), or of the role's name.
func matches(a *broker.Assignment, terms []string) bool {
	for _, t := range terms {
		if !containsFold(a.Role, t) && !containsFold(a.Account.Name, t) &&
			!strings.Contains(string(a.Account.ID), t) && !labelMatches(a.Account.Labels, t) {
			return false
		}
	}
	return true
}

func labelMatches(labels map[string]string, term string) bool {
	key, value, pair := strings.Cut(term, "=")
	for k, v := range labels {
		if pair && strings.EqualFold(k, key) && containsFold(v, value) || !pair && containsFold(v, term) {
			return true
		}
	}
	return false
}

// containsFold reports whether s holds the lower-case term, in any case. It
// does not allocate for ASCII: a search looks at thousands of rows.
func containsFold(s, term string) bool {
	if len(term) == 0 {
		return true
	}
	if c := term[0]; c >= utf8.RuneSelf || !ascii(s) {
		return strings.Contains(strings.ToLower(s), term)
	}
	for i := 0; i+len(term) <= len(s); i++ {
		j := 0
		for j < len(term) && lower(s[i+j]) == term[j] {
			j++
		}
		if j == len(term) {
			return true
		}
	}
	return false
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
