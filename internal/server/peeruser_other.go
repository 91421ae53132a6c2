//go:build !linux

package server

import "net"

// peerUserSupported reports whether peerUser works on this system.
const peerUserSupported = false

// peerUser returns false.
func peerUser(*net.UnixConn) (uid uint32, ok bool) { return 0, false }
