// Package ssrf has the addresses to which a proxy must not connect for its clients (server-side request forgery). They lead to the
// proxy's own machine, to its neighbors on the link, or to a cloud's metadata service, which hands out credentials.
//
// Addresses of private networks are not among them: the client of a sidecar can reach these without it.
package ssrf

import (
	"net/netip"
	"slices"
)

// loopbackLinkLocalAndMetadata are the addresses that are refused, with the multicast, broadcast and unspecified ones.
var loopbackLinkLocalAndMetadata = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), // Linux takes 0.0.0.0 for the machine itself
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"), // link-local, and the metadata of most clouds
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("100.100.100.200/32"), // metadata of Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // of Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // of Oracle Cloud

	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"),          // AWS: metadata at ::254, credentials of pods at ::23
	netip.MustParsePrefix("fd20:ce::254/128"),       // metadata of Google Cloud
	netip.MustParsePrefix("fd00:42::42/128"),        // of Scaleway
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // of Oracle Cloud
}

// ipv4InIPv6Prefixes are the prefixes of IPv6 addresses that contain an IPv4 address, and may lead to it.
var ipv4InIPv6Prefixes = []struct {
	prefix netip.Prefix
	offset int // of the IPv4 address, in bytes
}{
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible: RFC 4291 section 2.5.5.1
	{netip.MustParsePrefix("::ffff:0:0/96"), 12},   // IPv4-mapped: section 2.5.5.2
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated: RFC 2765 section 2.1
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64: RFC 6052 section 2.1
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // NAT64 of a single network: RFC 8215
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4: RFC 3056 section 2
}

// IsLoopbackLinkLocalOrMetadata reports whether a proxy must not connect to an address: loopback, unspecified, multicast,
// link-local and cloud metadata addresses, IPv6 addresses that contain one of these, and the invalid address. The zone does not
// matter.
func IsLoopbackLinkLocalOrMetadata(address netip.Addr) bool {
	address = address.WithZone("")
	isRefused := func(prefix netip.Prefix) bool { return prefix.Contains(address) }
	if !address.IsValid() || slices.ContainsFunc(loopbackLinkLocalAndMetadata, isRefused) {
		return true
	}
	bytes := address.As16()
	for _, ipv4 := range ipv4InIPv6Prefixes {
		if ipv4.prefix.Contains(address) && IsLoopbackLinkLocalOrMetadata(netip.AddrFrom4([4]byte(bytes[ipv4.offset:]))) {
			return true
		}
	}
	return false
}
