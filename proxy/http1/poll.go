package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// poller waits until something arrives at a socket, without memory to read it into, and without a read that finds nothing.
type poller struct {
	raw  syscall.RawConn
	step func(io.Reader) error
	try  func(fd uintptr) bool // calls step; made once, because that allocates
	fd   uintptr               // valid during step
	err  error                 // of step
}

// newPoller returns the poller of a connection, or nil if it cannot have one. step is for await.
func newPoller(conn net.Conn, step func(io.Reader) error) *poller {
	socket, ok := conn.(syscall.Conn)
	if !ok || readNowOrNil == nil {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	p := &poller{raw: raw, step: step}
	p.try = func(fd uintptr) bool {
		p.fd = fd
		p.err = p.step(p)
		return !errors.Is(p.err, os.ErrDeadlineExceeded)
	}
	return p
}

// await calls step with p until it returns something else than os.ErrDeadlineExceeded, and before each further call waits until
// something arrives. All of that is one call of RawConn.Read. From its beginning, Go remembers what arrives: so step may first do
// something else, such as sending a request. Once it has read something, its os.ErrDeadlineExceeded has to come from Read,
// because an arrival is reported only once. It must not close the connection, because that waits for RawConn.Read. Only the waits
// obey the read deadline. Nothing else may read meanwhile.
func (p *poller) await() error {
	if err := p.raw.Read(p.try); err != nil {
		return err
	}
	return p.err
}

// Read does not wait: it returns os.ErrDeadlineExceeded if nothing has arrived. Only step may call it.
func (p *poller) Read(b []byte) (int, error) { return readNowOrNil(p.fd, b) }

// pollableConn is a connection that reads from its poller while that calls its step. TLS over it continues after
// os.ErrDeadlineExceeded.
type pollableConn struct {
	net.Conn
	poller  *poller // nil if it cannot have one
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
			c := &pollableConn{Conn: conn}
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
