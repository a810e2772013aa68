package cookie

import (
	"net/url"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// EntryPath is the deep link's route; only there does an entry matter.
const EntryPath = "/go"

const (
	entryParam  = "entry"
	entryDirect = "direct"
)

// MarkEntry notes in a return path that the person opened the deep link
// themselves.
func MarkEntry(to string) string {
	to, _ = SplitEntry(to)
	path, fragment, anchored := strings.Cut(to, "#")
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	path += sep + entryParam + "=" + entryDirect
	if anchored {
		path += "#" + fragment
	}
	return path
}

// SplitEntry takes the note off a return path and reports whether it was there.
func SplitEntry(to string) (string, bool) {
	u, err := url.Parse(to)
	if err != nil {
		return "/", false
	}
	q := u.Query()
	if !q.Has(entryParam) {
		return to, false
	}
	entered := u.Path == EntryPath && q.Get(entryParam) == entryDirect
	q.Del(entryParam)
	u.RawQuery = q.Encode()
	// Encoding can make a path too long to be kept: then nothing was entered.
	bare := broker.LocalPath(u.String())
	return bare, entered && bare == u.String()
}
