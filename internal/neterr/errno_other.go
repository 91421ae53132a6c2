//go:build !windows

package neterr

import "syscall"

// winsock is empty: here, sockets return the errors of package syscall.
var winsock map[syscall.Errno]syscall.Errno
