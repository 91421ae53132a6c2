package server

import (
	"net"
	"net/http"
	"sync"

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

// boundedListener accepts any number of connections, but keeps only the newest open: clients that connect and stall lock out
// neither scrapers nor probes, which need milliseconds.
type boundedListener struct {
	net.Listener
	max int

	mu   sync.Mutex
	open []*boundedConn // oldest first
}

func newBoundedListener(l net.Listener, limit int) *boundedListener {
	return &boundedListener{Listener: l, max: limit}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: accepted, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open = append(l.open, c); len(l.open) > l.max {
		_ = l.open[0].Conn.Close() // its server notices, and closes it again
		l.open = l.open[1:]
	}
	return c, nil
}

// boundedConn is a connection of a boundedListener.
type boundedConn struct {
	net.Conn
	listener *boundedListener
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

func (l *boundedListener) remove(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, open := range l.open {
		if open == c {
			l.open = append(l.open[:i], l.open[i+1:]...)
			return
		}
	}
}
