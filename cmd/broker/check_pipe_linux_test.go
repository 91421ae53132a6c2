package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// TestCheckDoesNotBlockOnPipes: a pipe in place of a file does not block the check, which no signal could then end.
func TestCheckDoesNotBlockOnPipes(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	url := brokertest.Serve(t, eTrusted)
	secure := tlsServer(t, eTrusted, brokertest.NewCA(t, "a"), forLoopback())
	for name, test := range map[string]struct {
		environ []string
		code    int
	}{
		"secret":      {[]string{"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE=" + pipe}, exitUsageOrConfig},
		"key":         {[]string{"BROKER_ACCESS_KEY_FILE=" + pipe}, exitUsageOrConfig},
		"TLS":         {[]string{"BROKER_TLS_CERT_FILE=" + pipe, "BROKER_TLS_KEY_FILE=" + pipe}, exitUsageOrConfig},
		"authorities": {[]string{"ETRUSTED_API_URL=" + secure, "SSL_CERT_FILE=" + pipe}, exitUsageOrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan int, 1)
			var stdout, stderr brokertest.LogBuffer
			go func() {
				ended <- run(t.Context(), "broker", []string{"check"}, brokertest.Environ(url, test.environ...), &stdout, &stderr)
			}()
			if code := brokertest.Receive(t, "the check ends", ended); code != test.code || !strings.Contains(stdout.String()+stderr.String(), "no") {
				t.Errorf("got exit code %d, want %d and a message:\n%s%s", code, test.code, &stdout, &stderr)
			}
		})
	}
}
