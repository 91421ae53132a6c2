package wire

import (
	"errors"
	"io"
	"net"
	"time"
)

// halfCloser is a connection that can be closed for writing alone. *net.TCPConn, *net.UnixConn and *tls.Conn are.
type halfCloser interface{ CloseWrite() error }

// CloseWrite ends what is written, if the connection can do that. net/http looks for this method: with it, it can end a
// response to a client that is still sending without a reset, in which the response may be lost.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(halfCloser); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// NetConn returns the connection that the Listener got from the one below it, for what that one alone can tell, such as a
// *tls.Conn its ConnectionState. Nothing must be read from it.
func (c *conn) NetConn() net.Conn { return c.Conn }

// For how long, and for how many bytes, a client may go on sending after the answer to what was at fault.
const (
	lingering = 500 * time.Millisecond // as net/http does elsewhere
	lingered  = 256 << 10
)

// Close closes the connection. If the client may still be sending what nobody will read, that goes on for a little while
// in the background: closing at once resets the connection, and the client may never see the answer that tells it why.
func (c *conn) Close() error {
	first := c.turn.leaving.CompareAndSwap(false, true)
	if half, ok := c.Conn.(halfCloser); ok && first && c.turn.ended.Load() {
		go c.linger(half)
		return nil
	}
	return c.hangUp()
}

// linger lets the client read the answer, and then hangs up. Meanwhile the connection counts as open, and is the first to
// go when room is needed.
func (c *conn) linger(half halfCloser) {
	if half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingering)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingered) // however it ends, it is over
	}
	_ = c.hangUp()
}

func (c *conn) hangUp() error {
	err := c.Conn.Close()
	c.listener.remove(c)
	return err
}

// evict closes the connection without a word. To take leave of a client as TLS has it would mean to wait for the one that
// keeps us waiting.
func (c *conn) evict() {
	raw := c.Conn
	if wrapped, ok := raw.(interface{ NetConn() net.Conn }); ok {
		raw = wrapped.NetConn()
	}
	_ = raw.Close()
	c.listener.remove(c)
}
