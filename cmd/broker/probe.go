package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/printable"
)

// probeTimeout is for one request to the admin listener on the same machine.
const probeTimeout = 3 * time.Second

// maxPeerText bounds a line of text from whatever listens at an address: more than a broker says of why it is not ready.
const maxPeerText = 1 << 10

func healthCommand(ctx context.Context, i invocation) int {
	address, ok := i.adminAddress("health")
	if !ok {
		return exitConfig
	}
	if err := probe(ctx, address, "/healthz"); err != nil {
		printLine(i.stderr, "%s health: %v", i.program, err)
		return exitFailure
	}
	return exitOK
}

// waitInterval is the interval of the wait command, short enough for a start script not to notice.
const waitInterval = 100 * time.Millisecond

func waitCommand(ctx context.Context, i invocation) int {
	flags := i.flags("wait")
	timeout := flags.Duration("timeout", 30*time.Second, "give up after this long")
	if code, ok := i.parseNoArgs(flags); !ok {
		return code
	}
	address, ok := i.adminAddress("wait")
	if !ok {
		return exitConfig
	}
	if err := waitReady(ctx, address, *timeout); err != nil {
		printLine(i.stderr, "%s wait: %v", i.program, err)
		return exitFailure
	}
	return exitOK
}

// waitReady returns nil once the broker is ready. After the timeout, its error says why it is not.
func waitReady(ctx context.Context, address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		err := probe(ctx, address, "/readyz")
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // rather than that the timeout ended the last request
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up after %v: %w", timeout, last)
		case <-time.After(waitInterval):
		}
	}
}

// adminAddress returns the address of the admin listener. health and wait need no other variable: they may run where the
// credentials are not available.
func (i invocation) adminAddress(command string) (address string, ok bool) {
	_, _ = i.addPackageVariables(packageDir)                     // a user who may not read them has the defaults
	c, _ := config.ParseVariables(config.Environment(i.environ)) // a string variable cannot be invalid here
	if c.AdminListen == "" {
		printLine(i.stderr, "%s %s: BROKER_ADMIN_LISTEN is empty: set it to the address that the broker uses", i.program, command)
		return "", false
	}
	host, port, err := config.SplitListenAddress(c.AdminListen)
	if err != nil {
		printLine(i.stderr, "%s %s: BROKER_ADMIN_LISTEN: %v", i.program, command, err)
		return "", false
	}
	return net.JoinHostPort(reachableHost(host), port), true
}

// reachableHost returns the host at which to reach a listener: for one on all addresses, 127.0.0.1.
func reachableHost(host string) string {
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// probe sends one request to the admin listener and returns nil if the response is 200.
func probe(ctx context.Context, address, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: address, Path: path}, Header: http.Header{}}
	// No proxy: the listener is on this machine.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return context.Canceled
		}
		// The error's text may quote data from whatever listens there.
		return fmt.Errorf("%w: is it running?", neterr.Describe("the broker's admin listener on "+address, err))
	}
	defer func() { _ = response.Body.Close() }() // a connection for one request
	if response.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil || len(text) == 0 {
		return fmt.Errorf("%s answers %d", path, response.StatusCode)
	}
	return errors.New(printable.Escape(strings.TrimSpace(string(text)), maxPeerText)) // of whatever listens there
}
