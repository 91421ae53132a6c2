package proxy_test

import (
	"crypto/tls"
	"testing"

	"etrusted-broker/proxy/access"
)

// Nothing is parsed after a CONNECT, so each denial closes the connection: a client that is asked for the key must not send
// it there.
func TestDeniedTunnelClosesConnection(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, func(s *setup) {
		s.TunnelTLS = func(string) *tls.Config { return nil }
		s.Policy = access.New(access.Config{Keys: access.NewKeys("key"), TunnelAllowed: func(target string) bool { return target == "api.example:443" }})
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
