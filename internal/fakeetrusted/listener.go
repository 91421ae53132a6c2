package fakeetrusted

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Listener is an in-memory net.Listener: Accept returns the other end of each connection made by Dial. It uses channels
// only, so that fake time passes in a testing/synctest bubble while server and clients wait for each other. A Listener
// belongs to the bubble in which it was created.
//
// Connections come from net.Pipe: they have no buffer, so Write returns once the other end has read.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns an open Listener. To end a bubble, close it and all idle connections.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the Listener, whatever the network and address say, so it fits http.Transport.DialContext. It waits
// until the connection is accepted, ctx is done, or the Listener is closed; then, as for a closed port,
// the error is syscall.ECONNREFUSED in a net.OpError.
func (l *Listener) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Addr: l.Addr(), Err: syscall.ECONNREFUSED}
	select {
	case <-l.closed: // checked first, because the choice between two ready cases below is random
		return nil, refused
	default:
	}
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Addr: l.Addr(), Err: ctx.Err()}
	}
}

// Accept waits for the next Dial. After Close its error is net.ErrClosed in a net.OpError.
func (l *Listener) Accept() (net.Conn, error) {
	closed := &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
	select {
	case <-l.closed:
		return nil, closed
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, closed
	}
}

// Close refuses connections from now on; open ones stay open. It may be called more than once and never fails.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address whose network and string are both "pipe".
func (l *Listener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
