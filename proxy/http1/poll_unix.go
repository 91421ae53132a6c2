//go:build unix

package http1

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// readNowOrNil relies on the sockets of package net being non-blocking.
var readNowOrNil = func(fd uintptr, p []byte) (int, error) {
	n, err := syscall.Read(int(fd), p)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), p)
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		err = os.ErrDeadlineExceeded
	case n == 0 && err == nil:
		err = io.EOF
	}
	return max(n, 0), err
}
