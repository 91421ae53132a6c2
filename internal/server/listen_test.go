package server

import (
	"net"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
)

func TestListenHostsAreSpecific(t *testing.T) {
	t.Parallel()
	tests := []struct {
		app, admin string
		want       []string
	}{
		{"127.0.0.1:8080", "127.0.0.1:9464", []string{"127.0.0.1", "127.0.0.1"}},
		{"broker.example:8080", "", []string{"broker.example"}},
		{"localhost:8080", ":9464", []string{"localhost"}},
		{"0.0.0.0:8080", "[::]:9464", nil}, // a browser takes 0.0.0.0 for this machine
		{"[::ffff:0.0.0.0]:8080", "", nil},
		{"[::1]:8080", "10.0.0.1:9464", []string{"::1", "10.0.0.1"}},
	}
	for _, test := range tests {
		if got := specificListenHosts(config.Config{Listen: test.app, AdminListen: test.admin}); !slices.Equal(got, test.want) {
			t.Errorf("%s and %s: got %q, want %q", test.app, test.admin, got, test.want)
		}
	}
}

// A broker that apps can no longer reach, or that operators can no longer watch, ends with an error.
func TestEndsWhenListenerFails(t *testing.T) {
	t.Parallel()
	c, problems := config.Load(brokertest.EnvironWithoutServers())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, closed := range []string{"app", "admin"} {
		listeners := map[string]net.Listener{}
		for _, name := range []string{"app", "admin"} {
			var err error
			if listeners[name], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		_ = listeners[closed].Close()
		b, err := newBroker(c, Build{}, zap.NewNop(), newAPIClient(c.API, c, currentLimits(c).idle, new(dialer.AddressFilteringTCPDialer)), NewLoginTransport(new(dialer.AddressFilteringTCPDialer)))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- b.serve(t.Context(), Listeners{App: []net.Listener{listeners["app"]}, Admin: listeners["admin"]})
		}()
		if err := brokertest.Receive(t, "the result of serve", ended); err == nil || !strings.Contains(err.Error(), "the "+closed+" listener failed") {
			t.Errorf("got %v, want an error about the %s listener", err, closed)
		}
	}
}
