package unixsocket

import (
	"cmp"
	"syscall"
)

// chmodBeforeBind sets the mode of a socket before bind, which on Linux gives it to the file, less the umask. Changing
// the umask instead would affect every file that other goroutines create at the same time.
func chmodBeforeBind(_, _ string, conn syscall.RawConn) error {
	var err error
	controlErr := conn.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), socketMode) })
	return cmp.Or(controlErr, err)
}
