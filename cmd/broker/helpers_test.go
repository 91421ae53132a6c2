package main

import (
	"context"
	"io"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// startBroker runs the program in this process, and returns once it listens. The end of the test stops it, if the test has not
// done so. brokertest.Environ makes a suitable environment.
func startBroker(t *testing.T, args, environ []string) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
		return run(ctx, "broker", args, environ, stdout, stderr)
	}, args, environ)
}

// invoke runs a command and returns its exit code and output. A command that runs a broker shuts it down at once.
func invoke(args []string, environ ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return invokeIn(ctx, args, environ)
}

// ask is invoke for a command that must not be interrupted. It runs for at most brokertest.Timeout.
func ask(args []string, environ ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithTimeout(context.Background(), brokertest.Timeout)
	defer cancel()
	return invokeIn(ctx, args, environ)
}

// invokeIn runs a command until ctx is done.
func invokeIn(ctx context.Context, args, environ []string) (code int, stdout, stderr string) {
	var out, err brokertest.LogBuffer
	code = run(ctx, "broker", args, environ, &out, &err)
	return code, out.String(), err.String()
}
