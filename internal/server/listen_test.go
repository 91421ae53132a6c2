package server

import (
	"slices"
	"testing"

	"etrusted-broker/internal/config"
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
		{"0.0.0.0:8080", "[::]:9464", nil}, // to a browser, 0.0.0.0 is this machine
		{"[::ffff:0.0.0.0]:8080", "", nil},
		{"[::1]:8080", "10.0.0.1:9464", []string{"::1", "10.0.0.1"}},
	}
	for _, test := range tests {
		if got := listenHosts(config.Config{Listen: test.app, AdminListen: test.admin}); !slices.Equal(got, test.want) {
			t.Errorf("%s and %s: %q, want %q", test.app, test.admin, got, test.want)
		}
	}
}
