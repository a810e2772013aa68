package broker

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

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
