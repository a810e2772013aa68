package broker_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

func TestValidRoleName(t *testing.T) {
	for name, good := range map[string]bool{
		"Admin": true, "read-only_2": true, "a+b=c,d.e@f-g": true, "0": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "$(id)": false, "`id`": false, "a$HOME": false, "a;b": false, "a|b": false,
		"a&b": false, "a'b": false, `a"b`: false, `a\b`: false, "a\nb": false, "a\n": false, "a/b": false, "a#b": false, "~a": false, "a*": false,
		"--config=x": false, "-c": false, "=ls": false, "@x": false, "%PATH%": false, "Größe": false, "a\u202eb": false, "a\x00": false,
	} {
		if err := broker.ValidRoleName(name); (err == nil) != good || !good && broker.CodeOf(err) != broker.CodeInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"Größe 部門 \u200d👩":              "Größe 部門 \u200d👩",
		"staff\x1b]0;OWNED\a":           `staff\u001b]0;OWNED\u0007`,
		"a\n  => prod\r\tb":             `a\u000a  => prod\u000d\u0009b`,
		"a\u202eb\u2066c\u2028d\u200fe": `a\u202eb\u2066c\u2028d\u200fe`,
		"csi \u009b2J":                  `csi \u009b2J`,
		"\xffraw \x9b2J":                `\xffraw \x9b2J`,
		"\x7f\ufffd":                    `\u007f` + "\ufffd",
	} {
		if got := broker.Visible(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
