package web

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// remote is the client's address: the last hop that a trusted proxy tells of and
// that is not one itself, if the peer is a trusted proxy, else the peer's. Where
// a proxy says something that is no address, the last one that is known counts,
// and the log says so once.
func (s *Server) remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if !s.trusted(host) {
		return host
	}
	name, hops := forwarded(r.Header)
	for _, hop := range slices.Backward(hops) {
		addr, ok := hopAddress(hop)
		if !ok {
			s.notUnderstood.Do(func() {
				s.c.Logger.LogAttrs(r.Context(), slog.LevelWarn, "a trusted proxy sends a client address that is not understood; its clients count as one",
					slog.String("proxy", host), slog.String("header", name), slog.String("value", clip(hop, 100)))
			})
			return host
		}
		host = addr.String()
		if !s.trusted(host) {
			return host
		}
	}
	return host
}

func (s *Server) trusted(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.c.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// forwarded returns the hops that the headers tell of, the nearest last, and
// which header. X-Forwarded-For is what most proxies write; where it is there,
// Forwarded (RFC 7239) is as the client sent it, and not looked at.
func forwarded(h http.Header) (name string, hops []string) {
	name = "X-Forwarded-For"
	for hop := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if hop = strings.TrimSpace(hop); hop != "" {
			hops = append(hops, hop)
		}
	}
	if len(hops) > 0 {
		return name, hops
	}
	name = "Forwarded"
	for _, element := range splitQuoted(strings.Join(h.Values(name), ","), ',') {
		if strings.TrimSpace(element) == "" {
			continue
		}
		hop := "unknown" // an element without for= hides its client
		for _, pair := range splitQuoted(element, ';') {
			key, value, ok := strings.Cut(pair, "=")
			if ok && strings.EqualFold(strings.TrimSpace(key), "for") {
				hop = unquoted(strings.TrimSpace(value))
			}
		}
		hops = append(hops, hop)
	}
	return name, hops
}

// splitQuoted splits at sep outside of quoted strings.
func splitQuoted(s string, sep byte) []string {
	var out []string
	begin, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out = append(out, s[begin:i])
			begin = i + 1
		}
	}
	return append(out, s[begin:])
}

func unquoted(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hopAddress reads a hop as proxies write it: an address, in brackets or not,
// with a port or without.
func hopAddress(hop string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(hop); err == nil { // 192.0.2.1:80, [2001:db8::1]:80
		return at.Addr().Unmap().WithZone(""), true
	}
	if inner, ok := strings.CutPrefix(hop, "["); ok {
		if hop, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(hop)
	return addr.Unmap().WithZone(""), err == nil
}
