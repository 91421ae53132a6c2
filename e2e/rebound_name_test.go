package e2e

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
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
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r := &reboundName{addr: listener.Addr().String()}
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

// visit opens a page under this name. By the time of its steps the name leads to the server.
func (r *reboundName) visit(t *testing.T, server string, steps []pageStep, check func([]stepResult)) {
	t.Helper()
	a := startAttackPage(t, steps, func() { r.setTarget(strings.TrimPrefix(server, "http://")) })
	r.setTarget(a.addr)
	a.visit(t, urlAt("rebind.test", r.addr), check)
}

// setTarget directs new connections to another address.
func (r *reboundName) setTarget(address string) { r.target.Store(&address) }

func (r *reboundName) forward(client net.Conn) {
	defer func() { _ = client.Close() }()
	// Browsers open connections before they need them. So the target is chosen when the first byte arrives.
	first := make([]byte, 1)
	if _, err := io.ReadFull(client, first); err != nil {
		return
	}
	server, err := net.Dial("tcp", *r.target.Load())
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
