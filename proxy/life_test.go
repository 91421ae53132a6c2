package proxy_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

func TestCountsRequestsInFlight(t *testing.T) {
	came, leave := make(chan struct{}, 3), make(chan struct{})
	b := start(t, serve(t, h1, func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-leave
	}))
	if n := b.InFlight(); n != 0 {
		t.Errorf("got %d before any request, want 0", n)
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { b.get(t, "/x") })
	}
	for range 3 {
		brokertest.Receive(t, "a request", came)
	}
	if n := b.InFlight(); n != 3 {
		t.Errorf("%d in flight, want 3", n)
	}
	close(leave)
	all.Wait()
	b.server.Close() // waits for the handlers
	if n := b.InFlight(); n != 0 {
		t.Errorf("got %d after all requests, want 0", n)
	}
}

func TestCountsNoRequestAfterBrokenResponse(t *testing.T) {
	b := start(t, "http://"+startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")))
	c := b.dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	c.result("GET")
	b.server.Close()
	if n := b.InFlight(); n != 0 {
		t.Errorf("got %d after the request, want 0", n)
	}
}

func TestOnRequestEndIsOptional(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, func(s *setup) { s.OnRequestEnd = nil })
	if a := b.get(t, "/x"); a.status != 200 {
		t.Errorf("got %d, want 200", a.status)
	}
}

func TestRecordsReasonOfDenial(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url)
	for _, test := range []struct {
		request string
		status  int
		reason  access.DenialReason
	}{
		{"GET /x?q HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421, access.ReasonHost},
		{"GET /x?q HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", 403, access.ReasonBrowser},
		{"GET /x?q HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 403, access.ReasonUpgrade},
		{"TRACE /x?q HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, access.ReasonUnsupportedMethod},
		{"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, access.ReasonUnsupportedMethod},
		{"GET http://elsewhere.example/x?q HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, access.ReasonTarget},
		{"GET /x HTTP/1.0\r\n\r\n", 421, access.ReasonHost},
	} {
		c := b.dial(t)
		c.send(test.request)
		a := c.result("GET")
		wantProblem(t, a, test.status, "http_request_denied")
		if test.status == 405 && !strings.Contains(a.header.Get("Allow"), "GET") {
			t.Errorf("got Allow %q, want the allowed methods", a.header["Allow"])
		}
		got := b.record(t)
		if got.Denied != test.reason || got.Status != test.status || got.ProxyError != "http_request_denied" || strings.Contains(got.Path, "q") {
			t.Errorf("%q: got %+v, want the reason and no query", test.request, got)
		}
	}
	if got := up.requests(); len(got) != 0 {
		t.Errorf("got %+v upstream, want nothing", got)
	}
}

// countingBody counts how often a body is closed.
type countingBody struct {
	http1.ResponseBody
	closes atomic.Int64
}

func (c *countingBody) Close() error {
	c.closes.Add(1)
	return c.ResponseBody.Close()
}

func TestClosesUpstreamBodyOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, text string
	}{
		"whole":    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"},
		"chunked":  {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"},
		"empty":    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"204":      {"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		"304":      {"GET", "HTTP/1.1 304 Not Modified\r\n\r\n"},
		"HEAD":     {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"},
		"redirect": {"POST", "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 4\r\n\r\nbody"},
		"broken":   {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"},
		"bad":      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n?"},
	} {
		t.Run(name, func(t *testing.T) {
			var body *countingBody
			b := start(t, "http://"+startRawUpstream(t, afterRequest(test.text)), func(s *setup) {
				s.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
					response, err := s.client.RoundTrip(r)
					if err == nil {
						body = &countingBody{ResponseBody: response.Body}
						response.Body = body
					}
					return response, err
				})
			})
			c := b.dial(t)
			c.send(test.method, " /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
			c.result(test.method)
			b.record(t)
			b.server.Close()
			if body == nil || body.closes.Load() != 1 {
				t.Fatalf("got %v closes, want 1", body)
			}
		})
	}
}

// Only what is known before it is sent can be sent again on another connection, and only what may be.
func TestRepeatsOnlySafeRequests(t *testing.T) {
	sent := make(chan http1.ClientRequest, 1)
	b := start(t, startRecorder(t, h1, nil).url, func(s *setup) {
		s.Retry, s.RetryBuffer = true, 4
		s.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
			sent <- *r
			return s.client.RoundTrip(r)
		})
	})
	for _, test := range []struct {
		request              string
		streamed, repeatable bool
	}{
		{"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", false, true},
		{"HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\n", false, true},
		{"OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", false, true},
		{"GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nbody!", true, false},
		{"GET /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("body"), true, false},
		{"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody", false, false},
		{"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", false, false},
		{"DELETE /x HTTP/1.1\r\nHost: localhost\r\n\r\n", false, false},
		{"POST /x HTTP/1.1\r\nHost: localhost\r\nidempotency-key: k\r\nContent-Length: 4\r\n\r\nbody", false, true},
		{"POST /x HTTP/1.1\r\nHost: localhost\r\nX-Idempotency-Key: k\r\n\r\n", false, true},
		{"POST /x HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\nbody!", true, false},
	} {
		c := b.dial(t)
		c.send(test.request)
		method, _, _ := strings.Cut(test.request, " ")
		c.result(method)
		got := brokertest.Receive(t, "the request", sent)
		if got.Repeatable != test.repeatable || (got.Stream != nil) != test.streamed || test.streamed && got.Body != nil {
			t.Errorf("%q: got repeatable %v, streamed %v, want %v, %v", test.request, got.Repeatable, got.Stream != nil, test.repeatable, test.streamed)
		}
	}
}
