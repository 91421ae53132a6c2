package hostport_test

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"etrusted-broker/internal/hostport"
)

func TestSplit(t *testing.T) {
	for text, want := range map[string][2]string{
		"localhost": {"localhost", ""}, "localhost:8080": {"localhost", "8080"}, "LOCALHOST.:1": {"localhost", "1"},
		"127.0.0.1": {"127.0.0.1", ""}, "127.0.0.1:65535": {"127.0.0.1", "65535"}, "a..": {"a.", ""},
		"[::1]": {"::1", ""}, "[::1]:80": {"::1", "80"}, "[2001:DB8::7]:443": {"2001:db8::7", "443"}, "[0:0::1]": {"::1", ""}, "[::ffff:127.0.0.1]": {"::ffff:127.0.0.1", ""},
		"a,b": {"a,b", ""}, "a;b=c": {"a;b=c", ""}, "*": {"*", ""}, "%6c": {"%6c", ""}, "a_b~!$&'()+-": {"a_b~!$&'()+-", ""},
	} {
		name, port, ok := hostport.Split(text)
		if got := [2]string{name, port}; got != want || !ok {
			t.Errorf("%q: got %q %v, want %q", text, got, ok, want)
		}
	}
}

func TestRefusesOddHosts(t *testing.T) {
	for _, text := range []string{
		"", ".", ".:80", ":", ":80", "x:", "x:0", "x:65536", "x:99999", "x:1000000", "x:080", "x:+80", "x:-1", "x:8_0", "x: 80", "x:80 ", "x:*", "x:abc", "x:\xd9\xa4",
		"x:80:80", "x::80", "localhost:80,evil.example", "localhost:80:evil.example", "localhost:80@evil.example",
		"localhost]", "[localhost", "[localhost]", "[::1", "::1]", "::1", "::1:80", "[]", "[]:80", "[::1]]", "[[::1]]", "[::1]x", "[::1]80", "[::1]:", "[::1]:0", "x[::1]",
		"[127.0.0.1]", "[::1%lo]", "[::1%25lo]", "[fe80::1%eth0]:80", "[v1.x]", "[:::1]", "[::g]", "[::1:80",
		"a@b", "a/b", "a?b", "a#b", "a b", " a", "a\t", `a\b`, "http://a", "a\x00", "a\"", "<a>", "lo\xc3\xa4", "\xff", "\u212Aiosk.example", "\u017Fhop.example",
	} {
		if name, port, ok := hostport.Split(text); ok {
			t.Errorf("%q: got %q %q, want it refused", text, name, port)
		}
	}
}

// FuzzSplit compares with net/url, which takes more, and with net: what Split takes, they read in the same way.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"localhost:8080", "[::1]:80", "localhost:80,evil.example", "localhost]", "[::1", "127.0.0.1:*", "x:99999", "x:", "[fe80::1%25lo]", "%6c", "[::ffff:1.2.3.4]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, port, ok := hostport.Split(text)
		u, err := url.Parse("http://" + text + "/x")
		if !ok {
			if addr, err := netip.ParseAddrPort(text); err == nil && addr.Port() > 0 && addr.Addr().Zone() == "" && addr.String() == text {
				t.Fatalf("%q is refused, and is %v", text, addr)
			}
			return
		}
		if strings.Contains(name, "%") { // net/url wants no more of it encoded than must be
			return
		}
		if err != nil || !equal(u.Hostname(), name) || u.Port() != port || u.Host != text || u.User != nil || u.Path != "/x" {
			t.Fatalf("%q: got %q and %q, and net/url %+v %v", text, name, port, u, err)
		}
		if port == "" {
			return
		}
		if host, number, err := net.SplitHostPort(text); err != nil || !equal(host, name) || number != port {
			t.Fatalf("%q: got %q and %q, and net %q, %q, %v", text, name, port, host, number, err)
		}
	})
}

// equal reports whether name is the name of a host as Split returns it.
func equal(host, name string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), name)
}
