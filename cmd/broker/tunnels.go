package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"etrusted-broker/proxy/door"
	"etrusted-broker/proxy/intercept"
	"etrusted-broker/proxy/wire"
)

// tunnels serves what apps send through the tunnels that CONNECT opens: each ends here, in TLS with a certificate of the
// broker's own authority, and its requests go the way of all others.
type tunnels struct {
	authority *intercept.Authority
	server    *http.Server
	listener  *handover
}

// newTunnels returns nil if there is no authority.
func newTunnels(authority *intercept.Authority, handler http.Handler, log *zap.Logger) *tunnels {
	if authority == nil {
		return nil
	}
	t := &tunnels{authority, newServer(handler, log), newHandover()}
	t.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return door.WithTunnel(ctx, tunnelOf(c).target)
	}
	return t
}

// open takes over a tunnel to target. It does not block.
func (t *tunnels) open(conn net.Conn, target string) {
	t.listener.give(tls.Server(&tunnel{conn, target}, t.authority.TLSConfig(target)))
}

// tunnel is a connection that was opened by CONNECT.
type tunnel struct {
	net.Conn
	target string
}

// tunnelOf finds the tunnel below what it was wrapped in since: TLS, and what reads HTTP strictly.
func tunnelOf(c net.Conn) *tunnel {
	for {
		if found, ok := c.(*tunnel); ok {
			return found
		}
		c = c.(interface{ NetConn() net.Conn }).NetConn()
	}
}

// serve serves until stop. room is how many tunnels there may be at a time.
func (t *tunnels) serve(room int, closed func(), failed chan<- error) {
	serveOn(t.server, wire.NewListener(t.listener, room, closed), "tunnel", failed)
}

// handover is a net.Listener for connections that somebody else has accepted.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over, unless the listener is closed.
func (h *handover) give(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		_ = conn.Close() // nobody is there to serve it
	}
}

// Accept returns the next connection that is handed over.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, &net.OpError{Op: "accept", Net: h.Addr().Network(), Addr: h.Addr(), Err: net.ErrClosed}
	}
}

// Close ends Accept.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is no address in particular.
func (h *handover) Addr() net.Addr { return handoverAddr{} }

type handoverAddr struct{}

func (handoverAddr) Network() string { return "tunnel" }
func (handoverAddr) String() string  { return "tunnel" }
