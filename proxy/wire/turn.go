package wire

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// turn knows whether it is the client's turn on a connection, and for how long it has been. It is, while a read waits for
// a header or for the rest of a body, or a write for the client to read. It is not, while a request that is complete is
// being worked on.
//
// Its methods are for the connection's own goroutines: read, restart and requested for the one that reads. The atomics are
// for the Listener too.
type turn struct {
	epoch time.Time // of the moments below, which are nanoseconds after it, and never 0

	// reading and writing are since when the client has been waited for; 0 if he is not, and taken if the Listener has
	// taken the connection from him. Whoever changes one does it by compare-and-swap, so that a client whose bytes have
	// come and a Listener that wants to close can never both have their way.
	reading, writing atomic.Int64

	work    atomic.Bool // a request's header is complete, and its response is not
	known   atomic.Bool // there was a complete header on the connection
	ended   atomic.Bool // nothing more will be read
	leaving atomic.Bool // it is being closed

	// waited is how long the client was waited for with less than progress to show for it, which is got bytes. Only time
	// in which a read was blocked counts: that the upstream is slow to take a body is not the client's fault.
	waited int64
	got    int
}

const taken = -1

// progress is how much of a body has to come for the client's time to begin anew. Were one byte enough, one byte every
// now and then would keep a connection for good.
const progress = 4 << 10

func (t *turn) now() int64 { return int64(time.Since(t.epoch)) + 1 }

// working reports whether a request is being worked on.
func (t *turn) working() bool { return t.work.Load() }

// requested tells that a header is complete.
func (t *turn) requested() {
	t.work.Store(true)
	t.known.Store(true)
	t.restart()
}

// restart begins the client's time anew.
func (t *turn) restart() { t.waited, t.got = 0, 0 }

// stopped tells that nothing more will be read.
func (t *turn) stopped() { t.ended.Store(true) }

// read reads in the client's time. For a header that is all the time since its first byte, or since the request before
// it: it has to come as a whole.
func (t *turn) read(from net.Conn, p []byte) (int, error) {
	began := t.now()
	since := began - t.waited
	if !t.reading.CompareAndSwap(0, since) {
		return 0, errTaken
	}
	n, err := from.Read(p)
	if !t.reading.CompareAndSwap(since, 0) {
		return 0, errTaken
	}
	t.waited += t.now() - began
	if t.got += n; t.work.Load() && t.got >= progress {
		t.restart()
	}
	return n, err
}

// errTaken is an error of a connection that was closed, to net/http too.
var errTaken = &net.OpError{Op: "read", Err: net.ErrClosed}

// write writes in the client's time.
func (t *turn) write(to net.Conn, p []byte) (int, error) {
	since := t.now()
	timed := t.writing.CompareAndSwap(0, since) // if not, another write is, and this one waits for the same client
	n, err := to.Write(p)
	if timed {
		t.writing.CompareAndSwap(since, 0)
	}
	return n, err
}

// ConnState is for http.Server.ConnState, directly or from a hook that does more. Without it, connections are thought to
// be at work on their first request until they end. Connections that are not the Listener's are ignored.
func ConnState(connection net.Conn, state http.ConnState) {
	if c, ours := connection.(*conn); ours && state == http.StateIdle {
		c.turn.work.Store(false)
	}
}
