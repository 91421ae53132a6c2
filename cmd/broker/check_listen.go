package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"syscall"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/printable"
	"etrusted-broker/internal/server"
	"etrusted-broker/internal/unixsocket"
	"etrusted-broker/proxy/access"
)

// listenerTarget is an address that the broker listens on.
type listenerTarget struct {
	name, variable   string
	configured       string
	display          string // configured, or variable if the value may be a misplaced secret
	network, address string // to connect to; an empty address stands for any free port
	tls              bool
	needsClientCert  bool
	// identify describes the program that listens there, as it continues "in use by", and reports whether it is a broker.
	identify func(context.Context, listenerTarget) (inUseBy string, isBroker bool)
}

func appListener(c config.Config) listenerTarget {
	l := newListenerTarget("app's listener", "BROKER_LISTEN", c.Listen)
	l.tls, l.needsClientCert, l.identify = c.TLSCertFile != "", c.TLSClientCAFile != "", identifyAppListener
	return l
}

func adminListener(c config.Config) listenerTarget {
	l := newListenerTarget("admin listener", "BROKER_ADMIN_LISTEN", c.AdminListen)
	l.identify = identifyAdminListener
	return l
}

// newListenerTarget returns how to connect to a listener. address must be valid, or empty if the listener is turned off.
func newListenerTarget(name, variable, address string) listenerTarget {
	l := listenerTarget{name: name, variable: variable, configured: address, display: address}
	if !config.IsListenAddressSafeToShow(address) {
		l.display = variable // the host may be a secret in the wrong place
	}
	if path, isUnix := config.UnixPath(address); isUnix {
		l.network, l.address = "unix", path
		return l
	}
	host, port, _ := net.SplitHostPort(address)
	if number, _ := net.LookupPort("tcp", port); number != 0 { // or the system chooses the port
		l.network, l.address = "tcp", net.JoinHostPort(reachableHost(host), port)
	}
	return l
}

// url is the address for apps; empty for a system-chosen port, all interfaces, or TLS, which needs a name from the certificate.
func (l listenerTarget) url() string {
	switch {
	case l.tls || l.address == "" || !strings.HasSuffix(l.display, l.address):
		return ""
	case l.network == "unix":
		return l.display
	default:
		return "http://" + l.display
	}
}

// curlExample returns a command that uses the address for apps; empty if that is not known.
func curlExample(c config.Config, l listenerTarget, accounts []check.AccountToTest, callers []*access.Caller) string {
	base := l.url()
	if base == "" || len(accounts) == 0 {
		return ""
	}
	command := server.CurlCommand + " -s"
	if l.network == "unix" {
		command, base = command+" --unix-socket "+l.address, "http://localhost"
	}
	if accounts[0].Name != "default" && c.CallersDir == "" { // a caller's own first account needs no name
		base += "/@" + accounts[0].Name
	}
	return command + server.CurlAccessKeyOption(c, callers) + " " + base + "/channels"
}

// step returns the step that checks whether the address is free, or in use by a broker. other is another listener of the
// same broker, or nil.
func (l listenerTarget) step(other *listenerTarget) check.ExtraStep {
	return check.ExtraStep{Name: l.name, Target: l.display, Run: func(ctx context.Context) check.Step {
		switch {
		case l.configured == "":
			return check.Skipped("turned off, BROKER_ADMIN_LISTEN is empty")
		case l.address == "":
			return check.Passed("any free port")
		case other != nil && l.address == other.address:
			return check.Failed(check.CauseConfiguration, "address-in-use", other.variable+" and "+l.variable+" use the same port", "Set one of them to another port.")
		}
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		mayBeTaken, problem := l.tryListen(ctx)
		var err error
		if mayBeTaken {
			var conn net.Conn
			if conn, err = new(net.Dialer).DialContext(ctx, l.network, l.address); err == nil {
				_ = conn.Close() // identify opens its own connection
				inUseBy, isBroker := l.identify(ctx, l)
				if isBroker {
					return check.Passed("in use by " + inUseBy)
				}
				return check.Failed(check.CauseMachine, "address-in-use", l.display+" is in use by "+inUseBy,
					"Stop that program ("+listenerLookupHint()+"), or set "+l.variable+" to another address.")
			}
		}
		switch {
		case errors.Is(err, fs.ErrPermission):
			return check.Failed(check.CauseMachine, "socket-forbidden", "this user cannot connect to "+l.display, "Give this user write access to the socket and search permission for the directories above it, or run the check as the app's user.")
		case problem != nil:
			return check.Failed(check.CauseMachine, "cannot-listen", problem.Error(), "Fix that, or set "+l.variable+" to a free address of this machine.")
		default:
			return check.Passed(l.display + " is free")
		}
	}}
}

