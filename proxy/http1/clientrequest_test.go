package http1_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/proxy/http1"
)

// recordWrites is a connection that counts writes and records what is written.
type recordWrites struct {
	net.Conn
	writes []string
}

func (c *recordWrites) Write(p []byte) (int, error) {
	c.writes = append(c.writes, string(p))
	return c.Conn.Write(p)
}

// A header, and a body that is known, are one write: one segment, one TLS record.
func TestWritesRequest(t *testing.T) {
	fields := func(more ...string) (all http1.Fields) {
		for _, line := range append([]string{"hOST: api.example"}, more...) {
			name, value, _ := strings.Cut(line, ": ")
			all.Add(name, value)
		}
		return all
	}
	for name, test := range map[string]struct {
		request http1.ClientRequest
		want    string
	}{
		"GET":                    {http1.ClientRequest{Method: "GET", Target: "/a//b?%zz", Fields: fields("b: 1", "A: 2", "B: 3")}, "GET /a//b?%zz HTTP/1.1\r\nhOST: api.example\r\nb: 1\r\nA: 2\r\nB: 3\r\n\r\n"},
		"GET with a zero length": {http1.ClientRequest{Method: "GET", Target: "/", Fields: fields("content-length: 00", "A: 1")}, "GET / HTTP/1.1\r\nhOST: api.example\r\nContent-Length: 0\r\nA: 1\r\n\r\n"},
		"POST without a body":    {http1.ClientRequest{Method: "POST", Target: "/", Fields: fields()}, "POST / HTTP/1.1\r\nhOST: api.example\r\nContent-Length: 0\r\n\r\n"},
		"DELETE without a body":  {http1.ClientRequest{Method: "DELETE", Target: "/", Fields: fields()}, "DELETE / HTTP/1.1\r\nhOST: api.example\r\n\r\n"},
		"known body":             {http1.ClientRequest{Method: "POST", Target: "/", Fields: fields("Content-Length: 007", "Content-Length: 7", "Transfer-Encoding: x", "A: 1"), ContentLength: 2, Body: []byte("ok")}, "POST / HTTP/1.1\r\nhOST: api.example\r\nContent-Length: 2\r\nA: 1\r\n\r\nok"},
	} {
		t.Run(name, func(t *testing.T) {
			u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
			record := &recordWrites{}
			u.wrapConns(func(conn net.Conn) net.Conn {
				record.Conn = conn
				return record
			})
			test.request.Caller = newCaller(t)
			u.mustSucceed(t, &test.request)
			if len(record.writes) != 1 || record.writes[0] != test.want {
				t.Errorf("got %q, want one write of %q", record.writes, test.want)
			}
		})
	}
}
