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

// Tunnels are where CONNECT leads to (RFC 9110 section 9.3.6).
type Tunnels interface {
	// Reserve makes room for one more tunnel, and reports false if there is none. It must not block. take is then called
	// once: with the connection that leads to the app, the host that the app believes to talk to, and what marks the
	// requests that come through it; or with a nil conn if nothing has come of it. It must not block either.
	Reserve() (take func(conn net.Conn, host string, mark func(context.Context) context.Context), ok bool)
}

var tunnelsFull = &problem{
	status:     http.StatusServiceUnavailable,
	name:       "tunnels",
	title:      "There are too many tunnels",
	errorType:  "connection_limit_reached",
	what:       "there are as many tunnels as there may be",
	advice:     "Try again soon, and have the app keep fewer connections open.",
	retryAfter: time.Second,
}

// connect opens a tunnel, or says why not.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request, report *RequestRecord) {
	w.Header().Set("Connection", "close") // nothing after a CONNECT is read as a request: see package wire
	if refusal := p.config.Policy.CheckConnect(r); refusal != nil {
		refused(refusal).answer(w, report)
		return
	}
	take, ok := p.config.Tunnels.Reserve()
	if !ok {
		tunnelsFull.answer(w, report)
		return
	}
	conn := hijack(w)
	if conn == nil {
		take(nil, "", nil)
		report.Status = StatusClientClosedRequest
		return
	}
	report.Status = http.StatusOK
	take(conn, r.RequestURI, func(ctx context.Context) context.Context { return access.WithTunnel(ctx, r) })
}

// hijack tells the app that its tunnel is open, and returns its connection; nil if the app has gone.
func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil
	}
	_ = conn.SetDeadline(time.Time{}) // the header's was for the header
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return nil
	}
	return wire.Tunnel(conn)
}
