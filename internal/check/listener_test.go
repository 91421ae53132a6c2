package check

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

// TestIdentifiesBrokerWithManyAccounts: a broker is recognized even with a very long status.
func TestIdentifiesBrokerWithManyAccounts(t *testing.T) {
	t.Parallel()
	const account = 15 << 10
	body := `{"version":"1.2.3","ready":true,"accounts":[` + strings.TrimSuffix(strings.Repeat(`{"x":"`+strings.Repeat("y", account)+`"},`, 1000), ",") + `]}`
	server := &http.Server{Handler: fakeetrusted.Answer(200, "application/json", body), ReadHeaderTimeout: testTimeout}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	c := &checker{}
	if description, ok := c.identifyAdmin(t.Context(), ListenAddress{Network: "tcp", Address: listener.Addr().String()}); !ok || description != "in use by a broker (version 1.2.3), ready" {
		t.Errorf("got %q, %v, want a broker that is ready", description, ok)
	}
}
