package access_test

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"etrusted-broker/proxy/access"
)

func tcp(addr string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)) }

func TestAllowsOnlyOwnHosts(t *testing.T) {
	hosts := access.NewBrokerHosts("Broker.Internal", "with-port.example:8080", "dotted.example.", "2001:db8::7", "[2001:db8::8]", " spaced.example ", "", ".")
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST": true, "LocalHost:1": true, "localhost.": true, "localhost.:8080": true,
		"127.0.0.1": true, "127.0.0.1:8080": true, "127.1.2.3": true, "127.255.255.255:1": true, "127.0.0.1.": true,
		"[::1]": true, "[::1]:8080": true, "[0:0:0:0:0:0:0:1]": true,
		"broker.internal": true, "BROKER.INTERNAL:9": true, "broker.internal.": true,
		"with-port.example": true, "with-port.example:9999": true, "dotted.example": true, "spaced.example": true,
		"[2001:db8::7]": true, "[2001:db8::7]:8080": true, "[2001:db8::8]:8080": true,

		"": false, ".": false, ":8080": false, " ": false,
		"0.0.0.0": false, "0.0.0.0:8080": false, "[::]": false, "[::]:8080": false, "[::ffff:0.0.0.0]": false, "0": false,
		"attacker.example": false, "attacker.example:8080": false, "localhost.attacker.example": false, "attackerlocalhost": false,
		"127.0.0.1.attacker.example": false, "127.0.0.1.nip.io": false, "localhost,attacker.example": false, "localhost attacker.example": false,
		"sub.broker.internal": false, "internal": false, "broker": false, "localhost..": false, "localhost/": false, "localhost#": false,
		"user@localhost": false, "localhost@attacker.example": false, "localhost:80:80": false, "localhost:80@attacker.example:1": false,
		"127.1": false, "2130706433": false, "0x7f.0.0.1": false, "0177.0.0.1": false, "127.0.0.01": false, "[::127.0.0.1]": false,
		"127.0.0.1:": false, "127.0.0.1:*": false, "localhost:99999": false, "localhost:0": false, "localhost:x": false, "localhost:80,attacker.example": false,
		"localhost]": false, "[localhost": false, "[localhost]": false, "[127.0.0.1]": false, "::1": false, "[::1": false, "::1]": false, "[::1]x": false, "2001:db8::7": false,
		"10.0.0.1": false, "192.168.0.1:8080": false, "169.254.169.254": false, "128.0.0.1": false, "126.255.255.255": false,
		"[::ffff:127.0.0.1]:8080": false, "::ffff:127.0.0.1": false, "[::ffff:7f00:1]": false, // a browser sends no Sec-Fetch-Site there
		"[2001:db8::9]": false, "[fe80::1]": false, "[::2]": false, "lоcalhost": false, // a Cyrillic o
	} {
		if got := hosts.Allowed(host, nil); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}

// The address at which a request arrived is allowed, whether the listener is bound to it or to all addresses.
func TestAllowsOwnAddress(t *testing.T) {
	hosts := access.NewBrokerHosts()
	for _, test := range []struct {
		at   net.Addr
		host string
		want bool
	}{
		{tcp("192.0.2.5:8080"), "192.0.2.5:8080", true},
		{tcp("192.0.2.5:8080"), "192.0.2.5", true},
		{tcp("192.0.2.5:8080"), "[::ffff:192.0.2.5]:8080", false},
		{tcp("[::ffff:192.0.2.5]:8080"), "192.0.2.5", true},
		{tcp("[2001:db8::5]:8080"), "[2001:db8::5]:8080", true},
		{tcp("[2001:db8::5]:8080"), "[2001:0DB8:0::5]", true},
		{tcp("192.0.2.5:8080"), "192.0.2.6", false},
		{tcp("192.0.2.5:8080"), "attacker.example", false},
		{tcp("127.0.0.1:8080"), "0.0.0.0:8080", false},
		{tcp("192.0.2.5:8080"), "0.0.0.0", false},
		{tcp("192.0.2.5:8080"), "", false},
		{&net.UnixAddr{Name: "/run/broker.sock", Net: "unix"}, "192.0.2.5", false},
		{&net.UnixAddr{Name: "/run/broker.sock", Net: "unix"}, "localhost", true},
		{&net.TCPAddr{}, "", false},
	} {
		if got := hosts.Allowed(test.host, test.at); got != test.want {
			t.Errorf("%q at %v: got %v, want %v", test.host, test.at, got, test.want)
		}
	}
}

// No browser can use a Unix socket, so that no page can have caused the request. Fields of a page are still refused.
func TestAllowsAnyHostOnAUnixSocket(t *testing.T) {
	policy := &access.Policy{}
	for _, host := range []string{"", "docker", "foreign.example:1"} {
		r := parse(t, "GET / HTTP/1.1\r\nHost: "+host)
		if denied := check(policy, r); denied == nil || denied.Code != "host-not-allowed" {
			t.Errorf("%q over TCP: got %+v, want host-not-allowed", host, denied)
		}
		if r.LocalAddr = (&net.UnixAddr{}); check(policy, r) != nil {
			t.Errorf("%q over a Unix socket: got %+v, want no denial", host, check(policy, r))
		}
		if r.Fields.Add("Origin", "null"); check(policy, r) == nil {
			t.Errorf("%q from a page: got no denial", host)
		}
	}
}

// FuzzHosts: a foreign Host is never allowed, however it is written. What counts is the name that a client could have
// resolved: the part before the port, without brackets and a final dot.
func FuzzHosts(f *testing.F) {
	for _, seed := range []string{"localhost", "LOCALHOST.:80", "[::1]:8080", "127.0.0.1.", "shop.example:", "[localhost", "shop.example:80:80", "::ffff:127.0.0.1", "[::1%25lo]", "192.0.2.5", "\tlocalhost", "ſhop.example", "0.0.0.0"} {
		f.Add(seed)
	}
	hosts := access.NewBrokerHosts("shop.example")
	at := netip.MustParseAddr("192.0.2.5")
	shape := regexp.MustCompile(`^\s*\[?([^\[\]\s]*?)\.?\]?(:[^:\[\]]*)?\s*$`)
	f.Fuzz(func(t *testing.T, host string) {
		if !hosts.Allowed(host, net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 1))) {
			return
		}
		for _, name := range []string{host, strings.TrimSpace(shape.ReplaceAllString(host, "$1"))} {
			name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[] \t"), "."))
			if name == "localhost" || name == "shop.example" {
				return
			}
			if addr, err := netip.ParseAddr(name); err == nil && (addr.IsLoopback() || addr == at) && !addr.Is4In6() {
				return
			}
		}
		t.Errorf("%q: got it allowed, want a denial", host)
	})
}
