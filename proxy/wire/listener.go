// Package wire is the broker's side of a connection before net/http has seen it. It does two things that net/http's
// server does not.
//
// It is strict about where a request ends. net/http forgives much that RFC 9112 lets a server forgive (sections 2.2, 5, 6
// and 7): a Content-Length beside Transfer-Encoding, line ends without a CR, folded lines. Each of them is a way to have
// two servers in a row see two different requests, which is request smuggling (section 11.2). Here each is a RequestError.
//
// And it has an upper bound for open connections that slow clients cannot use up: when there are too many, the one that
// has kept the broker waiting longest makes room.
package wire

import (
	"net"
	"sync"
	"time"
)

// Listener is a net.Listener for an http.Server that speaks HTTP/1.x alone and has ConnState as its hook. Its connections
// may be of any kind, TLS and Unix sockets included. Create it with NewListener. All methods may be called from any
// goroutine.
//
// On its connections, a request that is not well formed arrives as one that has a RequestError, and is the last. After a CONNECT
// nothing more is read but by Tunnel. Where a body in chunks is broken, reading it fails, and nothing more is read either.
type Listener struct {
	inner   net.Listener
	max     int
	evicted func()
	epoch   time.Time

	besieged time.Time // when patience was last at an end; Accept's alone

	closed chan struct{}
	once   sync.Once
	freed  chan struct{} // tells Accept that a connection has gone; one value is enough

	mu   sync.Mutex // never held while something blocks
	open map[*conn]struct{}
}

// NewListener returns a Listener for the connections of inner, of which at most limit are open at a time; there is no limit if
// it is not positive. evicted is called for each connection that is closed to make room, on the goroutine of Accept; it may
// be nil.
func NewListener(inner net.Listener, limit int, evicted func()) *Listener {
	if evicted == nil {
		evicted = func() {}
	}
	return &Listener{
		inner: inner, max: limit, evicted: evicted, epoch: time.Now(),
		closed: make(chan struct{}), freed: make(chan struct{}, 1),
		open: make(map[*conn]struct{}),
	}
}

// Accept waits for the next connection, and then until there is room for it. After Close its error is net.ErrClosed in a
// net.OpError.
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.inner.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, listener: l, turn: turn{epoch: l.epoch}}
	for came := time.Now(); !l.admit(c); {
		if !l.wait(l.makeRoom(l.patience(came))) {
			_ = inner.Close() // it was never served
			return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
		}
	}
	return c, nil
}

// Close ends Accept. Open connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.inner.Close()
}

// Addr returns the inner listener's address.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// admit takes a connection in, if there is room.
func (l *Listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.max > 0 && len(l.open) >= l.max {
		return false
	}
	l.open[c] = struct{}{}
	return true
}

// remove takes a connection out. It may be out already.
func (l *Listener) remove(c *conn) {
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// wait waits until a connection has gone, or some time has passed. It reports false if the Listener was closed.
func (l *Listener) wait(atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-l.closed:
		return false
	case <-l.freed:
		return true
	case <-timer.C:
		return true
	}
}
