package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/unixsocket"
)

func (c config) appListener() check.Listener {
	l := listenerFor("BROKER_LISTEN", c.Listen)
	l.Name = "app's listener"
	l.TLS, l.RequiresClientCert = c.certificates != nil, c.TLSClientCAFile != ""
	return l
}

// adminListener returns nil if it is turned off.
func (c config) adminListener() *check.Listener {
	if c.AdminListen == "" {
		return nil
	}
	l := listenerFor("BROKER_ADMIN_LISTEN", c.AdminListen)
	l.Name = "admin listener"
	return &l
}

// listenerFor returns the listener of a valid address.
func listenerFor(variable, address string) check.Listener {
	l := check.Listener{Variable: variable, Display: address}
	if !isPlainAddress(address) {
		l.Display = variable // the host may be a secret in the wrong place
	}
	if path, isUnix := unixPath(address); isUnix {
		l.Network, l.Address = "unix", path
		l.Probe = func(context.Context) (bool, error) { return trySocket(path) }
		return l
	}
	host, port, _ := net.SplitHostPort(address)
	if number, _ := net.LookupPort("tcp", port); number == 0 {
		return l // the system chooses one
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1" // listening on all addresses includes this one
	}
	l.Network, l.Address = "tcp", net.JoinHostPort(host, port)
	l.Probe = func(ctx context.Context) (bool, error) { return tryPort(ctx, variable, address) }
	return l
}

// tryPort listens on a port for a moment.
func tryPort(ctx context.Context, variable, address string) (mayBeTaken bool, err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err == nil {
		_ = listener.Close() // nothing has come in yet
		return false, nil
	}
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES), wordsFor(ctx, variable, address)
}

// wordsFor is what 'broker serve' would say.
func wordsFor(ctx context.Context, variable, address string) error {
	listener, err := listenOn(ctx, variable, address)
	if err == nil {
		_ = listener.Close() // it has become free just now
	}
	return err
}

// trySocket looks at the place of a Unix socket. To listen there for a moment would leave traces.
func trySocket(path string) (mayBeTaken bool, err error) {
	if err := checkDir(filepath.Dir(path)); err != nil {
		return false, fmt.Errorf("BROKER_LISTEN unix://%s cannot be created: %w", path, err)
	}
	if err := unixsocket.Check(path); err != nil {
		// It may still be in use: a socket that systemd created, or a broker of another user.
		info, lookErr := os.Lstat(path)
		return lookErr == nil && info.Mode()&os.ModeSocket != 0, fmt.Errorf("BROKER_LISTEN %w", err)
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil: // the path is free
		return false, nil
	case info.Mode()&os.ModeSocket == 0:
		return false, fmt.Errorf("BROKER_LISTEN unix://%s is there already, and is no socket", path)
	}
	return true, nil
}
