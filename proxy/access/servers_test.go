package access_test

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"etrusted-broker/proxy/access"
)

func TestCanonicalHost(t *testing.T) {
	for host, want := range map[string]string{
		"api.example": "api.example", "API.example.:443": "api.example", "api.example:80": "api.example", "api.example:8443": "api.example:8443",
		"[::1]": "[::1]", "[0:0::1]:443": "[::1]", "[::1]:8443": "[::1]:8443", "127.0.0.1:1": "127.0.0.1:1", "": "", "a/b": "", "::1": "", "a:b": "",
	} {
		if got := access.CanonicalHost(host); got != want {
			t.Errorf("CanonicalHost(%q): got %q, want %q", host, got, want)
		}
	}
}

// A request for an API's host says so, however it is made. One for the broker does not.
func TestDecisionNamesAddressedAPI(t *testing.T) {
	policy := &access.Policy{
		BrokerHosts: access.NewBrokerHosts("allowed.example", "qa.example"),
		APIAndLoginHosts: access.NewAPIAndLoginHosts(
			[]string{"api.example", "QA.example", "127.0.0.1:9000", "gateway.example:8001", "gateway.example:8002", "[2001:db8::1]:8443", "other.example:8443"},
			[]string{"login.example"},
		),
	}
	socket := &net.UnixAddr{Name: "/run/x", Net: "unix"}
	const none = ""
	for _, test := range []struct {
		raw    string
		tunnel *access.Tunnel
		local  net.Addr
		want   string
	}{
		{"GET /x HTTP/1.1\r\nHost: localhost:8080", nil, nil, none},
		{"GET /x HTTP/1.1\r\nHost: allowed.example", nil, nil, none},
		{"GET /x HTTP/1.1\r\nHost: 127.0.0.1:9000", nil, nil, none}, // a loopback name is the broker's
		{"GET /x HTTP/1.1\r\nHost: qa.example", nil, nil, "qa.example"},
		{"GET /x HTTP/1.1\r\nHost: QA.example.:443", nil, nil, "qa.example"},
		{"GET /x HTTP/1.1\r\nHost: qa.example:8443", nil, nil, none},
		{"GET /x HTTP/1.1\r\nHost: api.example", nil, socket, "api.example"},
		{"GET /x HTTP/1.1\r\nHost: [2001:db8::1]:8443", nil, socket, "[2001:db8::1]:8443"},
		{"GET /x HTTP/1.1\r\nHost: elsewhere.example", nil, socket, none},
		{"GET /x HTTP/1.1\r\nHost: [2001:db8::2]", nil, socket, none},
		{"GET http://api.example:80/x HTTP/1.1\r\nHost: a", nil, nil, "api.example"},
		{"GET http://127.0.0.1:9000/x HTTP/1.1\r\nHost: a", nil, nil, "127.0.0.1:9000"},
		{"GET http://127.0.0.1:9001/x HTTP/1.1\r\nHost: a", nil, nil, none},
		{"GET http://gateway.example:8002/x HTTP/1.1\r\nHost: a", nil, nil, "gateway.example:8002"},
		{"GET /x HTTP/1.1\r\nHost: qa.example", &access.Tunnel{Target: "qa.example:443"}, nil, "qa.example"},
		{"GET /x HTTP/1.1\r\nHost: removed.example", &access.Tunnel{Target: "removed.example:443"}, nil, "removed.example"},
		{"GET /x HTTP/1.1\r\nHost: qa.example", &access.Tunnel{Target: "qa.example", AnyPort: true}, nil, "qa.example"},
		{"GET /x HTTP/1.1\r\nHost: other.example", &access.Tunnel{Target: "other.example:8443", AnyPort: true}, nil, "other.example:8443"},
		{"GET /x HTTP/1.1\r\nHost: gateway.example:8002", &access.Tunnel{Target: "gateway.example:8001", AnyPort: true}, nil, "gateway.example:8002"},
		{"GET /x HTTP/1.1\r\nHost: gateway.example", &access.Tunnel{Target: "gateway.example:8001", AnyPort: true}, nil, "gateway.example"}, // that of no API
		{"GET /x HTTP/1.1\r\nHost: removed.example", &access.Tunnel{Target: "removed.example", AnyPort: true}, nil, "removed.example"},
	} {
		r := parse(t, test.raw)
		if r.Tunnel = test.tunnel; test.local != nil {
			r.LocalAddr = test.local
		}
		if got := policy.Check(r); got.Denied != nil || got.API != test.want {
			t.Errorf("%q in %+v: got %q, denied: %+v, want %q", test.raw, test.tunnel, got.API, got.Denied, test.want)
		}
	}
}

func TestFindByName(t *testing.T) {
	servers := access.NewAPIAndLoginHosts([]string{"api.example:8443", "both.example"}, []string{"login.example:9443", "both.example:1"})
	for host, want := range map[string]string{"API.example.": "api.example:8443", "login.example": "login.example:9443", "both.example": "both.example", "a.example": "", "": ""} {
		if got, ok := servers.FindByName(host); got != want || ok != (want != "") {
			t.Errorf("FindByName(%q): got %q, %t, want %q", host, got, ok, want)
		}
	}
}

// APIAndLoginHosts may be replaced while requests are checked. An invalid host is never one of them.
func TestReplacesAPIAndLoginHosts(t *testing.T) {
	servers := access.NewAPIAndLoginHosts([]string{"a.example"}, nil)
	policy := &access.Policy{APIAndLoginHosts: servers, PassHosts: passHosts(t, "*")}
	passes := func(host string) bool {
		return policy.Check(parse(t, fmt.Sprintf("GET http://%s:80/ HTTP/1.1\r\nHost: a", host))).Pass
	}
	if passes("a.example") || !passes("b.example") {
		t.Error("before: want only b.example to pass through")
	}
	var checks sync.WaitGroup
	checks.Go(func() {
		for range 100 {
			passes("a.example")
		}
	})
	servers.Replace([]string{"c.example", "no:host"}, []string{"b.example"})
	checks.Wait()
	if !passes("a.example") || passes("b.example") || passes("c.example") {
		t.Error("after: want only a.example to pass through")
	}
	if got := policy.Check(parse(t, "GET http://a:b/ HTTP/1.1\r\nHost: a")); got.Denied == nil || got.API != "" {
		t.Errorf("an invalid host: got %+v, want a denial", got)
	}
}

func TestAddressedAPIDoesNotAllocate(t *testing.T) {
	policy := &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example", "qa.example:8443"}, nil)}
	r := parse(t, "GET /x HTTP/1.1\r\nHost: localhost:8080")
	r.LocalAddr = &net.UnixAddr{Name: "/run/x", Net: "unix"}
	for _, host := range []string{"localhost:8080", "broker.example:8080"} {
		r.Host = host
		if n := testing.AllocsPerRun(100, func() { policy.Check(r) }); n != 0 {
			t.Errorf("%s: got %v allocations, want none", host, n)
		}
	}
}
