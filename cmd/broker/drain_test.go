package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// TestDrain holds what happens between SIGTERM and the end, in its order.
func TestDrain(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: time.Second})
	eTrusted.SetAPIFault(fakeetrusted.Answer(http.StatusOK, "application/json", "[]")) // the token is dead by then
	gate := make(chan struct{})
	arrived := make(chan struct{}, 1)
	url := serveHTTP(t, held(eTrusted, "/channels", gate, arrived))
	b := startBroker(t, nil, environFor(url, "BROKER_SHUTDOWN_GRACE="+patience.String()))
	b.ready()
	channels := getLater(b.url + "/channels")
	receive(t, "the request upstream", arrived)

	b.terminate()
	eventually(t, "/readyz tells of the shutdown", func() bool {
		got := get(t, b.admin+"/readyz")
		return got.status == http.StatusServiceUnavailable && strings.Contains(got.body, "shutting down")
	})
	eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if got := get(t, b.admin+"/healthz"); got.status != http.StatusOK {
		t.Errorf("/healthz: %d", got.status)
	}
	fetched := eTrusted.TokenRequestCount()
	eventually(t, "the token is refreshed meanwhile", func() bool { return eTrusted.TokenRequestCount() >= fetched+2 })
	select {
	case <-b.ended:
		t.Fatal("the broker ended with a request in flight")
	default:
	}

	close(gate)
	if got := receive(t, "an answer", channels); got.status != http.StatusOK || got.err != nil {
		t.Errorf("the request in flight: %d, %v", got.status, got.err)
	}
	if code := b.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(b.admin, "http://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the admin listener is still there: %v", err)
	}
	if len(b.logs.lines("all requests have ended")) != 1 {
		t.Errorf("log:\n%s", b.logs)
	}
}

func TestGraceIsOver(t *testing.T) {
	t.Parallel()
	for _, grace := range []string{"0s", "50ms"} {
		t.Run(grace, func(t *testing.T) {
			t.Parallel()
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			eTrusted.SetAPIFault(fakeetrusted.Hang())
			b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "BROKER_SHUTDOWN_GRACE="+grace))
			b.ready()
			channels := getLater(b.url + "/channels")
			eventually(t, "the request is upstream", func() bool { return eTrusted.APIRequestCount() == 1 })
			if code := b.stop(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if got := receive(t, "the cut", channels); got.err == nil {
				t.Errorf("the request was answered with %d %q", got.status, got.body)
			}
			if len(b.logs.lines("the grace is over: requests in flight are cut off")) != 1 {
				t.Errorf("log:\n%s", b.logs)
			}
		})
	}
}

// TestDrainOfWaitingRequests holds that requests that wait for the first token do not outlast their wait.
func TestDrainOfWaitingRequests(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetTokenFault(fakeetrusted.Hang())
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "BROKER_TOKEN_WAIT=100ms", "BROKER_SHUTDOWN_GRACE="+patience.String()))
	channels := getLater(b.url + "/channels")
	eventually(t, "the request waits", func() bool {
		return strings.Contains(get(t, b.admin+"/status.json").body, `"requests_waited": 1`)
	})
	if code := b.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if got := receive(t, "an answer", channels); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q, %v", got.status, got.header.Get("Retry-After"), got.err)
	}
}
