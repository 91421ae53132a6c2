package server

import (
	"net"
	"syscall"
)

// peerUserSupported reports whether peerUser works on this system.
const peerUserSupported = true

// peerUser returns the user at the other end of a Unix socket, as it was when the client connected (unix(7), SO_PEERCRED).
func peerUser(conn *net.UnixConn) (uid uint32, ok bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var credentials *syscall.Ucred
	controlled := raw.Control(func(fd uintptr) {
		credentials, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if controlled != nil || err != nil {
		return 0, false
	}
	return credentials.Uid, true
}
