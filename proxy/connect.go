package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/wire"
)

// Tunnels serves the tunnels that CONNECT opens (RFC 9110 section 9.3.6). Its methods are safe for concurrent use, and do
// not block.
type Tunnels interface {
	// Reserve claims a slot for a tunnel. It returns false if no slot is free. After true, either Serve or Release must
	// be called, once.
	Reserve() bool
	// Release frees a slot whose tunnel was not opened.
	Release()
	// Serve serves the requests that come through a tunnel, closes conn after the last, and frees the slot. The contexts
	// of the requests must come from ContextWithTunnel.
	Serve(conn net.Conn, tunnel access.Tunnel)
}

type tunnelKey struct{}

// ContextWithTunnel returns the context for requests that come through a tunnel.
func ContextWithTunnel(ctx context.Context, tunnel access.Tunnel) context.Context {
	return context.WithValue(ctx, tunnelKey{}, &tunnel)
}

// tunnelOf returns the tunnel that a request came through, or nil.
func tunnelOf(r *http.Request) *access.Tunnel {
	tunnel, _ := r.Context().Value(tunnelKey{}).(*access.Tunnel)
	return tunnel
}

// connect opens a tunnel that the policy allows.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request, record *RequestRecord) {
	if !p.config.Tunnels.Reserve() {
		respond(w, errTooManyTunnels, record)
		return
	}
	conn, err := hijack(w)
	if err != nil {
		p.config.Tunnels.Release()
		record.Status = StatusClientClosedRequest
		return
	}
	record.Status = http.StatusOK
	p.config.Tunnels.Serve(conn, access.Tunnel{Target: r.RequestURI, ProxyAuthorization: r.Header["Proxy-Authorization"]})
}

// hijack takes the connection over, and sends the response that opens the tunnel. It fails if the client has gone.
func hijack(w http.ResponseWriter) (net.Conn, error) {
	w.Header().Set("Connection", "close") // the server must not use the connection again if it cannot be taken over
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{}) // the deadline was for the header
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return wire.UnwrapHijacked(conn), nil
}
