package wire

import (
	"sync/atomic"
	"time"
)

// patience is how long a client may keep the broker waiting before its connection can be asked to make room. Were there
// none, an app that opens more connections at once than there may be would lose some on which its requests are just
// arriving, and of many busy transfers one would be cut for a pause of microseconds.
const patience = 250 * time.Millisecond

// Clients that keep just ahead of that, each with a transfer that never ends, could have all connections for as long as they
// please. So once a new connection has waited for the time of a hardship, clients are given a hasty while alone: enough for
// one that takes and gives what is ready, and too short for one that does so in small doses. It stays so for the time of a
// siege, since those who are put out come back.
const (
	hardship = time.Second
	hasty    = 20 * time.Millisecond
	siege    = 10 * time.Second
)

// patience is how much there is for a connection that has come at a time.
func (l *Listener) patience(came time.Time) time.Duration {
	if time.Since(came) >= hardship {
		l.besieged = time.Now()
	}
	if !l.besieged.IsZero() && time.Since(l.besieged) < siege {
		return hasty
	}
	return patience
}

// makeRoom closes the connection on which the broker has waited longest for its client, and at least for as long as there
// is patience. It returns after how long it is worth looking again.
func (l *Listener) makeRoom(patience time.Duration) time.Duration {
	now := int64(time.Since(l.epoch)) + 1
	for {
		worst := l.worst()
		if worst.conn == nil {
			return patience // nobody is waited for at present
		}
		if waited := time.Duration(now - worst.since); waited < patience && worst.rank != leaving {
			return patience - waited
		}
		if worst.take() {
			worst.conn.evict()
			l.evicted()
			return 0
		}
	}
}

// worst returns the candidate that is to go first. Its conn is nil if there is none.
func (l *Listener) worst() (worst candidate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if candidate, ok := c.candidate(); ok && (worst.conn == nil || candidate.before(worst)) {
			worst = candidate
		}
	}
	return worst
}

// candidate is a connection on which it is the client's turn.
type candidate struct {
	conn  *conn
	rank  rank
	clock *atomic.Int64
	since int64
}

// rank is in which order clients have to go.
type rank uint8

const (
	leaving rank = iota // it was answered, and the connection is being closed
	unknown             // it never sent a whole header
	known
)

func (c *conn) candidate() (candidate, bool) {
	t := &c.turn
	if t.leaving.Load() {
		return candidate{conn: c, rank: leaving}, true
	}
	rank := unknown
	if t.known.Load() {
		rank = known
	}
	reading, writing := t.reading.Load(), t.writing.Load()
	if writing > 0 && (reading <= 0 || writing < reading) {
		return candidate{conn: c, rank: rank, clock: &t.writing, since: writing}, true
	}
	return candidate{conn: c, rank: rank, clock: &t.reading, since: reading}, reading > 0
}

func (a candidate) before(b candidate) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	return a.since < b.since
}

// take takes the connection from its client, unless that one was quicker.
func (a candidate) take() bool {
	return a.clock == nil || a.clock.CompareAndSwap(a.since, taken)
}
