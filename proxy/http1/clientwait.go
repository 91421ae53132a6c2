package http1

import (
	"net"
	"sync/atomic"
	"time"
)

// clock measures time since a server was started, so that a moment fits an atomic integer.
type clock struct{ started time.Time }

// now returns the time in nanoseconds, never 0.
func (c clock) now() int64 { return int64(time.Since(c.started)) + 1 }

// clientWait measures how long the server has been blocked on the client of a connection: while a read waits for a header or
// for the rest of a body, or a write for the client to read. It does not count while a request is being served.
//
// The methods are for the goroutines of the connection; the server reads the atomics to choose whom to evict.
type clientWait struct {
	clock clock

	// reading and writing are when the current wait began, by the clock; 0 without one, and waitEvicted once the
	// server has decided to close the connection. They are changed by compare-and-swap, so that a client whose bytes have
	// arrived and a server that wants to close can never both win.
	reading, writing atomic.Int64

	rank atomic.Int32 // a rank

	// blockedFor is how long, in nanoseconds, reads have been blocked with less than minBodyProgress to show for it, which is received
	// bytes. That the upstream is slow to take a body does not count.
	blockedFor int64
	received   int
}

const waitEvicted = -1

// minBodyProgress is how many bytes of a body must arrive for blockedFor to begin again. If one byte were enough, one byte now and then
// would keep a connection forever.
const minBodyProgress = 4 << 10

// errEvicted is returned for a connection that was closed to make room.
var errEvicted = &net.OpError{Op: "read", Err: net.ErrClosed}

// restart begins a new wait.
func (w *clientWait) restart() { w.blockedFor, w.received = 0, 0 }

// block runs a function that is blocked on the client until it returns, and adds up the time.
func (w *clientWait) block(read func() (int, error)) (int, error) {
	began := w.clock.now()
	since := began - w.blockedFor
	if !w.reading.CompareAndSwap(0, since) {
		return 0, errEvicted
	}
	n, err := read()
	if !w.reading.CompareAndSwap(since, 0) {
		return 0, errEvicted
	}
	w.blockedFor += w.clock.now() - began
	w.received += n
	return n, err
}

// postpone begins a new wait while another is going on. It reports false if the server has decided to close the connection.
func (w *clientWait) postpone() bool {
	for {
		since := w.reading.Load()
		if since == waitEvicted {
			return false
		}
		if w.reading.CompareAndSwap(since, w.clock.now()) {
			return true
		}
	}
}
