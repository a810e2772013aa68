package outbound

import (
	"errors"
	"net/netip"
	"testing"
)

// TestAttackInsideAddresses ensures what is reached for a host that a document
// names, and for one that the configuration names.
func TestAttackInsideAddresses(t *testing.T) {
	for _, tt := range []struct {
		what, address       string
		learned, configured bool
	}{
		{"the Internet", "8.8.8.8", true, true},
		{"the Internet by IPv6", "2606:4700::1111", true, true},
		{"the Internet, mapped", "::ffff:8.8.8.8", true, true},
		{"an AWS endpoint", "52.94.5.200", true, true},
		{"AS112, which is on the Internet", "192.31.196.1", true, true},
		{"just outside of a private range", "172.32.0.1", true, true},
		{"loopback", "127.0.0.1", false, true},
		{"the rest of loopback", "127.8.9.10", false, true},
		{"loopback, mapped", "::ffff:127.0.0.1", false, true},
		{"loopback by IPv6", "::1", false, true},
		{"private", "10.1.2.3", false, true},
		{"private by IPv6", "fd12:3456::1", false, true},
		{"site-local", "fec0::1", false, true},
		{"carrier-grade NAT", "100.64.0.1", false, true},
		{"benchmarks", "198.18.0.1", false, true},
		{"documentation", "203.0.113.1", false, true},
		{"documentation by IPv6", "2001:db8::1", false, true},
		{"more documentation by IPv6", "3fff::1", false, true},
		{"protocol assignments", "192.0.0.8", false, true},
		{"reserved", "240.0.0.1", false, true},
		{"not given out", "4000::1", false, true},
		{"segment routing", "5f00::1", false, true},
		{"discard only", "100::1", false, true},
		{"this network", "0.0.0.1", false, false},
		{"unspecified", "0.0.0.0", false, false},
		{"unspecified by IPv6", "::", false, false},
		{"broadcast", "255.255.255.255", false, false},
		{"multicast", "239.1.2.3", false, false},
		{"multicast by IPv6", "ff0e::1", false, false},
		{"link-local", "169.254.1.1", false, false},
		{"link-local with a zone", "fe80::1%eth0", false, false},
		{"metadata of AWS", "169.254.169.254", false, false},
		{"credentials of ECS", "169.254.170.2", false, false},
		{"metadata of AWS by IPv6", "fd00:ec2::254", false, false},
		{"pod identity by IPv6", "fd00:ec2::23", false, false},
		{"metadata of Alibaba", "100.100.100.200", false, false},
		{"metadata of Azure", "168.63.129.16", false, false},
		{"metadata of Oracle", "192.0.0.192", false, false},
		{"metadata of Oracle by IPv6", "fd00:c1::a9fe:a9fe", false, false},
		{"metadata of Google by IPv6", "fd20:ce::254", false, false},
		{"metadata of Scaleway by IPv6", "fd00:42::42", false, false},
		{"metadata, mapped", "::ffff:169.254.169.254", false, false},
		{"metadata by NAT64", "64:ff9b::a9fe:a9fe", false, false},
		{"Azure by NAT64", "64:ff9b::168.63.129.16", false, false},
		{"private by NAT64", "64:ff9b::10.0.0.1", false, true},
		{"metadata by local NAT64", "64:ff9b:1::a9fe:a9fe", false, false},
		{"metadata by local NAT64, /48", "64:ff9b:1:a9fe:a9:fe00::", false, false},
		{"metadata by local NAT64, /64", "64:ff9b:1:ab:a9:fea9:fe00:1", false, false},
		{"loopback by 6to4", "2002:7f00:1::1", false, true},
		{"metadata by 6to4", "2002:a9fe:a9fe::1", false, false},
		{"metadata, compatible", "::169.254.169.254", false, false},
		{"loopback, compatible", "::127.0.0.1", false, true},
		{"metadata, translated", "::ffff:0:169.254.169.254", false, false},
		{"metadata by Teredo", "2001:0:4136:e378:8000:63bf:5601:5601", false, false},
		{"private by Teredo", "2001:0:4136:e378:8000:63bf:f5ff:fffe", false, true},
	} {
		a := netip.MustParseAddr(tt.address)
		for mayBePrivate, want := range map[bool]bool{false: tt.learned, true: tt.configured} {
			if err := check(a, mayBePrivate); (err == nil) != want || err != nil && !errors.Is(err, ErrAddress) {
				t.Errorf("%s, %s, configured %t: %v", tt.what, tt.address, mayBePrivate, err)
			}
		}
	}
}
