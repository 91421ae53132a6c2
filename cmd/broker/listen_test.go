package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// getOverSocket sends a GET request over a Unix socket.
func getOverSocket(path, url string) brokertest.Response {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	return brokertest.ReadResponse(client.Get(url))
}

func TestServesOnUnixSocket(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("sockets have no mode on Windows")
	}
	path := filepath.Join(t.TempDir(), "broker.sock")
	environ := brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_LISTEN=unix://"+path)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as a broker that is killed leaves it
	_ = stale.Close()

	b := startBroker(t, nil, environ)
	if got := b.Logs.Lines("listening")[0]["app"]; got != "unix://"+path {
		t.Errorf("got the address %v, want unix://%s", got, path)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got the mode of the socket %v, %v, want 0660", info.Mode(), err)
	}
	b.WaitReady()
	for url, want := range map[string]int{"http://localhost/channels": 200, "http://shop.example/channels": 200} {
		if got := getOverSocket(path, url); got.Status != want {
			t.Errorf("%s: got status %d, %v, want %d", url, got.Status, got.Err, want)
		}
	}

	code, _, stderr := ask(nil, environ...)
	if code != exitFailure || !strings.Contains(stderr, "BROKER_LISTEN unix://"+path+" is in use by another program") {
		t.Errorf("a second broker: got exit code %d, want %d and the cause: %s", code, exitFailure, stderr)
	}
	if got := getOverSocket(path, "http://localhost/channels"); got.Status != http.StatusOK {
		t.Errorf("after the second broker: got status %d, %v, want 200", got.Status, got.Err)
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket after the end: got %v, want it removed", err)
	}
}

// The broker warns of a listener that other machines can use, unless it is protected.
func TestWarnsOfUnsafeListeners(t *testing.T) {
	t.Parallel()
	const unsafe, cleartext = "BROKER_UNSAFE_LISTEN is set: every program that can reach the app's listener can use the credentials",
		"the access key crosses the network unencrypted: set BROKER_TLS_CERT_FILE and BROKER_TLS_KEY_FILE"
	for _, test := range []struct {
		name     string
		environ  []string
		warnings []string
		metric   string
	}{
		{"loopback", []string{"BROKER_UNSAFE_LISTEN=true"}, nil, "0"},
		{"unsafe", []string{"BROKER_LISTEN=0.0.0.0:0", "BROKER_UNSAFE_LISTEN=true"}, []string{unsafe}, "1"},
		{"unsafe, IPv6", []string{"BROKER_LISTEN=[::]:0", "BROKER_UNSAFE_LISTEN=true"}, []string{unsafe}, "1"},
		{"key", []string{"BROKER_LISTEN=:0", "BROKER_ACCESS_KEY=0123456789abcdef"}, []string{cleartext}, "0"},
		{"key, and unsafe", []string{"BROKER_LISTEN=:0", "BROKER_ACCESS_KEY=0123456789abcdef", "BROKER_UNSAFE_LISTEN=true"}, []string{cleartext}, "0"},
		{"short key", []string{"BROKER_ACCESS_KEY=0123456789abcde"}, []string{"the access key is short and could be guessed: create one with 'openssl rand -hex 32'"}, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, nil, brokertest.EnvironWithoutServers(test.environ...))
			var warnings []string
			for _, warning := range []string{unsafe, cleartext, "the access key is short and could be guessed: create one with 'openssl rand -hex 32'"} {
				for range b.Logs.Lines(warning) {
					warnings = append(warnings, warning)
				}
			}
			if strings.Join(warnings, "\n") != strings.Join(test.warnings, "\n") {
				t.Errorf("got warnings %q, want %q", warnings, test.warnings)
			}
			if got := brokertest.Get(t, b.Admin+"/metrics"); !strings.Contains(got.Body, "\netrusted_broker_unsafe_listen "+test.metric+"\n") {
				t.Errorf("got another value of unsafe_listen, want %s", test.metric)
			}
		})
	}
}

func TestServesOnUnsafeListenerWithWarning(t *testing.T) {
	t.Parallel()
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	b := startBroker(t, nil, brokertest.Environ(eTrusted, "BROKER_LISTEN=0.0.0.0:0", "BROKER_UNSAFE_LISTEN=true"))
	const warning = "BROKER_UNSAFE_LISTEN is set: every program that can reach the app's listener can use the credentials"
	if lines := b.Logs.Lines(warning); len(lines) != 1 || lines[0]["level"] != "warn" {
		t.Errorf("got %d warnings, want 1:\n%s", len(lines), b.Logs)
	}
	if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
		t.Errorf("/channels: got status %d, want 200", got.Status)
	}
}
