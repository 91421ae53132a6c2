package server

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/unixsocket"
)

// Listeners are the broker's listeners.
type Listeners struct {
	App   []net.Listener // usually one; two for localhost, which has an IPv4 and an IPv6 address
	Admin net.Listener   // nil if it is off
	// Intercept are the listeners for apps that take the broker for the API or the login server.
	Intercept []net.Listener
}

// formatListenAddress returns the address of a listener in the form of BROKER_LISTEN, or "off" for nil.
func formatListenAddress(l net.Listener) (addressOrOff string) {
	if l == nil {
		return "off"
	}
	if l.Addr().Network() == "unix" {
		return "unix://" + l.Addr().String()
	}
	return l.Addr().String()
}

// all returns the listeners that are open.
func (l Listeners) all() []net.Listener {
	all := slices.Concat(l.App, l.Intercept, []net.Listener{l.Admin})
	return slices.DeleteFunc(all, func(one net.Listener) bool { return one == nil })
}

func (l Listeners) addresses() (all []net.Addr) {
	for _, listener := range l.all() {
		all = append(all, listener.Addr())
	}
	return all
}

// connWrappingListener wraps the connections that it accepts.
type connWrappingListener struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

// Accept implements net.Listener.
func (l connWrappingListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(accepted), nil
}

// listen opens the listeners, except those that systemd passes. After an error, none is open. The error is a config.Error if the
// configuration is the cause. It checks whether other machines can reach the addresses: a host name may resolve to any, and a .socket
// unit has not been validated.
func listen(ctx context.Context, c config.Config) (l Listeners, err error) {
	defer func() {
		if err != nil {
			for _, listener := range l.all() {
				_ = listener.Close() // no connection was accepted yet
			}
		}
	}()
	if l, err = takeSystemdListeners(); err != nil {
		return l, err
	}
	if l.App == nil {
		if l.App, err = listenExpandingLocalhost(ctx, "BROKER_LISTEN", c.Listen); err != nil {
			return l, err
		}
	}
	if l.Intercept != nil {
		if err := c.CheckIntercept(); err != nil {
			return l, config.Error{Variable: "LISTEN_FDS", Message: "a socket with FileDescriptorName=" + interceptSocketName + " " + err.Error()}
		}
	} else if c.InterceptListen != "" {
		if l.Intercept, err = listenExpandingLocalhost(ctx, "BROKER_INTERCEPT_LISTEN", c.InterceptListen); err != nil {
			return l, err
		}
	}
	for variable, listeners := range map[string][]net.Listener{"BROKER_LISTEN": l.App, "BROKER_INTERCEPT_LISTEN": l.Intercept} {
		if isAnyExposed(listeners) && !c.RequiresAuthentication() && !c.UnsafeListen {
			return l, config.Error{Variable: variable, Message: config.ErrExposedWithoutAuthentication.Error()}
		}
	}
	if l.Admin == nil && c.AdminListen != "" {
		l.Admin, err = Listen(ctx, "BROKER_ADMIN_LISTEN", c.AdminListen)
	}
	return l, err
}

// isAnyExposed reports whether other machines can reach a listener.
func isAnyExposed(listeners []net.Listener) bool {
	return slices.ContainsFunc(listeners, func(l net.Listener) bool {
		addr, isTCP := l.Addr().(*net.TCPAddr)
		return isTCP && !addr.IP.IsLoopback()
	})
}

// listenExpandingLocalhost opens the listeners for an address, the value of variable: usually one. Some clients connect to
// localhost only at 127.0.0.1 and others only at ::1, so the broker listens at both, unless this machine does not have one of them.
func listenExpandingLocalhost(ctx context.Context, variable, address string) (all []net.Listener, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !strings.EqualFold(host, "localhost") {
		listener, err := Listen(ctx, variable, address)
		return []net.Listener{listener}, err
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		listener, cause := tcpListenConfig.Listen(ctx, "tcp", net.JoinHostPort(ip, port))
		switch {
		case cause == nil:
			all = append(all, listener)
			_, port, _ = net.SplitHostPort(listener.Addr().String()) // the same one if it was 0
		case neterr.IsErrno(cause, syscall.EADDRNOTAVAIL), neterr.IsErrno(cause, syscall.EAFNOSUPPORT):
			err = listenError(variable, address, cause)
		default:
			return all, listenError(variable, address, cause)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, err
}

// Listen listens on address, the value of variable: HOST:PORT or unix:///path. Its errors name the variable and say what to do.
func Listen(ctx context.Context, variable, address string) (net.Listener, error) {
	if path, isUnix := config.UnixPath(address); isUnix {
		listener, err := unixsocket.Listen(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("%s %w", variable, err)
		}
		return listener, nil
	}
	listener, err := tcpListenConfig.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, listenError(variable, address, err)
	}
	return listener, nil
}

// listenError says what to do about an error of listening on a TCP address.
func listenError(variable, address string, err error) error {
	switch {
	case neterr.IsErrno(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s is in use by another program, perhaps another broker: stop it, or set %s to another port", variable, address, variable)
	case neterr.IsErrno(err, syscall.EACCES) && runtime.GOOS == "windows":
		return fmt.Errorf("%s %s is reserved by Windows, or another program has it exclusively: set it to another port; 'netsh interface ipv4 show excludedportrange protocol=tcp' lists the reserved ones", variable, address)
	case neterr.IsErrno(err, syscall.EACCES):
		return fmt.Errorf("%s %s is not permitted for this user: set it to a port above 1023, or see docs/unchanged-apps.md for port 443", variable, address)
	case neterr.IsErrno(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s %s is not an address of this machine: use one that is, such as 127.0.0.1:8080", variable, address)
	default:
		// The error would repeat a host that cannot be resolved, and it may be a misplaced secret.
		return fmt.Errorf("cannot listen on %s: its host is not an address of this machine, or cannot be resolved", variable)
	}
}

// The FileDescriptorName= of the sockets of the admin and intercept listeners. A socket of any other name is the app's. There may be
// several app and intercept sockets, such as one for each of IPv4 and IPv6, but only one for admin.
const (
	adminSocketName     = "admin"
	interceptSocketName = "intercept"
)

// takeSystemdListeners returns the sockets that systemd passes, if any, and unsets the variables LISTEN_…. It must be called once,
// before anything else is opened: the descriptors are known by their numbers only. Closing such a listener does not remove the file
// of a Unix socket, on which systemd keeps listening.
func takeSystemdListeners() (l Listeners, err error) {
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
