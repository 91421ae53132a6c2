package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
)

// socketPoller reads from a socket past package net.
type socketPoller interface {
	// Read does not wait: it returns os.ErrDeadlineExceeded if nothing has arrived.
	Read(p []byte) (int, error)
	// await fills an empty buffer once something has arrived. Until then the buffer has no memory. It obeys the deadline.
	await(b *buffer) error
}

// poller reads from a connection without waiting: it returns os.ErrDeadlineExceeded if nothing has arrived. crypto/tls
// continues after that error. No other Read may run at the same time.
type poller func(p []byte) (int, error)

// newPoller returns the poller of a connection, or nil if it cannot have one.
func newPoller(conn net.Conn) poller {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		if socket := newSocketPoller(conn); socket != nil {
			return socket.Read
		}
		return nil
	}
	below, ok := secure.NetConn().(*pollableConn)
	if !ok || below.poll == nil {
		return nil
	}
	return func(p []byte) (int, error) {
		below.polling = true
		defer func() { below.polling = false }()
		return secure.Read(p)
	}
}

// nothingToRead reports whether there is nothing to read. Without a poller it is unknown, and true. b is for what is read:
// memory of the function would be allocated.
func (poll poller) nothingToRead(b []byte) bool {
	if poll == nil {
		return true
	}
	_, err := poll(b)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// pollableConn is a connection below TLS that can be switched to reading without waiting.
type pollableConn struct {
	net.Conn
	poll    poller
	polling bool
}

// NetConn returns the connection below.
func (c *pollableConn) NetConn() net.Conn { return c.Conn }

// Read implements net.Conn.
func (c *pollableConn) Read(p []byte) (int, error) {
	if c.polling {
		return c.poll(p)
	}
	return c.Conn.Read(p)
}
