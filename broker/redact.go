package broker

import (
	"errors"
	"net/url"
	"strings"
)

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
