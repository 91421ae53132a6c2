package proxy_test

import (
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/access"
)

// Nothing is parsed after a CONNECT, so each denial closes the connection: a client that is asked for the key must not send
// it there.
func TestDeniedTunnelClosesConnection(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, func(s *setup) {
		s.TunnelTLS = func(string) *tls.Config { return nil }
		s.Policy = &access.Policy{Callers: access.NewCallers(&access.Caller{Keys: access.NewKeys("key")}), TunnelAllowed: func(target string) bool { return target == "api.example:443" }}
	})
	for _, test := range []struct {
		target, header string
		status         int
		error          string
	}{
		{"elsewhere.example:443", "", 403, "http_request_denied"},
		{"api.example:443", "", 407, "http_request_denied"},
		{"api.example:443", "Proxy-Authorization: Basic eDp5\r\n", 407, "http_request_denied"},
	} {
		c := b.dial(t)
		c.send("CONNECT ", test.target, " HTTP/1.1\r\nHost: ", test.target, "\r\n", test.header, "\r\n")
		got := c.result("CONNECT")
		wantProblem(t, got, test.status, test.error)
		if !got.closes {
			t.Errorf("%s %q: got an open connection, want it closed", test.target, test.header)
		}
	}
}

// The requests that come through a tunnel are served like all others. They need no key of their own, and are for its target.
func TestServesRequestsThroughTunnel(t *testing.T) {
	up := startRecorder(t, h1, nil)
	certificate := httptest.NewTLSServer(nil)
	certificate.Close()
	b := start(t, up.url, withLinkRewriting, func(s *setup) {
		s.TunnelTLS = func(target string) *tls.Config {
			if target != "api.example:443" {
				t.Errorf("got target %s, want api.example:443", target)
			}
			return &tls.Config{Certificates: certificate.TLS.Certificates}
		}
		s.Policy = &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{"api.example"}, nil), Callers: access.NewCallers(&access.Caller{Keys: access.NewKeys("key")}), TunnelAllowed: func(string) bool { return true }}
	})
	c := b.dial(t)
	c.send("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\nProxy-Authorization: Basic eDprZXk=\r\n\r\n")
	if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		t.Fatalf("got %q, want 200", head)
	}
	if got := b.record(t); got.Status != 200 || got.Method != "CONNECT" || got.Path != "" || got.Account != "" {
		t.Errorf("got %+v, want CONNECT with 200, without path and account", got)
	}
	secure := tls.Client(c.Conn, &tls.Config{RootCAs: testRoots(), ServerName: "example.com"})
	inner := &rawConn{brokertest.NewRawConn(secure), t}
	for host, status := range map[string]int{"api.example": 200, "elsewhere.example": 421} {
		inner.send("GET /x HTTP/1.1\r\nHost: ", host, "\r\n\r\n")
		if got := inner.result("GET"); got.status != status {
			t.Errorf("%s: got %d %s, want %d", host, got.status, got.body, status)
		}
		if got := b.record(t); got.Path != "/x" || got.Status != status {
			t.Errorf("got %+v, want path /x and status %d", got, status)
		}
	}
	if got := up.request(t); got.header.Get("Authorization") != authorization || got.header["Proxy-Authorization"] != nil {
		t.Errorf("got %v upstream, want only the broker's credentials", got.header)
	}
}
