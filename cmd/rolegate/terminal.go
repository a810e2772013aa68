package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/rolegate/rolegate/broker"
)

// terminal is where every command prints. What others may have written into
// names, groups and answers cannot steer the terminal or turn the text on it:
// but for ends of lines and tabs it is written as an escape, the same as in
// JSON. A field that must not end a line goes through [broker.Visible] besides.
type terminal struct {
	w io.Writer

	mu   sync.Mutex
	rest []byte // of a character whose end is to come
}

// Write writes all of b, or holds back the beginning of its last character.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := append(t.rest, b...)
	t.rest = nil
	if i := lastRune(text); i < len(text) && !utf8.FullRune(text[i:]) {
		t.rest = append(t.rest, text[i:]...)
		text = text[:i]
	}
	out := text
	if !utf8.Valid(text) || strings.ContainsFunc(string(text), steers) {
		out = escaped(text)
	}
	if _, err := t.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// lastRune is where the last character begins.
func lastRune(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return len(b)
}

func steers(r rune) bool { return broker.Breaks(r) && r != '\n' && r != '\t' }

func escaped(b []byte) []byte {
	var out []byte
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, b[0])
		case steers(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}
