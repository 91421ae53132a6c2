package http1

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Handler serves requests.
type Handler interface {
	// ServeHTTP1 serves a request, and returns once the response is complete. Neither r nor w may be used after that.
	ServeHTTP1(w *ResponseWriter, r *Request)
}

// Server accepts connections and serves the requests on them, one at a time for each connection. The fields must not be changed
// after the first call of Serve.
type Server struct {
	Handler Handler
	// MaxConns is the maximum number of open connections. Beyond it, the connection on which the server has waited longest
	// for its client is closed to make room. 0 means no limit.
	MaxConns int
	// HeaderTimeout is how long a TLS handshake, and then a request's header may take from its first byte; a new connection
	// must begin a request within that time. IdleTimeout is how long a connection may be idle between requests. Both must be
	// positive.
	HeaderTimeout, IdleTimeout time.Duration
	// TunnelOf, if not nil, returns the field Tunnel of the requests on a connection, once its TLS handshake is done.
	TunnelOf func(net.Conn) any
	// OnEvict, if not nil, is called after a connection was closed to make room.
	OnEvict func()
	// OnHandshakeError, if not nil, is called for each failed TLS handshake, with the error of crypto/tls; not if the client
	// only connects and closes, as health checks do, or sends plain HTTP, which is a malformed request.
	OnHandshakeError func(error)
	// OnPanic, if not nil, is called on the goroutine of a handler that panicked. Its connection is closed.
	OnPanic func(reason any)

	mu          sync.Mutex                 // never held while something blocks
	listeners   map[*net.Listener]struct{} // of calls of Serve that have not returned; a listener need not be comparable
	conns       map[*conn]struct{}
	removed     chan struct{} // a connection was removed, or Serve has returned; one value is enough
	closed      chan struct{} // closed by Shutdown and Close
	zero        time.Time     // an hour before the first call of Serve
	draining    atomic.Bool   // Shutdown or Close was called
	forceClosed bool          // Close was called

	lastOverload atomic.Int64 // when a connection last waited long to be admitted: see evictSlowest
}

// ErrServerClosed is returned by Serve after Shutdown or Close. It wraps net.ErrClosed.
var ErrServerClosed = fmt.Errorf("http1: the server is closed: %w", net.ErrClosed)

// Serve accepts connections on l, until l fails, or Shutdown or Close is called; its error is then ErrServerClosed. Connections
// of l may be of any kind, such as *tls.Conn. Several calls may run at the same time.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.init()
	s.listeners[&l] = struct{}{}
	s.mu.Unlock()
	defer remove(s, s.listeners, &l)
	if s.draining.Load() {
		_ = l.Close()
		return ErrServerClosed
	}
	for {
		accepted, err := s.accept(l)
		if err != nil {
			return err
		}
		c := newConn(s, accepted)
		for came := s.now(); !s.admit(c); {
			select {
			case <-s.closed:
				_ = accepted.Close() // it was never served
				return ErrServerClosed
			case <-s.removed:
			case <-time.After(s.evictSlowest(came)):
			}
		}
		go c.serve()
	}
}

func (s *Server) accept(l net.Listener) (net.Conn, error) {
	for {
		accepted, err := l.Accept()
		if err == nil {
			return accepted, nil
		}
		var temporary interface{ Temporary() bool }
		if !s.draining.Load() && (!errors.As(err, &temporary) || !temporary.Temporary()) {
			return nil, err
		}
		select {
		case <-s.closed:
			return nil, ErrServerClosed
		case <-time.After(100 * time.Millisecond): // the error goes away: there are too many open files
		}
	}
}

// init makes the zero value usable. mu is held.
func (s *Server) init() {
	if s.conns == nil {
		s.listeners, s.conns = map[*net.Listener]struct{}{}, map[*conn]struct{}{}
		s.removed, s.closed = make(chan struct{}, 1), make(chan struct{})
		s.zero = time.Now().Add(-time.Hour)
	}
}

// now returns the time since s.zero: it fits an atomic integer.
func (s *Server) now() time.Duration { return time.Since(s.zero) }

// admit adds a connection if there is room.
func (s *Server) admit(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forceClosed || s.MaxConns > 0 && len(s.conns) >= s.MaxConns {
		return false // Serve notices that the server was closed when it waits for room
	}
	s.conns[c] = struct{}{}
	return true
}

// remove removes a listener or a connection. It may have been removed already.
func remove[K comparable](s *Server, from map[K]struct{}, member K) {
	s.mu.Lock()
	delete(from, member)
	s.mu.Unlock()
	s.signalRemoval()
}

func (s *Server) signalRemoval() {
	select {
	case s.removed <- struct{}{}:
	default:
	}
}

// Shutdown closes the listeners and the idle connections, lets requests in flight finish, and returns when no connection is
// left. A new connection gets a second to begin a request, and a tunnel that passes through may be idle for 5 s. If ctx is done
// before, Shutdown returns its error, and connections stay open.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	began := s.now()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for s.closeConns(func(c *conn) { c.closeIdle(began) }) {
		select {
		case <-s.removed:
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.signalRemoval() // another call may be waiting
	return nil
}

// Close closes the listeners and all connections.
func (s *Server) Close() {
	s.stopAccepting()
	s.mu.Lock()
	s.forceClosed = true
	s.mu.Unlock()
	s.closeConns((*conn).evict)
}

func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.init(); !s.draining.Swap(true) {
		close(s.closed)
	}
	for l := range s.listeners {
		_ = (*l).Close() // if it has failed before, it accepts nothing either
	}
}

// closeConns calls a function for each connection, and reports whether there is one, or one may still be accepted.
func (s *Server) closeConns(closeConn func(*conn)) (remaining bool) {
	s.mu.Lock()
	open, accepting := slices.Collect(maps.Keys(s.conns)), len(s.listeners) > 0
	s.mu.Unlock()
	for _, c := range open {
		closeConn(c)
	}
	return accepting || len(open) > 0
}
