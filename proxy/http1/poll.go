package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
)

// poller reads from a connection without waiting: Read returns os.ErrDeadlineExceeded if nothing has arrived. crypto/tls
// continues after that error.
type poller = io.Reader

// newPoller returns the poller of a connection, or nil if it cannot have one.
func newPoller(conn net.Conn) poller {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return newSocketPoller(conn)
	}
	if below, ok := secure.NetConn().(*switchableConn); ok && below.poller != nil {
		return &tlsPoller{secure, below}
	}
	return nil
}

// quiet reports whether there is nothing to read. Without a poller it is unknown, and true. b is for what is read: memory of the
// function would be allocated.
func quiet(p poller, b []byte) bool {
	if p == nil {
		return true
	}
	_, err := p.Read(b)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// switchableConn is a connection below TLS that can be switched to reading without waiting.
type switchableConn struct {
	net.Conn
	poller  poller
	polling bool
}

// Read implements net.Conn.
func (c *switchableConn) Read(p []byte) (int, error) {
	if c.polling {
		return c.poller.Read(p)
	}
	return c.Conn.Read(p)
}

type tlsPoller struct {
	conn  *tls.Conn
	below *switchableConn
}

// Read implements poller. No other Read may run at the same time.
func (p *tlsPoller) Read(b []byte) (int, error) {
	p.below.polling = true
	defer func() { p.below.polling = false }()
	return p.conn.Read(b)
}
