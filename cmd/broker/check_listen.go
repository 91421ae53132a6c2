package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"etrusted-broker/internal/check"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
	"etrusted-broker/internal/unixsocket"
)

func appListener(c config.Config) check.ListenAddress {
	l := listenerFor("BROKER_LISTEN", c.Listen)
	l.Name = "app's listener"
	l.TLS, l.RequiresClientCert = c.TLSCertFile != "", c.TLSClientCAFile != ""
	return l
}

// adminListener returns nil if it is off.
func adminListener(c config.Config) *check.ListenAddress {
	if c.AdminListen == "" {
		return nil
	}
	l := listenerFor("BROKER_ADMIN_LISTEN", c.AdminListen)
	l.Name = "admin listener"
	return &l
}

// listenerFor returns how to connect to a listener. address must be valid.
func listenerFor(variable, address string) check.ListenAddress {
	l := check.ListenAddress{Variable: variable, Display: address}
	if !config.IsPlainAddress(address) {
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

// tryPort listens on a port for a moment, to see whether the broker could.
func tryPort(ctx context.Context, variable, address string) (mayBeTaken bool, err error) {
	var listenConfig net.ListenConfig
	listener, err := listenConfig.Listen(ctx, "tcp", address)
	if err == nil {
		_ = listener.Close() // no connection was accepted yet
		return false, nil
	}
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES), wordsFor(ctx, variable, address)
}

// wordsFor returns the error that 'broker serve' would report.
func wordsFor(ctx context.Context, variable, address string) error {
	listener, err := server.Listen(ctx, variable, address)
	if err == nil {
		_ = listener.Close() // it has just become free
	}
	return err
}

// trySocket examines the path of a Unix socket. Listening there for a moment could leave a file behind.
func trySocket(path string) (mayBeTaken bool, err error) {
	if err := config.CheckDir(filepath.Dir(path)); err != nil {
		return false, fmt.Errorf("BROKER_LISTEN unix://%s cannot be created: %w", path, err)
	}
	if err := unixsocket.Check(path); err != nil {
		// The listener may still be a socket that systemd created, or a broker of another user.
		info, lookErr := os.Lstat(path)
		return lookErr == nil && info.Mode()&os.ModeSocket != 0, fmt.Errorf("BROKER_LISTEN %w", err)
	}
	info, err := os.Lstat(path)
	switch {
	case err != nil: // free
		return false, nil
	case info.Mode()&os.ModeSocket == 0:
		return false, fmt.Errorf("BROKER_LISTEN unix://%s is there already, and is no socket", path)
	}
	return true, nil
}
