package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
)

// poller reads from a socket past package net. It does nothing that allocates.
type poller struct {
	raw     syscall.RawConn
	read    func(fd uintptr) // method values allocate
	tryFill func(fd uintptr) bool
	into    []byte
	buffer  *buffer
	n       int
	err     error
}

// newPoller returns the poller of a connection, or nil if it cannot have one.
func newPoller(conn net.Conn) *poller {
	socket, ok := conn.(syscall.Conn)
	if !ok || readNowOrNil == nil {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	p := &poller{raw: raw}
	p.read = func(fd uintptr) { p.n, p.err = readNowOrNil(fd, p.into) }
	p.tryFill = func(uintptr) bool {
		p.err = p.buffer.fill(p)
		return !errors.Is(p.err, os.ErrDeadlineExceeded)
	}
	return p
}

// Read does not wait: it returns os.ErrDeadlineExceeded if nothing has arrived.
func (p *poller) Read(b []byte) (int, error) {
	p.into = b
	err := p.raw.Control(p.read)
	p.into = nil
	if err != nil {
		return 0, err
	}
	return p.n, p.err
}

// await fills an empty buffer once something has arrived. Until then the buffer has no memory. It obeys the deadline.
func (p *poller) await(b *buffer) error {
	p.buffer = b
	if err := p.raw.Read(p.tryFill); err != nil {
		return err
	}
	return p.err
}

// pollableConn is a connection whose Read returns os.ErrDeadlineExceeded while polling, if nothing has arrived. TLS over it continues
// after that error.
type pollableConn struct {
	net.Conn
	poller  *poller
	polling bool
}

// makePollable returns a connection in place of conn, and the lowest layer of it, which can be polled: through an https proxy, TLS is
// over TLS.
func makePollable(conn net.Conn) (net.Conn, *pollableConn) {
	for layer := conn; ; {
		switch below := layer.(type) {
		case *pollableConn:
			return conn, below
		case *tls.Conn:
			layer = below.NetConn()
		default:
			c := &pollableConn{Conn: conn, poller: newPoller(conn)}
			return c, c
		}
	}
}

// NetConn returns the connection below.
func (c *pollableConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *pollableConn) Read(p []byte) (int, error) {
	switch {
	case !c.polling:
		return c.Conn.Read(p)
	case c.poller == nil:
		return 0, os.ErrDeadlineExceeded // it is unknown
	default:
		return c.poller.Read(p)
	}
}
