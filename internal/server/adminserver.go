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
	return &http.Server{Handler: handler, ReadHeaderTimeout: clientHeaderTimeout, IdleTimeout: clientIdleTimeout, MaxHeaderBytes: 64 << 10, ErrorLog: errorLog}
}

// minAdminConnAge is how long a connection of the admin listener is open before it can be closed to make room: scrapers and
// probes need milliseconds.
const minAdminConnAge = 250 * time.Millisecond

// evictingListener limits the number of open connections. Beyond the limit, it closes the oldest one to make room, so that clients
// that connect and stall do not lock out scrapers and probes.
type evictingListener struct {
	net.Listener
	max int

	mu   sync.Mutex
	open []*evictableConn // oldest first
}

// Accept implements net.Listener.
func (l *evictingListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &evictableConn{Conn: accepted, listener: l}
	for !l.admit(c) {
		<-time.After(minAdminConnAge / 10)
	}
	return c, nil
}

// admit adds a connection if there is room, or if the oldest one can be closed.
func (l *evictingListener) admit(c *evictableConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max {
		oldest := l.open[0]
		if time.Since(oldest.admitted) < minAdminConnAge {
			return false
		}
		_ = oldest.Conn.Close() // the server notices, and closes it again
		l.open = l.open[1:]
	}
	c.admitted = time.Now() // not earlier: it may have waited for room
	l.open = append(l.open, c)
	return true
}

// evictableConn is a connection of an evictingListener.
type evictableConn struct {
	net.Conn
	listener *evictingListener
	admitted time.Time
}

// Close implements net.Conn.
func (c *evictableConn) Close() error {
	c.listener.mu.Lock()
	c.listener.open = slices.DeleteFunc(c.listener.open, func(open *evictableConn) bool { return open == c })
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
