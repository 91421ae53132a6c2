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

// world is a server that counts.
type world struct {
	connections, requests, busy, busiest atomic.Int64
	*httptest.Server
}

func newWorld(t *testing.T, handle http.HandlerFunc) *world {
	w := &world{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.requests.Add(1)
		w.busiest.Store(max(w.busiest.Load(), w.busy.Add(1)))
		defer w.busy.Add(-1)
		handle(rw, r)
	}))
	w.Config.ConnState = connCounter(&w.connections)
	w.Start()
	t.Cleanup(w.Close)
	return w
}

func page(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }

func TestKeptConnections(t *testing.T) {
	w := newWorld(t, page)
	p, err := prepare(Closed{Target: Target{URL: w.URL}, Path: "/", Connections: 4, WarmUp: 40})
	if err != nil {
		t.Fatal(err)
	}
	tally := p.run(200)
	if tally.Requests != 200 || tally.Failed != 0 || tally.Lasted <= 0 {
		t.Errorf("%+v", tally)
	}
	if got := w.requests.Load(); got != 240 {
		t.Errorf("%d requests arrived, want 40 and 200", got)
	}
	if got := w.connections.Load(); got > 4 {
		t.Errorf("%d connections, want no more than 4", got)
	}
}

func TestFreshConnections(t *testing.T) {
	w := newWorld(t, page)
	p, err := prepare(Closed{Target: Target{URL: w.URL}, Path: "/", Connections: 2, Fresh: true})
	if err != nil {
		t.Fatal(err)
	}
	if tally := p.run(20); tally.Failed != 0 {
		t.Errorf("%+v", tally)
	}
	if got := w.connections.Load(); got != 20 {
		t.Errorf("%d connections for 20 requests", got)
	}
}

func TestInTurn(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		page(rw, r)
	})
	if _, err := prepare(Closed{Target: Target{URL: w.URL}, Path: "/", Connections: 10, InTurn: true}); err != nil {
		t.Fatal(err)
	}
	if got := w.connections.Load(); got != 10 {
		t.Errorf("%d connections, want 10", got)
	}
	if got := w.busiest.Load(); got != 1 {
		t.Errorf("%d requests at once, want one after the other", got)
	}
}

func TestBody(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n != 1000 || err != nil || r.Method != http.MethodPost {
			rw.WriteHeader(http.StatusBadRequest)
		}
	})
	p, err := prepare(Closed{Target: Target{URL: w.URL}, Path: "/", Body: 1000, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	if tally := p.run(3); tally.Failed != 0 {
		t.Errorf("%+v", tally)
	}
}

func TestFailuresAreCounted(t *testing.T) {
	var n atomic.Int64
	w := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			rw.WriteHeader(http.StatusBadGateway)
		}
	})
	p, err := prepare(Closed{Target: Target{URL: w.URL}, Path: "/", Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	if tally := p.run(10); tally.Failed != 5 || !strings.Contains(tally.Why, "502") {
		t.Errorf("%+v, want 5 failed with 502", tally)
	}
	if _, err := prepare(Closed{Target: Target{URL: w.URL}, Path: "/", Connections: 1, WarmUp: 4}); err == nil {
		t.Error("what fails while warming up is no error")
	}
}
