//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package unixsocket

import (
	"os"
	"syscall"
)

// tryLock does not wait: a wait within flock could not be cancelled.
func tryLock(file *os.File) outcome {
	switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
	case nil:
		return locked
	case syscall.EWOULDBLOCK, syscall.EINTR:
		return busy
	default:
		return unsupported
	}
}
