//go:build !linux

package unixsocket

import "syscall"

// chmodBeforeBind does nothing: on this system, an unbound socket has no mode.
func chmodBeforeBind(_, _ string, _ syscall.RawConn) error { return nil }
