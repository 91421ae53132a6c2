package neterr

import (
	"errors"
	"syscall"
)

// IsErrno reports whether err is or wraps an error of a socket, such as syscall.ECONNREFUSED. On Windows, errors.Is would never find it:
// there, sockets return the numbers of Winsock, and those of package syscall with these names are made up.
func IsErrno(err error, target syscall.Errno) bool {
	number, exists := winsock[target]
	return errors.Is(err, target) || exists && errors.Is(err, number)
}
