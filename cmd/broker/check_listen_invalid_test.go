package main

import (
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// TestCheckReportsUnusableListenAddresses: check reports addresses with which 'broker serve' does not start.
func TestCheckReportsUnusableListenAddresses(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	for _, test := range []struct {
		name, step, output string
		environ            []string
	}{
		{"one port", "admin listener", "BROKER_LISTEN and BROKER_ADMIN_LISTEN use the same port", []string{"BROKER_LISTEN=127.0.0.1:1", "BROKER_ADMIN_LISTEN=127.0.0.1:1"}},
		{"too long", "app's listener", "is too long", []string{"BROKER_LISTEN=unix://" + filepath.Join(t.TempDir(), strings.Repeat("x", 120))}},
		{"unclean", "app's listener", "an empty part or one of dots", []string{"BROKER_LISTEN=unix://" + t.TempDir() + "//x.sock"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := ask([]string{"check"}, brokertest.Environ(url, test.environ...)...)
			if code != exitFailure || !strings.Contains(stdout, "✗ "+test.step) || !strings.Contains(stdout, test.output) {
				t.Errorf("got exit code %d, want %d, ✗ %s and %q:\n%s%s", code, exitFailure, test.step, test.output, stdout, stderr)
			}
		})
	}
}
