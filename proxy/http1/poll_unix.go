//go:build unix

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// unixPoller is the socketPoller of Unix. It does nothing that allocates.
type unixPoller struct {
	raw     syscall.RawConn
	read    func(fd uintptr) // method values allocate
	tryFill func(fd uintptr) bool
	into    []byte
	buffer  *buffer
	n       int
	err     error
}

func newSocketPoller(conn net.Conn) socketPoller {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	p := &unixPoller{raw: raw}
	p.read, p.tryFill = p.readNow, p.fillNow
	return p
}

// Read implements socketPoller. It uses Control and not RawConn.Read, because a deadline of the last exchange may have passed.
func (p *unixPoller) Read(b []byte) (int, error) {
	p.into = b
	err := p.raw.Control(p.read)
	p.into = nil
	if err != nil {
		return 0, err
	}
	return p.n, p.err
}

// readNow relies on the sockets of package net being non-blocking.
func (p *unixPoller) readNow(fd uintptr) {
	n, err := syscall.Read(int(fd), p.into)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		err = os.ErrDeadlineExceeded
	case n == 0 && err == nil:
		err = io.EOF
	}
	p.n, p.err = max(n, 0), err
}

// await implements socketPoller.
func (p *unixPoller) await(b *buffer) error {
	p.buffer = b
	if err := p.raw.Read(p.tryFill); err != nil {
		return err
	}
	return p.err
}

// fillNow reports whether the wait has ended.
func (p *unixPoller) fillNow(uintptr) bool {
	p.err = p.buffer.fill(p)
	return !errors.Is(p.err, os.ErrDeadlineExceeded)
}
