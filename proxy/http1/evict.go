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

// stallTimeoutFor returns the eviction timeout in favour of a connection that was accepted at a time.
func (s *Server) stallTimeoutFor(accepted time.Time) time.Duration {
	now := s.clock.now()
	if time.Since(accepted) >= overloadWait {
		s.lastOverload.Store(now)
	}
	if last := s.lastOverload.Load(); last > 0 && now-last < int64(overloadPeriod) {
		return overloadStallTimeout
	}
	return stallTimeout
}

// evictSlowest closes the connection on which the server has waited longest for its client, and at least for the timeout. It
// returns when it is worth looking again.
func (s *Server) evictSlowest(timeout time.Duration) time.Duration {
	now := s.clock.now()
	for {
		worst := s.slowest()
		if worst.conn == nil {
			return timeout // the server waits for no client
		}
		if waited := time.Duration(now - worst.since); waited < timeout && worst.rank != rankClosing {
			return timeout - waited
		}
		if worst.claim() {
			worst.conn.evict()
			if s.OnEvict != nil {
				s.OnEvict()
			}
			return 0
		}
	}
}

// slowest returns the candidate that is to be closed first. Its conn is nil if there is no candidate.
func (s *Server) slowest() (worst evictableConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if next, ok := c.candidate(); ok && (worst.conn == nil || next.before(worst)) {
			worst = next
		}
	}
	return worst
}

// evictableConn is a connection on which the server waits for the client.
type evictableConn struct {
	conn  *conn
	rank  evictionRank
	clock *atomic.Int64
	since int64
}

// evictionRank is the order in which connections are closed.
type evictionRank int32

const (
	rankClosing   evictionRank = iota - 1 // the last response was sent
	rankNoRequest                         // it never sent a complete header
	rankServed
)

func (c *conn) candidate() (evictableConn, bool) {
	w := &c.wait
	order, reading, writing := evictionRank(w.rank.Load()), w.reading.Load(), w.writing.Load()
	switch {
	case order == rankClosing:
		return evictableConn{conn: c, rank: order}, true
	case writing > 0 && (reading <= 0 || writing < reading):
		return evictableConn{conn: c, rank: order, clock: &w.writing, since: writing}, true
	default:
		return evictableConn{conn: c, rank: order, clock: &w.reading, since: reading}, reading > 0
	}
}

func (a evictableConn) before(b evictableConn) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.since < b.since
}

// claim reserves the connection for eviction, unless its client was faster.
func (a evictableConn) claim() bool {
	return a.clock == nil || a.clock.CompareAndSwap(a.since, waitEvicted)
}
