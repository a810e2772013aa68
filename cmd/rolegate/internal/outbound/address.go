package outbound

import (
	"fmt"
	"net/netip"
	"slices"
)

// prefixes is a list of networks.
type prefixes []netip.Prefix

func networks(list ...string) prefixes {
	out := make(prefixes, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func (ps prefixes) contain(a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// never holds what nobody serves a company's sign-ins at, and what gives
// credentials to who can connect: this network, link-local, multicast,
// broadcast, and the metadata services of clouds outside of link-local.
var never = networks(
	"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10", "ff00::/8",
	"100.100.100.200/32",                       // Alibaba
	"168.63.129.16/32",                         // Azure
	"192.0.0.192/32", "fd00:c1::a9fe:a9fe/128", // Oracle
	"fd00:ec2::/32",    // AWS: metadata, pod identity, name server, time
	"fd20:ce::254/128", // Google
	"fd00:42::42/128",  // Scaleway
)

// global is the IPv6 space that is given out for use on the Internet.
var global = netip.MustParsePrefix("2000::/3")

// special holds what IANA's registries of special-purpose addresses (IPv4, and
// IPv6 within 2000::/3) do not call globally reachable, and translations.
var special = networks(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// check holds an address that a name led to against what may be connected to:
// the Internet for every host; inside, loopback included, only for a host that
// the configuration names; and for nobody what [never] holds, nor what leads
// there by a translation.
func check(a netip.Addr, mayBePrivate bool) error {
	a = a.Unmap().WithZone("")
	if never.contain(a) || slices.ContainsFunc(embedded(a), never.contain) {
		return fmt.Errorf("%w: %s", ErrAddress, a)
	}
	public := !special.contain(a) && (a.Is4() || global.Contains(a))
	if !public && !mayBePrivate {
		return fmt.Errorf("%w: %s is not on the Internet and its host is not in the configuration (outbound.allow)", ErrAddress, a)
	}
	return nil
}

var (
	lastBytes = networks("::/96", "::ffff:0:0:0/96", "64:ff9b::/96") // compatible, translated (RFC 2765), NAT64
	localNAT  = netip.MustParsePrefix("64:ff9b:1::/48")              // RFC 8215
	sixToFour = netip.MustParsePrefix("2002::/16")
	teredo    = netip.MustParsePrefix("2001::/32")
)

// embedded returns the IPv4 addresses that a translator may make of a.
func embedded(a netip.Addr) []netip.Addr {
	if a.Is4() {
		return nil
	}
	b := a.As16()
	at := func(i ...int) netip.Addr { return netip.AddrFrom4([4]byte{b[i[0]], b[i[1]], b[i[2]], b[i[3]]}) }
	switch {
	case a == netip.IPv6Loopback():
		return nil
	case lastBytes.contain(a):
		return []netip.Addr{at(12, 13, 14, 15)}
	case localNAT.Contains(a): // RFC 6052 2.2, each length of prefix
		return []netip.Addr{at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), at(12, 13, 14, 15)}
	case sixToFour.Contains(a):
		return []netip.Addr{at(2, 3, 4, 5)}
	case teredo.Contains(a): // the server, and the client, whose bits are turned
		return []netip.Addr{at(4, 5, 6, 7), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	}
	return nil
}
