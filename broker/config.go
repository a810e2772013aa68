package broker

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What the Config types of all packages share: how they tell what is wrong, and
// the rules that more than one of them has.

// Problem is one mistake in the Config of a package.
type Problem struct {
	Field   string // its path in the Config, e.g. Partitions[aws].STSRegions[0]
	Message string // what is wrong and what to do, to follow the field's name; it holds no secret
}

// Error returns field and message.
func (p Problem) Error() string { return p.Field + ": " + p.Message }

// Problems are all mistakes of a Config.
type Problems []Problem

// Add appends a problem.
func (ps *Problems) Add(field, format string, args ...any) {
	*ps = append(*ps, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// OneOf adds a problem if v is none of what is allowed.
func (ps *Problems) OneOf(field, v string, allowed ...string) {
	if slices.Contains(allowed, v) {
		return
	}
	hint := ""
	if near := Nearest(v, allowed); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	ps.Add(field, "%q is not one of %s%s", v, strings.Join(allowed, ", "), hint)
}

// Err returns ps as an error, nil if there is no problem.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Error returns one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Loopback reports whether a host, as [url.URL.Hostname] gives it, is this
// machine: "localhost" or a loopback address. Names under .localhost are not:
// only browsers are sure to keep them here (RFC 6761 6.3), other programs ask
// the DNS.
func Loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// ParsePublicURL reads the address at which people reach rolegate: https, or
// http on this machine, without a path (one slash at the end is let go).
func ParsePublicURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	switch {
	case s == "":
		return nil, errors.New("it is missing: write the address people use, like https://sso.example.com")
	case err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q is not https://host, without a path", RedactURL(s))
	case u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname())):
		return nil, fmt.Errorf("%q must be https; plain http is for localhost and loopback addresses only", RedactURL(s))
	}
	return u, nil
}

var providerIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Check says what is wrong with an id: it is part of routes.
func (id ProviderID) Check() error {
	if providerIDPattern.MatchString(string(id)) {
		return nil
	}
	return fmt.Errorf("%q: lower-case letters, digits and hyphens are needed, 63 at most", string(id))
}

// Check says what is wrong with a partition: that there is none of this name.
func (p Partition) Check() error {
	if slices.Contains(Partitions(), p) {
		return nil
	}
	return fmt.Errorf("there is no partition %q: %s, %s, %s and %s are known", string(p), PartitionAWS, PartitionGovCloud, PartitionChina, PartitionEUSC)
}

// RedactURL returns what may be shown of an address that somebody configured or
// that a peer sent: user name, password, query and fragment are left out, as
// any of them may be a secret. Of what is no URL but could be meant as one with
// a password, nothing is shown.
func RedactURL(s string) string {
	u, err := url.Parse(s)
	scheme, _, isURL := strings.Cut(s, "://")
	switch {
	case err == nil && u.Opaque == "" && (u.Host != "" || !strings.Contains(s, "@")):
		if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
			return s
		}
		shown := *u
		shown.User, shown.RawQuery, shown.ForceQuery, shown.Fragment, shown.RawFragment = nil, "", false, "", ""
		out := shown.String()
		if u.User != nil {
			out = strings.Replace(out, "://", "://…@", 1)
		}
		if u.RawQuery != "" || u.Fragment != "" {
			out += "?…"
		}
		return out
	case isURL:
		return scheme + "://…"
	case strings.Contains(s, "@"):
		return "…"
	}
	return s
}

// RedactedError returns an error of net/http or net/url with its address
// redacted as by [RedactURL], and any other error as it is.
func RedactedError(err error) error {
	u, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	cause := u.Err
	if u.Op == "parse" { // the cause quotes what was not understood
		cause = errors.New("it is not understood")
	}
	return &url.Error{Op: u.Op, URL: RedactURL(u.URL), Err: cause}
}

const maxNearBy = 64 // bytes of a word that is looked for: a slip is short

// Nearest returns the candidate with the smallest edit distance to a word that
// somebody mistyped, "" if none is near or the word is longer than 64 bytes.
func Nearest(word string, candidates []string) string {
	if len(word) > maxNearBy {
		return ""
	}
	best, distance := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := editDistance(word, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's, over bytes: what we name is ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
