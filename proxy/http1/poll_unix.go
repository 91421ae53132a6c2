//go:build unix

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// socketPoller is the poller of a socket. It does nothing that allocates.
type socketPoller struct {
	conn   syscall.RawConn
	read   func(fd uintptr) // a method value allocates
	buffer []byte
	n      int
	err    error
}

func newSocketPoller(conn net.Conn) poller {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	p := &socketPoller{conn: raw}
	p.read = p.readNow
	return p
}

// Read implements poller. It uses Control and not RawConn.Read, because a deadline of the last exchange may have passed.
func (p *socketPoller) Read(b []byte) (int, error) {
	p.buffer = b
	err := p.conn.Control(p.read)
	p.buffer = nil
	if err != nil {
		return 0, err
	}
	return p.n, p.err
}

// readNow relies on the sockets of package net being non-blocking.
func (p *socketPoller) readNow(fd uintptr) {
	n, err := syscall.Read(int(fd), p.buffer)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		err = os.ErrDeadlineExceeded
	case n == 0 && err == nil:
		err = io.EOF
	}
	p.n, p.err = max(n, 0), err
}
