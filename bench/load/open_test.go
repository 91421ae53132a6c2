package load

import (
	"net/http"
	"testing"
	"time"
)

// A server that stalls must not reduce the rate: that is the purpose of an open loop.
func TestOpenLoopKeepsItsRate(t *testing.T) {
	server := newCountingServer(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		servePage(rw, r)
	})
	requests, err := runOpenLoop(OpenLoop{Target: Target{URL: server.URL}, Path: "/", Rate: 100, Duration: time.Second, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(requests) < 80 || len(requests) > 110 {
		t.Errorf("got %d requests in a second, want about 100", len(requests))
	}
	for _, request := range requests {
		if request.Failed || request.Latency < 300*time.Millisecond {
			t.Fatalf("got %+v, want a latency of at least 300 ms", request)
		}
	}
	if got := server.maxActive.Load(); got < 10 {
		t.Errorf("got at most %d concurrent requests, want about 30", got)
	}
}

// The wait for a connection counts as latency.
func TestOpenLoopSharesItsConnections(t *testing.T) {
	server := newCountingServer(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(400 * time.Millisecond)
		servePage(rw, r)
	})
	requests, err := runOpenLoop(OpenLoop{Target: Target{URL: server.URL}, Path: "/", Rate: 1500, Duration: 300 * time.Millisecond, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if got := server.connections.Load(); got > maxConnections {
		t.Errorf("got %d connections, want at most %d", got, maxConnections)
	}
	slowest := time.Duration(0)
	for _, request := range requests {
		slowest = max(slowest, request.Latency)
	}
	if len(requests) <= maxConnections || slowest < 500*time.Millisecond {
		t.Errorf("got %d requests, the slowest %v; want more than %d, and one that includes the wait for a connection", len(requests), slowest, maxConnections)
	}
}

func TestOpenLoopRecordsFailures(t *testing.T) {
	server := newCountingServer(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	requests, err := runOpenLoop(OpenLoop{Target: Target{URL: server.URL}, Path: "/", Rate: 50, Duration: 100 * time.Millisecond, Timeout: time.Second})
	if err != nil || len(requests) == 0 {
		t.Fatalf("got %d requests, error %v; want some requests", len(requests), err)
	}
	for _, request := range requests {
		if !request.Failed || request.Error == "" {
			t.Fatalf("got %+v for a 503, want a failure with an error", request)
		}
	}
}
