package server

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"

	"etrusted-broker/internal/config"
)

// The FileDescriptorName= of the sockets of the admin and intercept listeners. A socket of any other name is the app's.
const (
	adminSocketName     = "admin"
	interceptSocketName = "intercept"
)

// inheritedListeners returns the sockets that systemd passes, if any, and unsets the variables LISTEN_…. It must be called once, before
// anything else is opened: the descriptors are known by their numbers only. Closing such a listener does not remove the file of a Unix
// socket, on which systemd keeps listening.
func inheritedListeners() (l Listeners, err error) {
	for _, file := range activation.Files(true) {
		var listener net.Listener
		listening := isListeningSocket(file)
		if listening { // otherwise the descriptor may be one of the runtime's, and must not be closed
			listener, err = net.FileListener(file) // duplicates the descriptor
			_ = file.Close()
		}
		if !listening || err != nil || listener.Addr().Network() == "unixpacket" {
			return l, config.Error{Variable: "LISTEN_FDS", Message: fmt.Sprintf("the socket %q is not a listening stream socket: in the .socket unit, use only ListenStream= and Accept=no, and start the broker directly, not from a wrapper", file.Name())}
		}
		switch {
		case file.Name() == interceptSocketName:
			l.Intercept = append(l.Intercept, listener)
		case file.Name() != adminSocketName:
			l.App = append(l.App, listener)
		case l.Admin == nil:
			l.Admin = listener
		default:
			_ = listener.Close() // no connection was accepted yet
			return l, config.Error{Variable: "LISTEN_FDS", Message: "more than one socket for the admin listener: pass one with FileDescriptorName=" + adminSocketName}
		}
	}
	return l, nil
}
