//go:build !linux

package unixsocket

import "syscall"

// narrow does nothing: an unbound socket has no mode here. The file has what the umask leaves until it is set.
func narrow(_, _ string, _ syscall.RawConn) error { return nil }
