package proxy_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"testing"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// revokingDialer removes all callers while it dials.
type revokingDialer struct {
	callers *access.Callers
	target  net.Conn // the other end of what Dial returns
}

func (d *revokingDialer) Dial(context.Context, string) (net.Conn, error) {
	d.callers.Replace()
	near, far := net.Pipe()
	d.target = far
	return near, nil
}

func (d *revokingDialer) RoundTrip(*url.URL, *http1.ClientRequest) (*http1.ClientResponse, error) {
	return nil, errors.New("not for requests")
}

func TestOpensNoTunnelForCallerThatWasRemovedMeanwhile(t *testing.T) {
	pass, err := access.ParsePassHosts([]string{"other.example"})
	if err != nil {
		t.Fatal(err)
	}
	dialer := &revokingDialer{callers: access.NewCallers(&access.Caller{Name: "shop", Keys: access.NewKeys("key")})}
	b := start(t, "http://api.example", func(s *setup) {
		s.PassThrough = dialer
		s.Policy = &access.Policy{Callers: dialer.callers, PassHosts: pass}
	})
	c := b.dial(t)
	c.send("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\nProxy-Authorization: Bearer key\r\n\r\n")
	got := c.result("CONNECT")
	wantProblem(t, got, 407, "http_request_denied")
	if !got.closes {
		t.Error("got an open connection, want it closed")
	}
	if _, err := dialer.target.Read(make([]byte, 1)); err == nil {
		t.Error("got an open connection to the target, want it closed")
	}
}
