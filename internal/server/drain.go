package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/proxy/wire"
)

const (
	// firstRequestTimeout is how long a new connection may take to send its first request once the shutdown has begun. Local
	// clients need microseconds; a connection that was opened in advance must not delay the shutdown.
	firstRequestTimeout = time.Second
	// drainPollInterval is how often the remaining connections are counted.
	drainPollInterval = 2 * time.Millisecond
)

// drainListener is the app's listener. It closes before the server shuts down, and then waits for the accepted connections,
// because http.Server.Shutdown drops requests that it is still reading: the client would lose a request without an answer.
// With socket activation, where no connection is refused, it would be the only one lost in a restart.
type drainListener struct {
	net.Listener
	close      func() error
	closing    atomic.Bool
	accepted   chan struct{} // closed when Accept has failed after closing: no connection is between Accept and the server
	acceptOnce sync.Once
	open       sync.Map // net.Conn to *atomic.Bool: whether a request has begun on it
}

func newDrainListener(l net.Listener) *drainListener {
	return &drainListener{Listener: l, close: sync.OnceValue(l.Close), accepted: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *drainListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	switch {
	case err == nil:
		l.open.Store(conn, new(atomic.Bool))
	case l.closing.Load():
		l.acceptOnce.Do(func() { close(l.accepted) })
	}
	return conn, err
}

// Close implements net.Listener. http.Server closes it a second time, which is no error.
func (l *drainListener) Close() error { return l.close() }

// connState must be the server's ConnState.
func (l *drainListener) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		if begun, ok := l.open.Load(conn); ok {
			begun.(*atomic.Bool).Store(true)
		}
	case http.StateClosed, http.StateHijacked:
		l.open.Delete(conn)
	}
	wire.ConnState(conn, state)
}

// drainConns closes the listener and returns when all accepted connections are served and closed, or when ctx is done. The
// server must not keep connections alive any more.
func (l *drainListener) drainConns(ctx context.Context) {
	l.closing.Store(true)
	_ = l.Close() // if it has failed before, it accepts nothing either
	late := time.After(firstRequestTimeout)
	select {
	case <-l.accepted:
	case <-late:
	case <-ctx.Done():
	}
	for l.hasOpenConns() {
		select {
		case <-time.After(drainPollInterval):
		case <-late:
			l.closeSilent()
		case <-ctx.Done():
			return
		}
	}
}

func (l *drainListener) hasOpenConns() (found bool) {
	l.open.Range(func(any, any) bool {
		found = true
		return false
	})
	return found
}

// closeSilent closes the connections on which no request has begun.
func (l *drainListener) closeSilent() {
	l.open.Range(func(conn, begun any) bool {
		if !begun.(*atomic.Bool).Load() {
			_ = conn.(net.Conn).Close()
		}
		return true
	})
}

// drain shuts the broker down: it is not ready any more, accepts no connections, and gives requests in flight the grace period
// to finish.
func (b *broker) drain(appListener *drainListener) {
	b.draining.Store(true)
	b.log.Info("shutting down", zap.Int64("requests_in_flight", b.proxy.InFlight()), zap.Duration("grace", b.grace))
	ctx, cancel := context.WithTimeout(context.Background(), b.grace)
	defer cancel()
	var all sync.WaitGroup
	var cut atomic.Bool
	for _, server := range b.servers() { // concurrently: none may accept requests while another drains
		all.Go(func() {
			server.SetKeepAlivesEnabled(false) // each response is the last on its connection, and says so
			if server == b.app {
				appListener.drainConns(ctx)
			}
			if server.Shutdown(ctx) != nil {
				b.log.Warn("grace period over; closing the requests in flight", zap.Int64("requests_in_flight", b.proxy.InFlight()))
				_ = server.Close()
				cut.Store(true)
			}
		})
	}
	if all.Wait(); !cut.Load() {
		b.log.Info("all requests have finished")
	}
}
