package server

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"

	"etrusted-broker/internal/config"
)

// adminSocket and interceptSocket are the FileDescriptorName= of the sockets of the admin listener, and of that for
// BROKER_INTERCEPT_LISTEN. A socket of any other name is the app's.
const (
	adminSocket     = "admin"
	interceptSocket = "intercept"
)

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
		switch name := file.Name(); {
		case name == adminSocket && l.Admin == nil:
			l.Admin = listener
		case name == interceptSocket && l.Intercept == nil:
			l.Intercept = []net.Listener{listener}
		case name != adminSocket && name != interceptSocket && l.App == nil:
			l.App = []net.Listener{listener}
		default:
			_ = listener.Close() // no connection was accepted yet
			return l, config.Error{Variable: "LISTEN_FDS", Message: "more than one socket for the app, for the admin listener, or for interception: pass one of each, the latter two with FileDescriptorName=" + adminSocket + " and =" + interceptSocket}
		}
	}
	return l, nil
}
