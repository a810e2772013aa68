package broker

import (
	"fmt"
	"slices"
	"strings"
)

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
