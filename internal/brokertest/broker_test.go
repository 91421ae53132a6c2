package brokertest_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/server"
)

// TestStartRunsBrokerUntilStop is also the example of how to use the test kit.
func TestStartRunsBrokerUntilStop(t *testing.T) {
	t.Parallel()
	serve := func(ctx context.Context, _, environ []string, _, stderr io.Writer) int { // as the command of that name
		c, problems := config.Load(environ)
		if len(problems) > 0 {
			return 2
		}
		if err := server.Run(ctx, c, server.Options{Log: stderr, OnListening: func(server.Listeners) {}}); err != nil {
			return 1
		}
		return 0
	}
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := brokertest.Start(t, serve, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("GET /channels: got status %d, want 200", got.Status)
	}
	raw := b.Dial(t)
	raw.Send(brokertest.PlainRequest("GET /channels", "Connection: close"))
	if got := raw.Rest(t); len(got) != 1 || got[0] != http.StatusOK {
		t.Errorf("got the statuses %v over a connection, want [200]", got)
	}
	if got := eTrusted.APIRequestCount(); got != 2 {
		t.Errorf("got %d requests at the API, want 2", got)
	}
	if code := b.Stop(); code != 0 {
		t.Errorf("got exit code %d, want 0", code)
	}
	if got := len(b.Logs.Lines("shutting down")); got != 1 {
		t.Errorf("got %d log lines about the shutdown, want 1:\n%s", got, b.Logs)
	}
}
