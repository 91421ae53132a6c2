package server

import (
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
)

// TestEndsWhenListenerFails holds that a broker that can no longer be reached, or no longer be watched, ends and says so.
func TestEndsWhenListenerFails(t *testing.T) {
	t.Parallel()
	c, problems := config.Load(brokertest.EnvironWithoutServers())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, dead := range []string{"app", "admin"} {
		listeners := map[string]net.Listener{}
		for _, name := range []string{"app", "admin"} {
			var err error
			if listeners[name], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		_ = listeners[dead].Close()
		b, err := newBroker(c, Build{}, zap.NewNop(), newAPITransport(brokertest.Timeout), NewLoginTransport())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.serve(t.Context(), listeners["app"], listeners["admin"]) }()
		if err := brokertest.Receive(t, "the end", ended); err == nil || !strings.Contains(err.Error(), "the "+dead+" listener failed") {
			t.Errorf("%s: %v", dead, err)
		}
	}
}
