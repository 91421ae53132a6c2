package proxy_test

import (
	"net"
	"testing"

	"etrusted-broker/proxy/access"
)

// fullTunnels have no slot left.
type fullTunnels struct{}

func (fullTunnels) Reserve() bool                 { return false }
func (fullTunnels) Release()                      {}
func (fullTunnels) Serve(net.Conn, access.Tunnel) {}

// Nothing is parsed after a CONNECT, so each denial closes the connection: a client that is asked for the key must not send
// it there.
func TestDeniedTunnelClosesConnection(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, func(s *setup) {
		s.Tunnels = fullTunnels{}
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
		{"api.example:443", "Proxy-Authorization: Bearer key\r\n", 503, "connection_limit_reached"},
		{"api.example:443", "Proxy-Authorization: Basic eDprZXk=\r\n", 503, "connection_limit_reached"},
	} {
		c := b.dial(t)
		c.send("CONNECT ", test.target, " HTTP/1.1\r\nHost: ", test.target, "\r\n", test.header, "\r\n")
		got := c.result("CONNECT")
		wantProblem(t, got, test.status, test.error)
		if !got.closes || (got.header.Get("Retry-After") != "") != (test.status == 503) {
			t.Errorf("%s %q: got closes %v and header %v, want it closed, and Retry-After only with 503", test.target, test.header, got.closes, got.header)
		}
	}
}
