package main

import (
	"context"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// startBroker runs the program in this process and returns once it listens. It is stopped when the test ends, at the latest.
// environ is as environFor returns it.
func startBroker(t *testing.T, args, environ []string) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, run, args, environ)
}

// invoke runs a command that ends by itself. Should it run a broker, that is shut down at once.
func invoke(args []string, environ ...string) (code int, stdout, stderr string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, err brokertest.LogBuffer
	code = run(ctx, args, environ, &out, &err)
	return code, out.String(), err.String()
}
