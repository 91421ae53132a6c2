//go:build !linux

package server

import "net"

const peerUserSupported = false

func peerUser(*net.UnixConn) (uid uint32, ok bool) { return 0, false }
