package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// probeTimeout is for one question to the admin listener, which is next door.
const probeTimeout = 3 * time.Second

func healthCommand(ctx context.Context, i invocation) int {
	address, ok := i.adminAddress("health")
	if !ok {
		return exitConfig
	}
	if err := probe(ctx, address, "/healthz"); err != nil {
		say(i.stderr, "broker health: %v", err)
		return exitFailure
	}
	return exitOK
}

// waitPause is how often the wait command asks: often enough that a start script does not notice.
const waitPause = 100 * time.Millisecond

func waitCommand(ctx context.Context, i invocation) int {
	flags := flag.NewFlagSet("broker wait", flag.ContinueOnError)
	flags.SetOutput(i.stderr)
	timeout := flags.Duration("timeout", 30*time.Second, "give up after this long")
	if err := flags.Parse(i.args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitConfig
	}
	if flags.NArg() > 0 {
		say(i.stderr, "broker wait: takes no arguments but -timeout")
		return exitConfig
	}
	address, ok := i.adminAddress("wait")
	if !ok {
		return exitConfig
	}
	if err := waitReady(ctx, address, *timeout); err != nil {
		say(i.stderr, "broker wait: %v", err)
		return exitFailure
	}
	return exitOK
}

// waitReady returns nil once the broker is ready, and after the time-out why it is not.
func waitReady(ctx context.Context, address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := errors.New("it was not asked")
	for {
		err := probe(ctx, address, "/readyz")
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err // and not that the time-out broke the question off
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up after %v: %w", timeout, last)
		case <-time.After(waitPause):
		}
	}
}

// adminAddress returns where to ask: health and wait need no other variable, since they may run where the credentials
// are not.
func (i invocation) adminAddress(command string) (string, bool) {
	c, problems := parseConfig(environment(i.environ))
	for _, problem := range problems {
		if problem.variable == "BROKER_ADMIN_LISTEN" {
			say(i.stderr, "broker %s: %v", command, problem)
			return "", false
		}
	}
	if value, set := environment(i.environ)["BROKER_ADMIN_LISTEN"]; set && value == "" {
		say(i.stderr, "broker %s: BROKER_ADMIN_LISTEN is empty, so there is nobody to ask: set it as the broker has it", command)
		return "", false
	}
	host, port, err := net.SplitHostPort(c.AdminListen)
	if err != nil {
		say(i.stderr, "broker %s: BROKER_ADMIN_LISTEN: must be HOST:PORT, such as 127.0.0.1:9464", command)
		return "", false
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1" // who listens everywhere listens there
	}
	return net.JoinHostPort(host, port), true
}

// probe asks the admin listener one question, and returns nil if the answer is 200.
func probe(ctx context.Context, address, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	// No proxy: what is asked is next door.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("the broker's admin listener does not answer on %s: is it running? (%w)", address, err)
	}
	defer func() { _ = response.Body.Close() }() // one question, one answer
	if response.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil || len(text) == 0 {
		return fmt.Errorf("%s answers %d", path, response.StatusCode)
	}
	return errors.New(strings.TrimSpace(string(text)))
}
