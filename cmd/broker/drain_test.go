package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// TestDrainWaitsForRequestsInFlight holds what happens between SIGTERM and the end, in its order.
func TestDrainWaitsForRequestsInFlight(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: time.Second})
	eTrusted.SetAPIFault(fakeetrusted.Answer(http.StatusOK, "application/json", "[]")) // the token is dead by then
	gate := make(chan struct{})
	arrived := make(chan struct{}, 1)
	url := brokertest.Serve(t, brokertest.HoldRequests(eTrusted, "/channels", gate, arrived))
	b := startBroker(t, nil, brokertest.Environ(url, "BROKER_SHUTDOWN_GRACE="+brokertest.Timeout.String()))
	b.WaitReady()
	channels := brokertest.GetAsync(b.URL + "/channels")
	brokertest.Receive(t, "the request upstream", arrived)

	b.Terminate()
	brokertest.Eventually(t, "/readyz tells of the shutdown", func() bool {
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
		t.Errorf("/healthz: %d", got.Status)
	}
	fetched := eTrusted.TokenRequestCount()
	brokertest.Eventually(t, "the token is refreshed meanwhile", func() bool { return eTrusted.TokenRequestCount() >= fetched+2 })
	select {
	case <-b.Ended:
		t.Fatal("the broker ended with a request in flight")
	default:
	}

	close(gate)
	if got := brokertest.Receive(t, "an answer", channels); got.Status != http.StatusOK || got.Err != nil {
		t.Errorf("the request in flight: %d, %v", got.Status, got.Err)
	}
	if code := b.Wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(b.Admin, "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the admin listener is still there: %v", err)
	}
	if len(b.Logs.Lines("all requests have ended")) != 1 {
		t.Errorf("log:\n%s", b.Logs)
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
				t.Errorf("exit code %d", code)
			}
			if got := brokertest.Receive(t, "the cut", channels); got.Err == nil {
				t.Errorf("the request was answered with %d %q", got.Status, got.Body)
			}
			if len(b.Logs.Lines("the grace is over: requests in flight are cut off")) != 1 {
				t.Errorf("log:\n%s", b.Logs)
			}
		})
	}
}

// TestDrainAnswersRequestsWaitingForToken holds that requests that wait for the first token do not outlast their wait.
func TestDrainAnswersRequestsWaitingForToken(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetTokenFault(fakeetrusted.Hang())
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_TOKEN_WAIT=100ms", "BROKER_SHUTDOWN_GRACE="+brokertest.Timeout.String()))
	channels := brokertest.GetAsync(b.URL + "/channels")
	brokertest.Eventually(t, "the request waits", func() bool {
		return strings.Contains(brokertest.Get(t, b.Admin+"/status.json").Body, `"waits": 1`)
	})
	if code := b.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if got := brokertest.Receive(t, "an answer", channels); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q, %v", got.Status, got.Header.Get("Retry-After"), got.Err)
	}
}
