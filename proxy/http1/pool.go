package http1

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	defaultMaxIdle = 256

	// idleTimeout is shorter than that of most load balancers (60 s). If the other side closes a connection while a POST is
	// being written, it looks like one that broke after the POST was processed.
	idleTimeout = 45 * time.Second

	// maxAge lets a connection under steady traffic follow a change in the DNS. ageJitter spreads the new connections.
	maxAge    = 5 * time.Minute
	ageJitter = maxAge / 10
)

func randomAge() time.Duration { return maxAge - rand.N(ageJitter) } //nolint:gosec // spreads load, and keeps no secret

// pool keeps idle connections. The zero value is empty.
type pool struct {
	mu      sync.Mutex
	idle    []*exchange // the one that has been idle longest first
	janitor *time.Timer // not nil while something is idle
}

// get removes the connection that was used last, so that those that are not needed become old. It returns nil if there is
// none on which a request may be sent.
func (p *pool) get() *exchange {
	for {
		e := p.pop()
		if e == nil || e.revive() {
			return e
		}
		_ = e.conn.Close()
	}
}

func (p *pool) pop() *exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	e := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return e
}

// put adds a connection. It reports false if there are enough.
func (p *pool) put(e *exchange) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit := e.client.MaxIdle; len(p.idle) >= limit && (limit > 0 || len(p.idle) >= defaultMaxIdle) {
		return false
	}
	p.idle = append(p.idle, e)
	if p.janitor == nil {
		p.janitor = time.AfterFunc(idleTimeout, p.closeExpired)
	}
	return true
}

// closeExpired closes the connections that were idle for too long, and those that are too old.
func (p *pool) closeExpired() {
	p.mu.Lock()
	now := time.Now()
	var expired []*exchange
	p.idle = slices.DeleteFunc(p.idle, func(e *exchange) bool {
		if !e.expired(now) {
			return false
		}
		expired = append(expired, e)
		return true
	})
	if p.janitor = nil; len(p.idle) > 0 {
		p.janitor = time.AfterFunc(p.idle[0].idleSince.Add(idleTimeout).Sub(now), p.closeExpired)
	}
	p.mu.Unlock()
	closeConns(expired)
}

func (p *pool) closeAll() {
	p.mu.Lock()
	all := p.idle
	p.idle = nil
	if p.janitor != nil {
		p.janitor.Stop()
		p.janitor = nil
	}
	p.mu.Unlock()
	closeConns(all)
}

// closeConns is not for use under the mutex: with TLS, closing writes.
func closeConns(exchanges []*exchange) {
	for _, e := range exchanges {
		_ = e.conn.Close()
	}
}
