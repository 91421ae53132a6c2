package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/localca"
	"etrusted-broker/proxy/wire"
)

// tunnels serves what apps send through the tunnels that CONNECT opens: each ends here, in TLS with a certificate of the
// broker's own authority, and its requests go the way of all others.
type tunnels struct {
	authority *localca.CA
	server    *http.Server
	listener  *handover
	room      int           // how many are served at a time
	slots     chan struct{} // one value for each that is served, or waits to be
}

// newTunnels returns nil if there is no authority. app is how many connections apps may have.
func newTunnels(authority *localca.CA, handler http.Handler, app int, log *zap.Logger) *tunnels {
	if authority == nil {
		return nil
	}
	// Each tunnel is one of the app's connections too. Half of those may be, and a few more wait until one that stalls has
	// made room: the rest is for apps that need no tunnel.
	room := max(1, app/2)
	t := &tunnels{authority, newServer(handler, log), newHandover(), room, make(chan struct{}, room+app/8)}
	t.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return withClientCertificate(proxy.ContextWithTunnel(ctx, tunnelOf(c).opened), c)
	}
	return t
}

// Reserve implements proxy.Tunnels.
func (t *tunnels) Reserve() bool {
	select {
	case t.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release implements proxy.Tunnels.
func (t *tunnels) Release() { <-t.slots }

// Serve implements proxy.Tunnels.
func (t *tunnels) Serve(conn net.Conn, opened access.Tunnel) {
	go t.listener.give(tls.Server(&tunnel{conn, opened, sync.OnceFunc(t.Release)}, t.authority.TLSConfig(opened.Target)))
}

// tunnel is a connection that was opened by CONNECT.
type tunnel struct {
	net.Conn
	opened  access.Tunnel
	release func()
}

// Close closes the tunnel, and releases its slot.
func (t *tunnel) Close() error {
	t.release()
	return t.Conn.Close()
}

// NetConn returns the connection that carries the tunnel.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

// tunnelOf finds the tunnel below what it was wrapped in since: TLS, and what reads HTTP strictly.
func tunnelOf(c net.Conn) *tunnel {
	for {
		if found, ok := c.(*tunnel); ok {
			return found
		}
		c = c.(interface{ NetConn() net.Conn }).NetConn()
	}
}

// serve serves until the server is shut down. closed is told of each that had to make room.
func (t *tunnels) serve(closed func(), failed chan<- error) {
	serveOn(t.server, wire.NewListener(t.listener, t.room, closed), "tunnel", failed)
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
