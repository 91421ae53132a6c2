package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestCheckReportsUseOfListenAddresses(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	url := brokertest.Serve(t, eTrusted)
	ready := startBroker(t, nil, brokertest.Environ(url, "BROKER_ACCESS_KEY=0123456789abcdef"))
	ready.WaitReady()
	notReady := startBroker(t, nil, brokertest.Environ(url, "ETRUSTED_CLIENT_SECRET=wrong"))
	brokertest.Eventually(t, "the rejection is known", func() bool { return len(notReady.Logs.Lines("token request failed")) == 1 })
	before := eTrusted.APIRequestCount()
	addressOf := func(url string) string { return strings.TrimPrefix(url, "http://") }
	otherProgram := addressOf(brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Status", `another; details="etrusted-broker"`)
		_, _ = io.WriteString(w, `{"version":"1"}`)
	})))
	dir := t.TempDir()
	listenUnix := func(path string) net.Listener {
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return listener
	}
	otherSocket := filepath.Join(dir, "other.sock")
	t.Cleanup(func() { _ = listenUnix(otherSocket).Close() })
	stale := filepath.Join(dir, "stale.sock")
	leftover := listenUnix(stale).(*net.UnixListener)
	leftover.SetUnlinkOnClose(false)
	_ = leftover.Close()
	brokerSocket := filepath.Join(dir, "broker", "broker.sock")
	if err := os.Mkdir(filepath.Dir(brokerSocket), 0o700); err != nil {
		t.Fatal(err)
	}
	startBroker(t, nil, brokertest.Environ(url, "BROKER_LISTEN=unix://"+brokerSocket))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name, app, admin string
		failed           []string
		output           []string
	}{
		{"free", freeAddress(t), freeAddress(t), nil, []string{" is free\n"}},
		{"everywhere", "0.0.0.0:" + portOf(t, freeAddress(t)), "", nil, []string{" is free\n", "– admin listener", "skipped: turned off, BROKER_ADMIN_LISTEN is empty"}},
		{"a broker that is ready", addressOf(ready.URL), addressOf(ready.Admin), nil,
			[]string{"in use by a broker\n", "in use by a broker (version dev), ready\n"}},
		{"a broker that is not ready", addressOf(notReady.URL), addressOf(notReady.Admin), nil,
			[]string{"in use by a broker (version dev), not ready: the login server rejected the credentials (401"}},
		{"a broker, everywhere", "0.0.0.0:" + portOf(t, addressOf(ready.URL)), ":" + portOf(t, addressOf(ready.Admin)), nil,
			[]string{"in use by a broker\n", ", ready\n"}},
		{"another program for the app", otherProgram, "", []string{"app's listener"}, []string{otherProgram + " is in use by another program", "set BROKER_LISTEN to another address", "Problem: this machine (app's listener)."}},
		{"another program for the admin", freeAddress(t), otherProgram, []string{"admin listener"}, []string{otherProgram + " is in use by another program", "set BROKER_ADMIN_LISTEN to another address"}},
		{"a program that does not respond", silentServer(t), "", []string{"app's listener"}, []string{" is in use by another program"}},
		{"the admin's address for the app", addressOf(ready.Admin), "", []string{"app's listener"}, []string{" is in use by another program"}},
		{"not of this machine", freeAddress(t), "192.0.2.1:9464", []string{"admin listener"}, []string{"BROKER_ADMIN_LISTEN 192.0.2.1:9464 is not an address of this machine"}},
		{"unix, free", "unix://" + filepath.Join(dir, "free.sock"), "", nil, []string{"free.sock is free"}},
		{"unix, stale", "unix://" + stale, "", nil, []string{"stale.sock is free"}},
		{"unix, a broker", "unix://" + brokerSocket, "", nil, []string{"in use by a broker"}},
		{"unix, another program", "unix://" + otherSocket, "", []string{"app's listener"}, []string{"unix://" + otherSocket + " is in use by another program"}},
		{"unix, a file", "unix://" + file, "", []string{"app's listener"}, []string{"is a file, not a socket"}},
		{"unix, no directory", "unix:///nosuch/broker.sock", "", []string{"app's listener"}, []string{"is in a directory that does not exist: create it"}},
	}
	listener := listenUnix(otherSocket)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	checks := 0
	for _, test := range tests {
		environ := brokertest.Environ(url, "BROKER_LISTEN="+test.app, "BROKER_ADMIN_LISTEN="+test.admin, "BROKER_UNSAFE_LISTEN=true")
		code, stdout, stderr := ask([]string{"check"}, environ...)
		checks++
		t.Run(test.name, func(t *testing.T) {
			if test.failed != nil {
				mustDiagnose(t, code, stdout, stderr, test.failed, test.output...)
				return
			}
			if code != exitOK || stderr != "" {
				t.Errorf("got exit code %d, want %d and no errors:\n%s%s", code, exitOK, stdout, stderr)
			}
			for _, part := range test.output {
				if !strings.Contains(stdout, part) {
					t.Errorf("got no %q in:\n%s", part, stdout)
				}
			}
		})
	}
	if n := eTrusted.APIRequestCount() - before; n != checks {
		t.Errorf("got %d requests to the API in %d checks, want one each: a broker has forwarded a probe", n, checks)
	}
	if _, err := os.Lstat(stale); err != nil {
		t.Errorf("the stale socket after the check: got %v, want it to stay", err)
	}
}

// freeAddress returns a free address. Its port is below the range from which systems choose, so that no other test gets it.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestCheckRecognisesBrokerWithTLS: check recognises a broker by its response, and says if a client certificate is required.
func TestCheckRecognisesBrokerWithTLS(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	a := brokertest.NewCA(t, "servers")
	files := newTLSFiles(t)
	files.writePair(t, a, "first", time.Hour)
	brokertest.ReplaceFile(t, files.clientCA, a.CertificatePEM())
	for _, test := range []struct {
		more   []string
		output string
	}{
		{nil, "in use by a broker"},
		{[]string{"BROKER_TLS_CLIENT_CA_FILE=" + files.clientCA}, "in use by a program that requires a client certificate"},
	} {
		environ := append(brokertest.Environ(url, "BROKER_TLS_CERT_FILE="+files.cert, "BROKER_TLS_KEY_FILE="+files.key), test.more...)
		b := startBroker(t, nil, environ)
		b.WaitReady()
		code, stdout, stderr := ask([]string{"check"}, append(environ, "BROKER_LISTEN="+strings.TrimPrefix(b.URL, "http://"), "BROKER_ADMIN_LISTEN=")...)
		if code != exitOK || !strings.Contains(stdout, test.output) || !strings.Contains(stdout, files.key+" (0600)") {
			t.Errorf("got exit code %d, want %d and %q:\n%s%s", code, exitOK, test.output, stdout, stderr)
		}
	}
}
