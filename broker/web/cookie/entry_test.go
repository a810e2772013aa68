package cookie_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/cookie"
)

// FuzzSplitEntry ensures that what is left of a return path is a local path
// without an entry, and that only the deep link can hold one.
func FuzzSplitEntry(f *testing.F) {
	for _, s := range []string{"/", "/go?entry=direct", "/go?account=a&entry=direct&role=b", "/x?entry=direct", "/%2fevil?entry=direct", "/go?entry=%zz", "/go?entry=direct&entry=x", "/go?entry=direct#entry=x", "/go#a?b"} {
		f.Add(s)
	}
	f.Add("/go?entry=direct&r" + strings.Repeat("\x88", 1000)) // three times as long when it is encoded
	f.Fuzz(func(t *testing.T, s string) {
		to := broker.LocalPath(s)
		bare, entered := cookie.SplitEntry(to)
		if bare != broker.LocalPath(bare) {
			t.Errorf("%q became %q, which is not local", to, bare)
		}
		if again, still := cookie.SplitEntry(bare); still || again != bare {
			t.Errorf("%q still holds an entry", bare)
		}
		marked, ok := cookie.SplitEntry(cookie.MarkEntry(bare))
		if entered && (!ok || marked != bare) {
			t.Errorf("%q does not survive being marked: %q", bare, marked)
		}
	})
}
