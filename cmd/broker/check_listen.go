package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
	"etrusted-broker/internal/unixsocket"
)

// listenAddress returns how to connect to a listener. address must be valid.
func listenAddress(name, variable, address string) check.ListenAddress {
	l := check.ListenAddress{Name: name, Variable: variable, Display: address}
	if !config.IsDisplayableAddress(address) {
		l.Display = variable // the host may be a secret in the wrong place
	}
	if path, isUnix := config.UnixPath(address); isUnix {
		l.Network, l.Address = "unix", path
		l.Probe = func(context.Context) (bool, error) { return trySocket(path) }
		return l
	}
	host, port, _ := net.SplitHostPort(address)
	if number, _ := net.LookupPort("tcp", port); number == 0 {
		return l // the system chooses the port
	}
	l.Network, l.Address = "tcp", net.JoinHostPort(reachableHost(host), port)
	l.Probe = func(ctx context.Context) (bool, error) { return tryPort(ctx, variable, address) }
	return l
}

// tryPort listens on a port for a moment, to see whether the broker could. Its error is that of 'broker serve'.
func tryPort(ctx context.Context, variable, address string) (mayBeTaken bool, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		mayBeTaken = errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)
		listener, err = server.Listen(ctx, variable, address)
	}
	if err == nil {
		_ = listener.Close() // no connection was accepted yet
		return false, nil
	}
	return mayBeTaken, err
}

// trySocket examines the path of a Unix socket. Listening there for a moment could leave a file behind. If the broker could not
// listen, the listener may still be a socket that systemd created, or a broker of another user.
func trySocket(path string) (mayBeTaken bool, err error) {
	info, statErr := os.Lstat(path)
	if err := unixsocket.Check(path); err != nil {
		return statErr == nil && info.Mode()&os.ModeSocket != 0, fmt.Errorf("BROKER_LISTEN %w", err)
	}
	return statErr == nil, nil
}
