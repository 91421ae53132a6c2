package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/printable"
)

// probeTimeout is for one request to the admin listener on the same machine.
const probeTimeout = 3 * time.Second

// maxPrintedReplyLength bounds a line of text from whatever listens at an address: more than a broker says of why it is not ready.
const maxPrintedReplyLength = 1 << 10

func healthCommand(ctx context.Context, i *invocation) error {
	address, err := i.adminAddress()
	if err != nil {
		return err
	}
	return probeAdmin(ctx, address, "/healthz")
}

func waitCommand(ctx context.Context, i *invocation) error {
	flags := i.flags()
	timeout := flags.Duration("timeout", 30*time.Second, "give up after this long")
	if err := i.parseNoArgs(flags); err != nil {
		return err
	}
	address, err := i.adminAddress()
	if err != nil {
		return err
	}
	return waitReady(ctx, address, *timeout)
}

// waitReady returns nil once the broker is ready. After the timeout, its error says why it is not.
func waitReady(ctx context.Context, address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	const interval = 100 * time.Millisecond // too short for a start script to notice
	var last error
	for {
		err := probeAdmin(ctx, address, "/readyz")
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // rather than that the timeout ended the last request
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up after %v: %w", timeout, last)
		case <-time.After(interval):
		}
	}
}

// adminAddress returns the address of the admin listener. It needs no other variable: health and wait may run without credentials.
func (i invocation) adminAddress() (string, error) {
	_, _ = i.addPackageVariables(packageConfigDir)                 // a user who may not read them has the defaults
	c, _ := config.DecodeVariables(config.EnvironToMap(i.environ)) // a string variable cannot be invalid here
	if c.AdminListen == "" {
		return "", exitError{exitUsageOrConfig, "BROKER_ADMIN_LISTEN is empty: set it to the address that the broker uses"}
	}
	host, port, err := config.SplitHostAndPortNumber(c.AdminListen)
	if err != nil {
		return "", exitError{exitUsageOrConfig, "BROKER_ADMIN_LISTEN: " + err.Error()}
	}
	return net.JoinHostPort(reachableHost(host), port), nil
}

// reachableHost returns the host at which to reach a listener: for one on all addresses, 127.0.0.1.
func reachableHost(host string) string {
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// probeAdmin sends one request to the admin listener and returns nil if the response is 200.
func probeAdmin(ctx context.Context, address, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	response, err := listenerTarget{network: "tcp", address: address}.roundTrip(ctx, path)
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case err != nil:
		return noAnswerError(address, err)
	}
	defer func() { _ = response.Body.Close() }() // a connection for one request
	if response.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil || len(body) == 0 {
		return fmt.Errorf("%s answers %d", path, response.StatusCode)
	}
	return errors.New(printable.Escape(strings.TrimSpace(string(body)), maxPrintedReplyLength)) // of whatever listens there
}

// noAnswerError replaces the error of a request to the admin listener, which may quote data from whatever listens there.
func noAnswerError(address string, err error) error {
	return fmt.Errorf("%w: is it running?", neterr.Describe("the broker's admin listener on "+address, err))
}
