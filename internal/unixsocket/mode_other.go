//go:build !linux

package unixsocket

import "syscall"

// setSocketMode does nothing: on this system, an unbound socket has no mode.
func setSocketMode(_, _ string, _ syscall.RawConn) error { return nil }
