package server

import (
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// newAdminServer returns the server of the admin listener.
func newAdminServer(handler http.Handler, log *zap.Logger) *http.Server {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic(err) // the level is valid
	}
	return &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: clientIdleTimeout, MaxHeaderBytes: 64 << 10, ErrorLog: errorLog}
}

// adminPatience is how long a connection of the admin listener may be open before it can be closed to make room: scrapers and
// probes need milliseconds.
const adminPatience = 250 * time.Millisecond

// boundedListener limits the number of open connections. Beyond the limit, it closes the oldest one to make room, so that clients
// that connect and stall do not lock out scrapers and probes.
type boundedListener struct {
	net.Listener
	max   int
	freed chan struct{} // a connection was closed; one value is enough

	mu   sync.Mutex
	open []*boundedConn // oldest first
}

func newBoundedListener(l net.Listener, limit int) *boundedListener {
	return &boundedListener{Listener: l, max: limit, freed: make(chan struct{}, 1)}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: accepted, listener: l, opened: time.Now()}
	for !l.admit(c) {
		select {
		case <-l.freed:
		case <-time.After(adminPatience / 10):
		}
	}
	return c, nil
}

// admit adds a connection if there is room, or if the oldest one can be closed.
func (l *boundedListener) admit(c *boundedConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max {
		oldest := l.open[0]
		if time.Since(oldest.opened) < adminPatience {
			return false
		}
		_ = oldest.Conn.Close() // the server notices, and closes it again
		l.open = l.open[1:]
	}
	l.open = append(l.open, c)
	return true
}

// boundedConn is a connection of a boundedListener.
type boundedConn struct {
	net.Conn
	listener *boundedListener
	opened   time.Time
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	l := c.listener
	l.mu.Lock()
	l.open = slices.DeleteFunc(l.open, func(open *boundedConn) bool { return open == c })
	l.mu.Unlock()
	select {
	case l.freed <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}
