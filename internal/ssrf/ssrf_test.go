package ssrf_test

import (
	"net/netip"
	"testing"

	"etrusted-broker/internal/ssrf"
)

// The first and last addresses of each refused IPv4 range, and every IPv6 form of them.
func TestRefusesEveryFormOfIPv4Address(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0", "0.0.0.1", "0.255.255.255",
		"127.0.0.0", "127.0.0.1", "127.1.2.3", "127.255.255.255",
		"169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.255.255",
		"224.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255",
		"100.100.100.200", "168.63.129.16", "192.0.0.192",
	} {
		v4 := netip.MustParseAddr(text)
		expect(t, v4, true)
		for _, form := range forms(v4) {
			expect(t, form, true)
			expect(t, form.WithZone("eth0"), true)
		}
	}
}

// Private networks, and the neighbors of the refused ranges, are allowed in all forms.
func TestAllowsOtherIPv4Addresses(t *testing.T) {
	for _, text := range []string{
		"1.0.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "223.255.255.255", "240.0.0.0", "255.255.255.254",
		"100.100.100.199", "100.100.100.201", "168.63.129.15", "168.63.129.17", "192.0.0.191", "192.0.0.193",
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "203.0.113.7",
	} {
		v4 := netip.MustParseAddr(text)
		expect(t, v4, false)
		for _, form := range forms(v4) {
			expect(t, form, false)
		}
	}
}

func TestRefusesIPv6Addresses(t *testing.T) {
	for text, want := range map[string]bool{
		"::": true, "::1": true, "::2": true,
		"fe80::": true, "fe80::1": true, "fe80::1%eth0": true, "febf:ffff::1": true, "fe7f::1": false, "fec0::1": false,
		"ff00::1": true, "ff02::1": true, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true, "feff::1": false,
		"fd00:ec2::254": true, "fd00:ec2::23": true, "fd00:ec2:ffff::1": true, "fd00:ec1::254": false, "fd00:ec3::254": false,
		"fd20:ce::254": true, "fd20:ce::253": false,
		"fd00:42::42": true, "fd00:42::43": false,
		"fd00:c1::a9fe:a9fe": true, "fd00:c1::a9fe:a9ff": false,
		"fd00::1": false, "fc00::1": false, "2001:db8::1": false, "2606:4700::1111": false,
		"2002:7f00:1:ffff:ffff:ffff:ffff:ffff": true, "2002:a9fe:a9fe::1": true, "2002:a00:1::7f00:1": false,
		"64:ff9b:1:ffff::127.0.0.1": true, "64:ff9b:2::127.0.0.1": false, "64:ff9b:0:0:1::127.0.0.1": false,
	} {
		expect(t, netip.MustParseAddr(text), want)
	}
	expect(t, netip.Addr{}, true)
}

// forms returns the IPv6 addresses that lead to an IPv4 address.
func forms(v4 netip.Addr) []netip.Addr {
	b := v4.As4()
	with := func(prefix string, offset int) netip.Addr {
		bytes := netip.MustParseAddr(prefix).As16()
		copy(bytes[offset:], b[:])
		return netip.AddrFrom16(bytes)
	}
	return []netip.Addr{
		with("::", 12), with("::ffff:0:0", 12), with("::ffff:0:0:0", 12), with("64:ff9b::", 12), with("64:ff9b:1::", 12), with("2002::", 2),
	}
}

func expect(t *testing.T, address netip.Addr, want bool) {
	t.Helper()
	if got := ssrf.IsLoopbackLinkLocalOrMetadata(address); got != want {
		t.Errorf("IsLoopbackLinkLocalOrMetadata(%s): got %t, want %t", address, got, want)
	}
}
