package unixsocket

import "syscall"

// narrow takes from an unbound socket the permissions that its file must not have. On Linux, bind gives the file the
// descriptor's mode, less the umask. To set the umask instead would change the mode of every file that another goroutine
// creates at the same time.
func narrow(_, _ string, conn syscall.RawConn) error {
	var err error
	if control := conn.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), mode) }); control != nil {
		return control
	}
	return err
}
