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
	return brokertest.Start(t, runBroker, args, environ)
}

// invoke runs a command and returns its exit code and output. A command that runs a broker shuts it down at once.
func invoke(args []string, environ ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, err brokertest.LogBuffer
	code = run(ctx, "broker", args, environ, &out, &err)
	return code, out.String(), err.String()
}

// runBroker calls run under the name broker.
func runBroker(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	return run(ctx, "broker", args, environ, stdout, stderr)
}
