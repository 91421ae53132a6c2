package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/server"
)

// The request by which check finds a broker is no refusal that an operator should look into.
func TestCheckLeavesNoTraceInTheStatus(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b.WaitReady()
	if got := brokertest.Get(t, b.URL+server.UncountedCheckPath); got.Status != http.StatusNotFound {
		t.Errorf("got status %d, want 404", got.Status)
	}
	b.WaitRecorded()
	status := brokertest.Get(t, b.Admin+"/status.json").Body
	if strings.Contains(status, "BROKER-CHECK") || !strings.Contains(status, `"state":"healthy"`) && !strings.Contains(status, `"state": "healthy"`) {
		t.Errorf("got a trace of the request, want none and a healthy broker:\n%s", status)
	}
}

// A login server that was never asked has rejected nothing.
func TestStatusTellsUnreadableFromRejectedCredentials(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})),
		"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+filepath.Join(t.TempDir(), "secret"), "BROKER_TOKEN_WAIT=0s"))
	brokertest.Eventually(t, "the credentials are read", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/readyz").Body, "cannot read the credentials")
	})
	for path, want := range map[string]string{
		b.Admin + "/status.json": "It was not asked: the credentials cannot be read.",
		b.URL + "/channels":      "urn:etrusted-broker:problem:credentials-unreadable",
	} {
		if got := brokertest.Get(t, path).Body; !strings.Contains(got, want) || strings.Contains(got, "rejects") {
			t.Errorf("%s: got %s, want %q and nothing about a rejection", path, got, want)
		}
	}
}
