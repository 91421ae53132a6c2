//go:build unix

package server

import (
	"os"
	"syscall"
)

// isListeningSocket reports whether file is a listening socket. net.FileListener does not check: it accepts a connection too.
func isListeningSocket(file *os.File) bool {
	value, err := syscall.GetsockoptInt(int(file.Fd()), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	return err == nil && value != 0
}
