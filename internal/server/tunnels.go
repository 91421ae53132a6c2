package server

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

// tunnels serves the tunnels that CONNECT opens. Each ends here, in TLS with a certificate of the broker's CA; its requests
// are handled like all others.
type tunnels struct {
	ca        *localca.CA
	server    *http.Server
	listener  *connListener
	maxActive int           // how many are served at the same time
	slots     chan struct{} // one value for each tunnel that is served or queued
}

// newTunnels returns nil if ca is nil. app is the limit of the app's connections.
func newTunnels(ca *localca.CA, handler http.Handler, app int, log *zap.Logger) *tunnels {
	if ca == nil {
		return nil
	}
	// Each tunnel is also one of the app's connections. At most half of them are tunnels, so that apps without one are
	// served; a few more wait until a stalled tunnel is evicted.
	room := max(1, app/2)
	t := &tunnels{ca, newServer(handler, log), newConnListener(), room, make(chan struct{}, room+app/8)}
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
	go t.listener.deliver(tls.Server(&tunnel{conn, opened, sync.OnceFunc(t.Release)}, t.ca.TLSConfig(opened.Target)))
}

// tunnel is a connection that was opened by CONNECT.
type tunnel struct {
	net.Conn
	opened  access.Tunnel
	release func()
}

// Close closes the tunnel and releases its slot.
func (t *tunnel) Close() error {
	t.release()
	return t.Conn.Close()
}

// NetConn returns the connection that carries the tunnel.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

// tunnelOf unwraps conn until it finds the tunnel: around it are TLS and the strict HTTP reader.
func tunnelOf(c net.Conn) *tunnel {
	for {
		if found, ok := c.(*tunnel); ok {
			return found
		}
		c = c.(interface{ NetConn() net.Conn }).NetConn()
	}
}

// serve serves until the server is shut down. It calls closed for each evicted tunnel.
func (t *tunnels) serve(closed func(), failed chan<- error) {
	serveOn(t.server, wire.NewListener(t.listener, t.maxActive, closed), "tunnel", failed)
}

// connListener is a net.Listener for connections that were accepted elsewhere.
type connListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newConnListener() *connListener {
	return &connListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// deliver passes a connection to Accept. It closes the connection if the listener is closed.
func (h *connListener) deliver(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		_ = conn.Close()
	}
}

// Accept returns the next delivered connection.
func (h *connListener) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, &net.OpError{Op: "accept", Net: h.Addr().Network(), Addr: h.Addr(), Err: net.ErrClosed}
	}
}

// Close ends Accept.
func (h *connListener) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr returns a placeholder: the listener has no address.
func (h *connListener) Addr() net.Addr { return connListenerAddr{} }

type connListenerAddr struct{}

func (connListenerAddr) Network() string { return "tunnel" }
func (connListenerAddr) String() string  { return "tunnel" }
