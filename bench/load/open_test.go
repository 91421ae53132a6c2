package load

import (
	"net/http"
	"testing"
	"time"
)

// A server that stalls must not slow the rate down: that is what open load is for.
func TestOpenLoadKeepsItsRate(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		page(rw, r)
	})
	requests, err := send(Open{Target: Target{URL: w.URL}, Path: "/", Rate: 100, Lasting: time.Second, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(requests) < 80 || len(requests) > 110 {
		t.Errorf("%d requests in a second, want 100", len(requests))
	}
	for _, request := range requests {
		if request.Failed || request.Took < 300*time.Millisecond {
			t.Fatalf("%+v, want one that took 300 ms", request)
		}
	}
	if got := w.busiest.Load(); got < 10 {
		t.Errorf("%d requests at once at the most, want some 30", got)
	}
}

// Those who wait for a connection wait for their answer.
func TestOpenLoadSharesItsConnections(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(400 * time.Millisecond)
		page(rw, r)
	})
	requests, err := send(Open{Target: Target{URL: w.URL}, Path: "/", Rate: 1500, Lasting: 300 * time.Millisecond, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.connections.Load(); got > maxConnections {
		t.Errorf("%d connections, want no more than %d", got, maxConnections)
	}
	slowest := time.Duration(0)
	for _, request := range requests {
		slowest = max(slowest, request.Took)
	}
	if len(requests) <= maxConnections || slowest < 500*time.Millisecond {
		t.Errorf("of %d requests the slowest took %v: those that waited for a connection should show it", len(requests), slowest)
	}
}

func TestOpenLoadTellsOfFailures(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	requests, err := send(Open{Target: Target{URL: w.URL}, Path: "/", Rate: 50, Lasting: 100 * time.Millisecond, Timeout: time.Second})
	if err != nil || len(requests) == 0 {
		t.Fatalf("%d requests, %v", len(requests), err)
	}
	for _, request := range requests {
		if !request.Failed || request.Why == "" {
			t.Fatalf("a 503 did not fail, or not for a reason: %+v", request)
		}
	}
}
