package http1

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// passThrough copies bytes between a client that has opened a tunnel and the target of the tunnel.
type passThrough struct {
	conn   *conn
	target net.Conn
	tunnel any // what OpenPassThrough was given
}

// ClosePassThrough closes those tunnels that pass through for which isOver returns true. tunnel is what OpenPassThrough was given.
func (s *Server) ClosePassThrough(isOver func(tunnel any) bool) {
	s.closeConns(func(c *conn) {
		if p := c.passThrough.Load(); p != nil && isOver(p.tunnel) {
			p.close()
		}
	})
}

// run copies in both directions until both have ended; a failure ends both. It returns false: the connection has ended.
func (p *passThrough) run() bool {
	c := p.conn
	if gone := c.gone; gone != nil && !errors.Is(gone, io.EOF) {
		p.end(gone)
		return false
	}
	c.setDeadline(time.Time{})
	c.wait.reading.Store(int64(c.server.now()))
	c.phase.Store(phasePassThrough)
	var up sync.WaitGroup
	down := new(buffer)
	up.Go(func() { p.end(p.copy(c.stream, p.target, newPoller(p.target, down.fill), down)) })
	p.end(p.copy(p.target, c.stream, c.poller, &c.buffer)) // begins with what came with the CONNECT
	up.Wait()
	return false
}

// copy copies from one connection to another up to the end, beginning with what b holds.
func (p *passThrough) copy(to, from net.Conn, poller *poller, b *buffer) error {
	defer b.release()
	for {
		if len(b.unread()) == 0 {
			switch err := b.await(from, poller); {
			case errors.Is(err, io.EOF):
				return closeWrite(to)
			case err != nil:
				return err
			}
		}
		if p.conn.wait.reading.Swap(int64(p.conn.server.now())) == waitEvicted {
			return errEvicted
		}
		if _, err := to.Write(b.unread()); err != nil {
			return err
		}
		b.release()
	}
}

// end ends both directions after a failure. The peers must not take it for a clean end, unless the server has ended the tunnel.
func (p *passThrough) end(failure error) {
	switch {
	case failure == nil:
	case errors.Is(failure, net.ErrClosed):
		p.close()
	default:
		resetConn(p.conn.accepted)
		resetConn(p.target)
	}
}

// close ends both directions. It may be called from any goroutine. p may be nil.
func (p *passThrough) close() {
	if p == nil {
		return
	}
	_ = socketOf(p.conn.accepted).Close()
	_ = socketOf(p.target).Close()
}

// resetConn closes a connection so that its peer does not see a clean end.
func resetConn(conn net.Conn) {
	setLinger(conn, 0)
	_ = socketOf(conn).Close()
}

// setLinger sets what closing a connection does: with 0 it resets it, with -1 it does not.
func setLinger(conn net.Conn, seconds int) {
	if tcp, ok := socketOf(conn).(*net.TCPConn); ok {
		_ = tcp.SetLinger(seconds)
	}
}
