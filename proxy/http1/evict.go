package http1

import (
	"net"
	"sync/atomic"
	"time"
)

// clientBlockedTimer measures how long the server has been blocked on the client of a connection: while a read waits for a header or a
// body, or a write for the client to read. Only the goroutines of the connection change it, but for waitEvicted.
type clientBlockedTimer struct {
	// reading and writing are when the current wait began, by Server.now; 0 without one, and waitEvicted once the server has
	// decided to close the connection. They are compared and swapped: of a client whose bytes have arrived and a server that wants
	// to close, only one can win.
	reading, writing atomic.Int64

	// blockedFor is how long reads have been blocked with less than minBodyProgress to show for it, which is received
	// bytes. That the upstream is slow to take a body does not count.
	blockedFor time.Duration
	received   int
}

// These are values of clientBlockedTimer.reading, and the first one of writing too.
const (
	waitEvicted   = -1
	waitLingering = 1 // longer than all others, so that a connection whose last response was sent makes room first
)

// minBodyProgress is how many bytes of a body begin a new wait: one byte now and then must not keep a connection forever.
const minBodyProgress = 4 << 10

// errEvicted is returned for a connection that was closed to make room.
var errEvicted = &net.OpError{Op: "read", Err: net.ErrClosed}

// restart begins a new wait.
func (w *clientBlockedTimer) restart() { w.blockedFor, w.received = 0, 0 }

// measureWait runs a function that is blocked on the client until it returns. The wait counts from a time.
func (c *conn) measureWait(clock *atomic.Int64, from time.Duration, wait func() (int, error)) (int, error) {
	if !clock.CompareAndSwap(0, int64(from)) {
		return 0, errEvicted
	}
	n, err := wait()
	if !clock.CompareAndSwap(int64(from), 0) {
		return 0, errEvicted
	}
	return n, err
}

// measureRead runs a function that reads from the client, and adds up the time.
func (c *conn) measureRead(read func() (int, error)) (int, error) {
	began := c.server.now()
	n, err := c.measureWait(&c.wait.reading, began-c.wait.blockedFor, read)
	c.wait.blockedFor += c.server.now() - began
	c.wait.received += n
	return n, err
}

// write writes to the client. Its errors mean that the client has gone.
func (c *conn) write(p []byte) (int, error) {
	n, err := c.measureWait(&c.wait.writing, c.server.now(), func() (int, error) { return c.stream.Write(p) })
	if err != nil {
		c.clientGone(err)
	}
	return n, err
}

// stallTimeout is how long a client may block the server before its connection can be closed to make room. Without it, an
// app that opens more connections at once than there may be would lose some on which its requests are just arriving, and of
// many busy transfers one would be cut for a pause of microseconds.
const stallTimeout = 250 * time.Millisecond

// Clients that are just faster than that, each with an endless transfer, could hold all connections for as long as they like.
// So once a new connection has waited for overloadWait, clients have only overloadStallTimeout: enough for one that takes
// and sends what is ready, and too short for one that does so in small portions. This lasts for overloadPeriod, since evicted
// clients come back.
const (
	overloadWait         = time.Second
	overloadStallTimeout = 20 * time.Millisecond
	overloadPeriod       = 10 * time.Second
)

// evictSlowest closes the connection on which the server has waited longest for its client, if longer than the timeout, to make room
// for one that came at a time. It returns when it is worth looking again.
func (s *Server) evictSlowest(came time.Duration) time.Duration {
	now, timeout := s.now(), stallTimeout
	if now-came >= overloadWait {
		s.lastOverload.Store(int64(now))
	}
	if last := s.lastOverload.Load(); last > 0 && now-time.Duration(last) < overloadPeriod {
		timeout = overloadStallTimeout
	}
	for {
		slowest := s.slowest()
		if slowest.conn == nil {
			return timeout // the server waits for no client
		}
		if waited := now - time.Duration(slowest.since); waited < timeout {
			return timeout - waited
		}
		if slowest.clock.CompareAndSwap(slowest.since, waitEvicted) { // or else its client was faster
			slowest.conn.evict()
			if s.OnEvict != nil {
				s.OnEvict()
			}
			return 0
		}
	}
}

// stall is a wait for a client.
type stall struct {
	conn  *conn
	clock *atomic.Int64 // one of its clientBlockedTimer
	since int64
	order int64 // since, or less
}

// slowest returns the longest wait, preferably for a client that never sent a complete header, or has got its last response. Its
// conn is nil if the server waits for no client.
func (s *Server) slowest() (worst stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		preference := int64(0)
		switch c.phase.Load() {
		case phaseNew, phaseHeader, phaseClosing:
			preference = 1 << 62
		}
		for _, clock := range [...]*atomic.Int64{&c.wait.reading, &c.wait.writing} {
			since := clock.Load()
			if order := since - preference; since > 0 && (worst.conn == nil || order < worst.order) {
				worst = stall{c, clock, since, order}
			}
		}
	}
	return worst
}
