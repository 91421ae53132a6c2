package e2e

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// rebinding is what a host name with a short-lived DNS record leads to: first one server, then another at the same
// port. It forwards connections, since two servers cannot listen at one port, and one cannot move the broker.
type rebinding struct {
	address string
	leadsTo atomic.Pointer[string]
}

func startRebinding(t *testing.T) *rebinding {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r := &rebinding{address: listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go r.forward(connection)
		}
	}()
	return r
}

// visit has a browser open a page under this name, which by the time of its attempts leads to the server.
func (r *rebinding) visit(t *testing.T, server string, attempts []attempt, check func([]outcome)) {
	t.Helper()
	a := startAttacker(t, attempts, func() { r.lead(strings.TrimPrefix(server, "http://")) })
	r.lead(a.address)
	a.visit(t, urlAt("rebind.test", r.address), check)
}

// lead has new requests go to another address.
func (r *rebinding) lead(address string) { r.leadsTo.Store(&address) }

func (r *rebinding) forward(client net.Conn) {
	defer func() { _ = client.Close() }()
	// Browsers open connections before they have a use for them: where one leads is decided when there is.
	first := make([]byte, 1)
	if _, err := io.ReadFull(client, first); err != nil {
		return
	}
	server, err := net.Dial("tcp", *r.leadsTo.Load())
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if _, err := server.Write(first); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
}
