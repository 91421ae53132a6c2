package fakeetrusted

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Listener is a network of its own, in memory: what Dial connects, Accept returns. There is no socket in it, only
// channels, so a server and its clients in a testing/synctest bubble let fake time pass while they wait for each other.
// A Listener belongs to the bubble in which it was made.
//
// The connections are those of net.Pipe: they buffer nothing, so a Write returns when the other side has read it.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a Listener that is open. Close it, and close the connections' idle ends, to end a bubble.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the Listener, whatever the network and address say, so it fits http.Transport.DialContext. It waits
// until the connection is accepted, ctx is done, or the Listener is closed; then, as from a port where nobody listens,
// the error is syscall.ECONNREFUSED in a net.OpError.
func (l *Listener) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Addr: l.Addr(), Err: syscall.ECONNREFUSED}
	select {
	case <-l.closed: // looked at first: below, the choice between two ready cases is random
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

// Close refuses connections from now on; those that are open stay open. It may be called more than once and never fails.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address that names no place: its network and its string are both "pipe".
func (l *Listener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
