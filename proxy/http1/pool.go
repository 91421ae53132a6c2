package http1

import (
	"cmp"
	"sync"
	"time"
)

const (
	// idleUpstreamTimeout is shorter than that of most load balancers (60 s). If the other side closes a connection while a POST is
	// being written, it looks like one that broke after the POST was processed.
	idleUpstreamTimeout = 45 * time.Second

	// maxUpstreamAge lets a connection under steady traffic follow a change in the DNS.
	maxUpstreamAge = 5 * time.Minute
)

// pool keeps idle connections. The zero value is empty.
type pool struct {
	mu      sync.Mutex
	idle    []*upstreamConn // the one that has been idle longest first
	janitor *time.Timer     // not nil while something is idle
}

// get removes the connection that was used last, so that the others expire. It returns nil if there is none.
func (p *pool) get() *upstreamConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	u := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return u
}

// put adds a connection. It reports false if there are enough.
func (p *pool) put(u *upstreamConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) >= cmp.Or(u.client.MaxIdle, 256) {
		return false
	}
	p.idle = append(p.idle, u)
	if p.janitor == nil {
		p.janitor = time.AfterFunc(idleUpstreamTimeout, p.closeExpired)
	}
	return true
}

// closeExpired closes the connections that were idle for too long, and those that are too old.
func (p *pool) closeExpired() { p.closeExpiredAt(time.Now()) }

// closeExpiredAt closes the connections that expire until a time, and sets the janitor for the others.
func (p *pool) closeExpiredAt(at time.Time) {
	p.mu.Lock()
	var expired, kept []*upstreamConn
	for _, u := range p.idle {
		if u.expired(at) {
			expired = append(expired, u)
		} else {
			kept = append(kept, u)
		}
	}
	p.idle = kept
	if p.janitor != nil {
		p.janitor.Stop()
		p.janitor = nil
	}
	if len(kept) > 0 {
		p.janitor = time.AfterFunc(time.Until(kept[0].idleSince.Add(idleUpstreamTimeout)), p.closeExpired)
	}
	p.mu.Unlock()
	for _, u := range expired {
		_ = u.conn.Close() // not under the mutex: with TLS it writes
	}
}
