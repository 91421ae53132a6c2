package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// This follows the order of events between SIGTERM and the end.
func TestDrainWaitsForRequestsInFlight(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: time.Second})
	eTrusted.SetAPIFault(fakeetrusted.Answer(http.StatusOK, "application/json", "[]")) // its token may have expired
	gate := make(chan struct{})
	arrived := make(chan struct{}, 1)
	url := brokertest.Serve(t, brokertest.HoldRequests(eTrusted, "/channels", gate, arrived))
	b := startBroker(t, nil, brokertest.Environ(url, "BROKER_SHUTDOWN_GRACE="+brokertest.Timeout.String()))
	b.WaitReady()
	channels := brokertest.GetAsync(b.URL + "/channels")
	brokertest.Receive(t, "the request upstream", arrived)

	b.Terminate()
	brokertest.Eventually(t, "/readyz reports the shutdown", func() bool {
		got := brokertest.Get(t, b.Admin+"/readyz")
		return got.Status == http.StatusServiceUnavailable && strings.Contains(got.Body, "shutting down")
	})
	brokertest.Eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if got := brokertest.Get(t, b.Admin+"/healthz"); got.Status != http.StatusOK {
		t.Errorf("/healthz: got status %d, want 200", got.Status)
	}
	fetched := eTrusted.TokenRequestCount()
	brokertest.Eventually(t, "the token is refreshed during the drain", func() bool { return eTrusted.TokenRequestCount() >= fetched+2 })
	select {
	case <-b.Ended:
		t.Fatal("the broker ended with a request in flight, want it to wait")
	default:
	}

	close(gate)
	if got := brokertest.Receive(t, "the response", channels); got.Status != http.StatusOK || got.Err != nil {
		t.Errorf("the request in flight: got status %d, %v, want 200", got.Status, got.Err)
	}
	if code := b.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(b.Admin, "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to the admin listener: got %v, want a refused connection", err)
	}
	if n := len(b.Logs.Lines("all requests have finished")); n != 1 {
		t.Errorf("got %d lines about the end of all requests, want 1:\n%s", n, b.Logs)
	}
}

func TestDrainEndsWithGracePeriod(t *testing.T) {
	t.Parallel()
	for _, grace := range []string{"0s", "50ms"} {
		t.Run(grace, func(t *testing.T) {
			t.Parallel()
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			eTrusted.SetAPIFault(fakeetrusted.Hang())
			b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_SHUTDOWN_GRACE="+grace))
			b.WaitReady()
			channels := brokertest.GetAsync(b.URL + "/channels")
			brokertest.Eventually(t, "the request is upstream", func() bool { return eTrusted.APIRequestCount() == 1 })
			if code := b.Stop(); code != exitOK {
				t.Errorf("got exit code %d, want %d", code, exitOK)
			}
			if got := brokertest.Receive(t, "the end of the request", channels); got.Err == nil {
				t.Errorf("the request: got status %d and %q, want an error", got.Status, got.Body)
			}
			if n := len(b.Logs.Lines("grace period over; closing the requests in flight")); n != 1 {
				t.Errorf("got %d lines about the end of the grace period, want 1:\n%s", n, b.Logs)
			}
		})
	}
}

// A request that waits for the first token gets its 503 after BROKER_TOKEN_WAIT, during a drain too.
func TestDrainAnswersRequestsWaitingForToken(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetTokenFault(fakeetrusted.Hang())
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TOKEN_WAIT=100ms", "BROKER_SHUTDOWN_GRACE="+brokertest.Timeout.String()))
	channels := brokertest.GetAsync(b.URL + "/channels")
	brokertest.Eventually(t, "the request waits", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/status.json").Body, `"requests_waited": 1`)
	})
	if code := b.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
	if got := brokertest.Receive(t, "the response", channels); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("got status %d with Retry-After %q, %v, want 503 with Retry-After", got.Status, got.Header.Get("Retry-After"), got.Err)
	}
}

// Connections without a request in flight do not delay the shutdown.
func TestDrainIgnoresIdleConnections(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_SHUTDOWN_GRACE=1h"))
	b.WaitReady()
	for name, sent := range map[string]string{
		"no request":     "",
		"a request done": "GET /channels HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if name == "a request done" {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response, err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
		}
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
	if n := len(b.Logs.Lines("all requests have finished")); n != 1 {
		t.Errorf("got %d lines about the end of all requests, want 1:\n%s", n, b.Logs)
	}
}
