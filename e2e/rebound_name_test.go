package e2e

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// reboundName stands for a host name whose DNS record changes: it leads first to one server, then to another on the same
// port. It is a TCP forwarder, because two servers cannot listen on one port.
type reboundName struct {
	addr   string
	target atomic.Pointer[string]
}

func startReboundName(t *testing.T) *reboundName {
	t.Helper()
	return startReboundNameAt(t, "127.0.0.1:0")
}

func startReboundNameAt(t *testing.T, address string) *reboundName {
	t.Helper()
	listener := brokertest.Listen(t, "tcp", address)
	r := &reboundName{addr: listener.Addr().String()}
	brokertest.ServeRawOn(t, listener, r.forward)
	return r
}

// visit opens a page under this name. By the time of its attacks the name leads to the server.
func (r *reboundName) visit(t *testing.T, server string, attacks []pageAttack, check func([]stepResult)) {
	t.Helper()
	a := startAttackPage(t, attacks, func() { r.setTarget(strings.TrimPrefix(server, "http://")) })
	r.setTarget(a.addr)
	a.visit(t, urlAt("rebind.test", r.addr), check)
}

// setTarget directs new connections to another address.
func (r *reboundName) setTarget(address string) { r.target.Store(&address) }

func (r *reboundName) forward(client net.Conn) {
	// Browsers open connections before they need them. So the target is chosen when the first byte arrives.
	first := make([]byte, 1)
	if _, err := io.ReadFull(client, first); err != nil {
		return
	}
	server, err := net.Dial("tcp", *r.target.Load())
	if err != nil {
		return
	}
	_, _ = server.Write(first)
	brokertest.Tunnel(client, server)
}