// listenerLookupHint names the commands that show which program listens.
func listenerLookupHint() string {
	if runtime.GOOS == "windows" {
		return "'netstat -ano' shows its process ID in the last column, and 'tasklist /svc' its name"
	}
	return "'ss -ltnp' and 'ss -lxp' show which one it is"
}

// tryListen reports whether a program may be listening, and the error of 'broker serve'. It leaves no trace.
func (l listenerTarget) tryListen(ctx context.Context) (mayBeTaken bool, err error) {
	if l.network == "unix" {
		// Listening there for a moment could leave a file behind. If the broker could not listen, the listener may still be a
		// socket that systemd created, or a broker of another user.
		info, statErr := os.Lstat(l.address)
		if err := unixsocket.CheckPath(l.address); err != nil {
			return statErr == nil && info.Mode()&os.ModeSocket != 0, fmt.Errorf("BROKER_LISTEN %w", err)
		}
		return statErr == nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", l.configured)
	if err != nil {
		mayBeTaken = neterr.IsErrno(err, syscall.EADDRINUSE) || neterr.IsErrno(err, syscall.EACCES)
		listener, err = server.Listen(ctx, l.variable, l.configured)
	}
	if err == nil {
		_ = listener.Close() // no connection was accepted yet
		return false, nil
	}
	return mayBeTaken, err
}

// identifyAppListener identifies a broker by its response to a request for an unknown account.
func identifyAppListener(ctx context.Context, l listenerTarget) (inUseBy string, isBroker bool) {
	_, header, body, err := l.get(ctx, server.UncountedCheckPath, 64<<10)
	var alert *net.OpError
	switch {
	case l.needsClientCert && errors.As(err, &alert) && alert.Op == "remote error": // a TLS alert
		return "a program that requires a client certificate, probably a broker", true
	case err != nil:
		return "another program, or by a broker with different settings", false
	}
	if name, _, _ := strings.Cut(header.Get("Proxy-Status"), ";"); name == "etrusted-broker" { // RFC 9209 section 2
		return "a broker", true
	}
	for _, known := range []string{"Tomcat", "Jetty", "Jenkins", "nginx", "Apache"} {
		if strings.Contains(header.Get("Server"), known) || bytes.Contains(body, []byte(known)) {
			return "another program: " + known, false
		}
	}
	return "another program that speaks HTTP, or by another listener of a broker", false
}

func identifyAdminListener(ctx context.Context, l listenerTarget) (inUseBy string, isBroker bool) {
	status, err := readStatus(ctx, l)
	if err != nil {
		inUseBy, _ = identifyAppListener(ctx, l)
		return inUseBy, false
	}
	const maxVersion = 80 // longer than a broker's
	state := "ready"
	if !status.Ready {
		state = "not ready: " + strings.TrimSpace(status.NotReadyReason)
	}
	return "a broker (version " + printable.Escape(status.Version, maxVersion) + "), " + printable.Escape(state, maxPrintedReplyLength), true
}

// get sends a request, without anything secret, to the program that listens on the address. It reads so much of the response.
func (l listenerTarget) get(ctx context.Context, path string, limit int64) (code int, header http.Header, body []byte, err error) {
	response, err := l.roundTrip(ctx, path)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = response.Body.Close() }() // the connection is not reused
	body, err = io.ReadAll(io.LimitReader(response.Body, limit))
	return response.StatusCode, response.Header, body, err
}

// roundTrip is get for a caller that reads and closes the body itself. The Host is localhost, which every broker allows.
func (l listenerTarget) roundTrip(ctx context.Context, path string) (*http.Response, error) {
	transport := &http.Transport{ // without a proxy: the program runs on this machine
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, l.network, l.address)
		},
		//nolint:gosec // G402: the peer is unknown, and is sent nothing secret.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	target := &url.URL{Scheme: "http", Host: "localhost", Path: path}
	if l.tls {
		target.Scheme = "https"
	}
	request := &http.Request{Method: http.MethodGet, URL: target, Header: http.Header{}}
	return transport.RoundTrip(request.WithContext(ctx))
}
