//go:build unix

package activation

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

// takeOver makes a listener of a descriptor, which is then closed. If there is an error it is left alone: it may be
// anything, such as one that the runtime uses itself.
func takeOver(fd int) (net.Listener, error) {
	if err := checkListening(fd); err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "")
	l, err := net.FileListener(file) // of a duplicate, which does not remove the file of a Unix socket
	_ = file.Close()                 // it is a duplicate's twin
	if err != nil {
		return nil, fmt.Errorf("cannot be listened on: give its ListenStream= in the .socket unit a path, a port, or an IP address and a port: %w", err)
	}
	return l, nil
}

// checkListening asks for what net.FileListener takes on trust: it would make a listener of a connection.
func checkListening(fd int) error {
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	switch {
	case errors.Is(err, syscall.EBADF):
		return errors.New("is not open, though LISTEN_FDS announces it: let systemd start the broker, from a .socket unit with ListenStream=")
	case err != nil:
		return errors.New("is no socket: let the .socket unit have ListenStream= only, and the .service unit no OpenFile=")
	case kind != syscall.SOCK_STREAM:
		return errors.New("is no stream socket: in the .socket unit, write ListenStream= instead of ListenDatagram= or ListenSequentialPacket=")
	}
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return errors.New("is a connection and no listening socket: in the .socket unit, beside ListenStream=, set Accept=no")
	}
	return nil
}
