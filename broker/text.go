package broker

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// roleName is IAM's characters for a role, of which the first is no sign. Such a
// name is one word to every shell and to every client's configuration, and no
// flag.
var roleName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_+=,.@-]{0,63}$`)

// ValidRoleName is CodeInvalid unless name can be the name of a role. People and
// AWS clients hand such names to shells, so they are safe there by what they are
// and not by being quoted.
func ValidRoleName(name string) error {
	if !roleName.MatchString(name) {
		return Errorf(CodeInvalid, "%q cannot be the name of a role.", name).
			Fix("Use up to 64 letters, digits or _+=,.@- and begin with a letter, a digit or _.")
	}
	return nil
}

// Breaks reports whether r ends a line, steers a terminal, or turns the
// direction of what is written after it.
func Breaks(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// Visible returns s with each character that [Breaks], and each byte that is no
// character, written as an escape, so that it is one line that says what it
// holds.
func Visible(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, Breaks) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case Breaks(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// CleanLabel makes foreign text fit for a page and an event: printable, one
// line, bounded.
func CleanLabel(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	if r := []rune(strings.TrimSpace(s)); len(r) > limit {
		return strings.TrimSpace(string(r[:limit]))
	}
	return strings.TrimSpace(s)
}

// ShortText bounds what a caller wrote and an event keeps: 200 bytes.
func ShortText(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "")
	}
	return s
}
