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

// matcher finds the roles that hold each term in the account's name, id or one
// of its labels ("env=production"), or in the role's name. It remembers the
// account it saw last: a list is sorted by account.
type matcher struct {
	terms   []string
	account broker.AccountID
	open    []string    // terms that this account does not hold
	labels  [][2]string // of this account
}

func (m *matcher) matches(a *broker.Assignment) bool {
	if len(m.terms) == 0 {
		return true
	}
	if m.account != a.Account.ID {
		m.account, m.open, m.labels = a.Account.ID, m.open[:0], m.labels[:0]
		for k, v := range a.Account.Labels {
			m.labels = append(m.labels, [2]string{k, v})
		}
		for _, t := range m.terms {
			if !containsFold(a.Account.Name, t) && !strings.Contains(string(a.Account.ID), t) && !labelMatches(m.labels, t) {
				m.open = append(m.open, t)
			}
		}
	}
	for _, t := range m.open {
		if !containsFold(a.Role, t) {
			return false
		}
	}
	return true
}

func labelMatches(labels [][2]string, term string) bool {
	key, value, pair := strings.Cut(term, "=")
	for _, l := range labels {
		if pair && strings.EqualFold(l[0], key) && containsFold(l[1], value) || !pair && containsFold(l[1], term) {
			return true
		}
	}
	return false
}

// containsFold reports whether s holds the lower-case term, in any case. It
// does not allocate for an ASCII term: a search looks at thousands of rows.
func containsFold(s, term string) bool {
	if !ascii(term) {
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
