package load

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// countingServer counts its connections and requests.
type countingServer struct {
	connections, requests, active, maxActive atomic.Int64
	*httptest.Server
}

func newCountingServer(t *testing.T, handle http.HandlerFunc) *countingServer {
	server := &countingServer{}
	server.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		server.requests.Add(1)
		server.maxActive.Store(max(server.maxActive.Load(), server.active.Add(1)))
		defer server.active.Add(-1)
		handle(rw, r)
	}))
	server.Config.ConnState = countConnections(&server.connections)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func servePage(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }

func TestClosedLoopReusesConnections(t *testing.T) {
	server := newCountingServer(t, servePage)
	runner, err := newClosedLoopRunner(ClosedLoop{Target: Target{URL: server.URL}, Path: "/", Connections: 4, WarmUp: 40})
	if err != nil {
		t.Fatal(err)
	}
	result := runner.run(200)
	if result.Requests != 200 || result.Failed != 0 || result.Duration <= 0 {
		t.Errorf("got %+v, want no failures", result)
	}
	if got := server.requests.Load(); got != 240 {
		t.Errorf("got %d requests, want 40 + 200", got)
	}
	if got := server.connections.Load(); got > 4 {
		t.Errorf("got %d connections, want at most 4", got)
	}
}

func TestClosedLoopOpensAConnectionPerRequest(t *testing.T) {
	server := newCountingServer(t, servePage)
	runner, err := newClosedLoopRunner(ClosedLoop{Target: Target{URL: server.URL}, Path: "/", Connections: 2, NewConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	if result := runner.run(20); result.Failed != 0 {
		t.Errorf("got %+v, want no failures", result)
	}
	if got := server.connections.Load(); got != 20 {
		t.Errorf("got %d connections for 20 requests, want 20", got)
	}
}

func TestSequentialWarmUpHasOneActiveRequest(t *testing.T) {
	server := newCountingServer(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		servePage(rw, r)
	})
	if _, err := newClosedLoopRunner(ClosedLoop{Target: Target{URL: server.URL}, Path: "/", Connections: 10, Sequential: true}); err != nil {
		t.Fatal(err)
	}
	if got := server.connections.Load(); got != 10 {
		t.Errorf("got %d connections, want 10", got)
	}
	if got := server.maxActive.Load(); got != 1 {
		t.Errorf("got %d concurrent requests, want 1", got)
	}
}

func TestClosedLoopPostsTheBody(t *testing.T) {
	server := newCountingServer(t, func(rw http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n != 1000 || err != nil || r.Method != http.MethodPost {
			rw.WriteHeader(http.StatusBadRequest)
		}
	})
	runner, err := newClosedLoopRunner(ClosedLoop{Target: Target{URL: server.URL}, Path: "/", Body: 1000, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	if result := runner.run(3); result.Failed != 0 {
		t.Errorf("got %+v, want no failures", result)
	}
}

func TestClosedLoopCountsFailures(t *testing.T) {
	var n atomic.Int64
	server := newCountingServer(t, func(rw http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			rw.WriteHeader(http.StatusBadGateway)
		}
	})
	runner, err := newClosedLoopRunner(ClosedLoop{Target: Target{URL: server.URL}, Path: "/", Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	if result := runner.run(10); result.Failed != 5 || !strings.Contains(result.FirstError, "502") {
		t.Errorf("got %+v, want 5 failed with 502", result)
	}
	if _, err := newClosedLoopRunner(ClosedLoop{Target: Target{URL: server.URL}, Path: "/", Connections: 1, WarmUp: 4}); err == nil {
		t.Error("got no error from a failed warm-up, want one")
	}
}
