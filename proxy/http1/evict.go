package http1

import (
	"sync/atomic"
	"time"
)

// evictionTimeout is how long a client may block the server before its connection can be closed to make room. Without it, an
// app that opens more connections at once than there may be would lose some on which its requests are just arriving, and of
// many busy transfers one would be cut for a pause of microseconds.
const evictionTimeout = 250 * time.Millisecond

// Clients that are just faster than that, each with an endless transfer, could hold all connections for as long as they like.
// So once a new connection has waited for longWait, clients have only shortTimeout: enough for one that takes and sends what is
// ready, and too short for one that does so in small portions. This lasts for siegeTime, since evicted clients come back.
const (
	longWait     = time.Second
	shortTimeout = 20 * time.Millisecond
	siegeTime    = 10 * time.Second
)

// patience returns the eviction timeout in favour of a connection that was accepted at a time.
func (s *Server) patience(accepted time.Time) time.Duration {
	now := s.clock.now()
	if time.Since(accepted) >= longWait {
		s.besieged.Store(now)
	}
	if last := s.besieged.Load(); last > 0 && now-last < int64(siegeTime) {
		return shortTimeout
	}
	return evictionTimeout
}

// makeRoom closes the connection on which the server has waited longest for its client, and at least for the timeout. It
// returns when it is worth looking again.
func (s *Server) makeRoom(timeout time.Duration) time.Duration {
	now := s.clock.now()
	for {
		worst := s.worst()
		if worst.conn == nil {
			return timeout // the server waits for no client
		}
		if waited := time.Duration(now - worst.since); waited < timeout && worst.rank != closing {
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

// worst returns the candidate that is to be closed first. Its conn is nil if there is no candidate.
func (s *Server) worst() (worst candidate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if next, ok := c.candidate(); ok && (worst.conn == nil || next.before(worst)) {
			worst = next
		}
	}
	return worst
}

// candidate is a connection on which the server waits for the client.
type candidate struct {
	conn  *conn
	rank  rank
	clock *atomic.Int64
	since int64
}

// rank is the order in which connections are closed.
type rank int32

const (
	closing rank = iota - 1 // the last response was sent
	unknown                 // it never sent a complete header
	known
)

func (c *conn) candidate() (candidate, bool) {
	w := &c.wait
	order, reading, writing := rank(w.rank.Load()), w.reading.Load(), w.writing.Load()
	switch {
	case order == closing:
		return candidate{conn: c, rank: order}, true
	case writing > 0 && (reading <= 0 || writing < reading):
		return candidate{conn: c, rank: order, clock: &w.writing, since: writing}, true
	default:
		return candidate{conn: c, rank: order, clock: &w.reading, since: reading}, reading > 0
	}
}

func (a candidate) before(b candidate) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.since < b.since
}

// claim reserves the connection for eviction, unless its client was faster.
func (a candidate) claim() bool {
	return a.clock == nil || a.clock.CompareAndSwap(a.since, evicted)
}
