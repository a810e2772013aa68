package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options of a client.
type Options struct {
	Configured []string          // URLs out of the configuration: their hosts may be private
	Allow      []string          // further hosts that may be private
	DialMap    map[string]string // host name to ADDRESS:PORT, for a sandbox; the rest of the name is kept for TLS
	Roots      *x509.CertPool    // nil: the system's
	Timeout    time.Duration     // of a whole exchange; default 20 s
}

// New returns a client. It uses no proxy of the environment, and follows
// redirects only on the same host and never from https to http.
func New(o Options) *http.Client {
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	g := &guard{dialMap: o.DialMap}
	for _, s := range o.Configured {
		if u, err := url.Parse(s); err == nil && u.Hostname() != "" {
			g.private = append(g.private, strings.ToLower(u.Hostname()))
		}
	}
	for _, h := range o.Allow {
		g.private = append(g.private, strings.ToLower(h))
	}
	return &http.Client{
		Timeout: o.Timeout, CheckRedirect: sameHost,
		Transport: &http.Transport{
			DialContext: g.dial, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: o.Timeout, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		},
	}
}

func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) >= 5 || r.URL.Host != first.Host || first.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("outbound: redirect to %s is not followed", r.URL.Host)
	}
	return nil
}

type guard struct {
	private []string
	dialMap map[string]string
}

// ErrAddress means that a name led to an address that may not be used.
var ErrAddress = errors.New("outbound: this address may not be connected to")

func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("outbound: %w", err)
	}
	host = strings.ToLower(host)
	mayBePrivate := slices.Contains(g.private, host)
	if to, ok := g.dialMap[host]; ok {
		address, mayBePrivate = to, true
	}
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, resolved string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAddress, err)
		}
		return check(a.Addr(), mayBePrivate)
	}}
	return d.DialContext(ctx, network, address)
}
