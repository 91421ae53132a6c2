package server

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"

	"etrusted-broker/internal/config"
)

// adminSocket is the FileDescriptorName= of the admin listener's socket. A socket of any other name is the app's.
const adminSocket = "admin"

// inherited returns the sockets that systemd passes, if any. It must be called once, before anything else is opened,
// because the descriptors are known by their numbers only. The variables LISTEN_… are unset.
//
// Closing such a listener does not remove the file of a Unix socket: systemd keeps listening on it.
func inherited() (l Listeners, err error) {
	for _, file := range activation.Files(true) {
		var listener net.Listener
		listening := isListening(file)
		if listening { // otherwise the descriptor may be one of the runtime's, and must not be closed
			listener, err = net.FileListener(file) // duplicates the descriptor
			_ = file.Close()
		}
		if !listening || err != nil || listener.Addr().Network() == "unixpacket" {
			return l, config.Error{Variable: "LISTEN_FDS", Message: fmt.Sprintf("the socket %q is not a listening stream socket: in the .socket unit, use only ListenStream= and Accept=no, and start the broker directly, not from a wrapper", file.Name())}
		}
		isAdmin := file.Name() == adminSocket
		if isAdmin && l.Admin != nil || !isAdmin && l.App != nil {
			_ = listener.Close() // no connection was accepted yet
			return l, config.Error{Variable: "LISTEN_FDS", Message: "more than one socket for the app, or for the admin listener: pass one of each, the admin listener's with FileDescriptorName=" + adminSocket}
		}
		if isAdmin {
			l.Admin = listener
		} else {
			l.App = []net.Listener{listener}
		}
	}
	return l, nil
}
