//go:build unix

package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// idleReader waits for the first bytes of a request without holding a buffer.
type idleReader struct {
	raw  syscall.RawConn
	read func(fd uintptr) bool
	into *buffer
	err  error
}

// fill reads once from conn, always the same one, into an empty buffer.
func (r *idleReader) fill(conn net.Conn, into *buffer) error {
	if r.raw == nil {
		socket, ok := conn.(syscall.Conn)
		if !ok {
			return into.fill(conn)
		}
		raw, err := socket.SyscallConn()
		if err != nil {
			return err
		}
		r.raw, r.into, r.read = raw, into, r.tryRead
	}
	if err := r.raw.Read(r.read); err != nil {
		return err
	}
	return r.err
}

// tryRead reads if something has arrived, and reports whether that ends the wait.
func (r *idleReader) tryRead(fd uintptr) bool {
	r.into.makeRoom()
	n, err := syscall.Read(int(fd), r.into.bytes)
	switch {
	case n > 0:
		r.into.end, r.err = n, nil
		return true
	case err == nil:
		r.err = io.EOF
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		r.into.release()
		return false
	default:
		r.err = os.NewSyscallError("read", err)
	}
	r.into.release()
	return true
}
