package neterr

import (
	"errors"
	"syscall"
)

// winsock has the numbers of the errors of sockets on Windows, by their names in package syscall.
var winsock = map[syscall.Errno]syscall.Errno{
	syscall.EACCES:        10013,
	syscall.EADDRINUSE:    10048,
	syscall.EADDRNOTAVAIL: 10049,
	syscall.EAFNOSUPPORT:  10047,
	syscall.ECONNREFUSED:  10061,
	syscall.ECONNRESET:    10054,
	syscall.EHOSTUNREACH:  10065,
	syscall.EMFILE:        10024,
	syscall.ENETUNREACH:   10051,
	syscall.EPIPE:         10053, // WSAECONNABORTED
}

// IsErrno reports whether err is or wraps an error of a socket, such as syscall.ECONNREFUSED. On Windows, errors.Is would never
// find it: the values of package syscall with these names are made up.
func IsErrno(err error, target syscall.Errno) bool {
	number, exists := winsock[target]
	return errors.Is(err, target) || exists && errors.Is(err, number)
}
