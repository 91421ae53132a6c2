package http1

import (
	"net"
	"sync/atomic"
	"time"
)

// clientWait measures how long the server has been blocked on the client of a connection: while a read waits for a header or
// for the rest of a body, or a write for the client to read. It does not count while a request is being served.
//
// Only the goroutines of the connection change it, but for waitEvicted.
type clientWait struct {
	// reading and writing are when the current wait began, by Server.now; 0 without one, and waitEvicted once the server has
	// decided to close the connection. They are changed by compare-and-swap, so that a client whose bytes have arrived and a server
	// that wants to close can never both win.
	reading, writing atomic.Int64

	// blockedFor is how long reads have been blocked with less than minBodyProgress to show for it, which is received
	// bytes. That the upstream is slow to take a body does not count.
	blockedFor time.Duration
	received   int
}

// These are values of clientWait.reading.
const (
	waitEvicted   = -1
	waitLingering = 1 // longer than all others, so that a connection whose last response was sent makes room first
)

// minBodyProgress is how many bytes of a body must arrive for blockedFor to begin again. If one byte were enough, one byte now and
// then would keep a connection forever.
const minBodyProgress = 4 << 10

// errEvicted is returned for a connection that was closed to make room.
var errEvicted = &net.OpError{Op: "read", Err: net.ErrClosed}

// restart begins a new wait.
func (w *clientWait) restart() { w.blockedFor, w.received = 0, 0 }

// block runs a function that is blocked on the client until it returns, and adds up the time.
func (c *conn) block(read func() (int, error)) (int, error) {
	w, began := &c.wait, c.server.now()
	since := int64(began - w.blockedFor)
	if !w.reading.CompareAndSwap(0, since) {
		return 0, errEvicted
	}
	n, err := read()
	if !w.reading.CompareAndSwap(since, 0) {
		return 0, errEvicted
	}
	w.blockedFor += c.server.now() - began
	w.received += n
	return n, err
}

// write writes to the client. Its errors mean that the client has gone.
func (c *conn) write(p []byte) (int, error) {
	since := int64(c.server.now())
	timed := c.wait.writing.CompareAndSwap(0, since) // otherwise another write waits for the same client
	n, err := c.stream.Write(p)
	if timed {
		c.wait.writing.CompareAndSwap(since, 0)
	}
	if err != nil {
		c.goneWatch.cancelRequest(err)
	}
	return n, err
}
