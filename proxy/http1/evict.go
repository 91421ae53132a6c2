package http1

import (
	"sync/atomic"
	"time"
)

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

// evictSlowest closes the connection on which the server has waited longest for its client, unless the client is within its timeout,
// in favour of a connection that came at a time. It returns when it is worth looking again.
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
	clock *atomic.Int64 // one of its clientWait
	since int64
}

// slowest returns the longest wait, preferably for a client that never sent a complete header. Its conn is nil if there is none.
func (s *Server) slowest() (worst stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		for _, clock := range [...]*atomic.Int64{&c.wait.reading, &c.wait.writing} {
			if next := (stall{c, clock, clock.Load()}); next.since > 0 && (worst.conn == nil || next.before(worst)) {
				worst = next
			}
		}
	}
	return worst
}

func (a stall) before(b stall) bool {
	if sent := a.conn.hasSentHeader(); sent != b.conn.hasSentHeader() {
		return !sent
	}
	return a.since < b.since
}
