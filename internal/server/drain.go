package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/proxy/wire"
)

const (
	// firstRequestTimeout is how long a connection may take to its first request once the broker has begun to shut down. Next door that
	// is a matter of microseconds. One that was opened to be used later is not waited for.
	firstRequestTimeout = time.Second
	// drainPollInterval is between two looks at what is left.
	drainPollInterval = 2 * time.Millisecond
)

// drainListener is the app's listener, and knows what has come in by it. From the moment at which a http.Server is shut down, it
// drops the requests that it is just reading, without an answer. To the client that is a request lost; with socket
// activation, where no connection is refused, it would be the only one. So the entrance is closed first, and the server is
// shut down once nobody is left inside.
type drainListener struct {
	net.Listener
	close func() error
	shut  atomic.Bool
	last  chan struct{} // closed when Accept has failed after shut
	once  sync.Once
	open  sync.Map // net.Conn to *atomic.Bool: whether a request has begun on it
}

func newDrainListener(l net.Listener) *drainListener {
	return &drainListener{Listener: l, close: sync.OnceValue(l.Close), last: make(chan struct{})}
}

// Accept implements net.Listener.
func (e *drainListener) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	switch {
	case err == nil:
		e.open.Store(conn, new(atomic.Bool))
	case e.shut.Load():
		e.once.Do(func() { close(e.last) })
	}
	return conn, err
}

// Close implements net.Listener. The second time, as http.Server does it, is no error.
func (e *drainListener) Close() error { return e.close() }

// connState is what the server's ConnState is to be.
func (e *drainListener) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		if spoken, ok := e.open.Load(conn); ok {
			spoken.(*atomic.Bool).Store(true)
		}
	case http.StateClosed, http.StateHijacked:
		e.open.Delete(conn)
	}
	wire.ConnState(conn, state)
}

// drainConns closes the entrance, and returns when everybody who came in was served and is gone, or ctx is done. The server must
// not keep connections alive any more.
func (e *drainListener) drainConns(ctx context.Context) {
	e.shut.Store(true)
	_ = e.Close() // it may have failed before, and then nobody comes in either
	late := time.After(firstRequestTimeout)
	select {
	case <-e.last: // nobody is between Accept and the server
	case <-late:
	case <-ctx.Done():
	}
	for e.isAnyOpen() {
		select {
		case <-time.After(drainPollInterval):
		case <-late:
			e.closeSilent()
		case <-ctx.Done():
			return
		}
	}
}

func (e *drainListener) isAnyOpen() (found bool) {
	e.open.Range(func(any, any) bool {
		found = true
		return false
	})
	return found
}

// closeSilent closes the connections on which no request has begun.
func (e *drainListener) closeSilent() {
	e.open.Range(func(conn, spoken any) bool {
		if !spoken.(*atomic.Bool).Load() {
			_ = conn.(net.Conn).Close() // nobody has asked for anything
		}
		return true
	})
}
