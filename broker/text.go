package broker

import (
	"strings"
	"unicode"
)

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
