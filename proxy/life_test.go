package proxy_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/proxy/access"
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
		receive(t, came, "a request")
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

// A request that ends in a panic has ended, too.
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
		reason  access.Reason
	}{
		{"GET /x?q HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421, access.ReasonHost},
		{"GET /x?q HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", 403, access.ReasonBrowser},
		{"GET /x?q HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 403, access.ReasonUpgrade},
		{"TRACE /x?q HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, access.ReasonMethod},
		{"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, access.ReasonMethod},
		{"GET http://elsewhere.example/x?q HTTP/1.1\r\nHost: localhost\r\n\r\n", 403, access.ReasonTarget},
		{"GET /x HTTP/1.0\r\n\r\n", 421, access.ReasonHost},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421, access.ReasonHost}, // HTTP/2 with prior knowledge, which net/http accepts
	} {
		c := b.dial(t)
		c.send(test.request)
		a := c.result("GET")
		wantProblem(t, a, test.status, "http_request_denied")
		if test.status == 405 && !strings.Contains(a.header.Get("Allow"), "GET") {
			t.Errorf("got Allow %q, want the allowed methods", a.header["Allow"])
		}
		got := b.record(t)
		if got.Denied != test.reason || got.Status != test.status || got.Problem != "http_request_denied" || strings.Contains(got.Path, "q") {
			t.Errorf("%q: got %+v, want the reason and no query", test.request, got)
		}
	}
	if got := up.requests(); len(got) != 0 {
		t.Errorf("got %+v upstream, want nothing", got)
	}
}

// countingBody counts the calls of a body's methods.
type countingBody struct {
	io.ReadCloser
	reads, closes atomic.Int64
}

func (c *countingBody) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.ReadCloser.Read(p)
}

func (c *countingBody) Close() error {
	c.closes.Add(1)
	return c.ReadCloser.Close()
}

func TestClosesUpstreamBodyOnce(t *testing.T) {
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
				s.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
					response, err := s.transport.RoundTrip(r)
					if err == nil {
						body = &countingBody{ReadCloser: response.Body}
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

// The server's body belongs to the handler: a transport that reads later must get nothing.
func TestReadsNoRequestBodyAfterHandlerReturns(t *testing.T) {
	for name, fails := range map[string]bool{"answered": false, "failed": true} {
		t.Run(name, func(t *testing.T) {
			var incoming *countingBody
			var outgoing io.ReadCloser
			b := start(t, "http://api.example", func(s *setup) {
				s.wrap = func(h http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						incoming = &countingBody{ReadCloser: r.Body}
						r.Body = incoming
						h.ServeHTTP(w, r)
					})
				}
				s.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
					outgoing = r.Body
					if _, err := io.ReadFull(r.Body, make([]byte, 2)); err != nil {
						return nil, err
					}
					if fails {
						return nil, errors.New("no")
					}
					return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}, nil
				})
			})
			a := b.do(t, b.request(t, "POST", "/x", strings.NewReader("body")))
			if fails != (a.status == 502) {
				t.Errorf("got %d %s, want 502 only if the upstream fails", a.status, a.body)
			}
			b.record(t)
			b.server.Close()
			before := incoming.reads.Load()
			if n, err := outgoing.Read(make([]byte, 2)); n != 0 || err == nil || errors.Is(err, io.EOF) {
				t.Errorf("got %d bytes, %v, want an error other than EOF", n, err)
			}
			if err := outgoing.Close(); err != nil {
				t.Error(err)
			}
			if after := incoming.reads.Load(); after != before || incoming.closes.Load() != 0 {
				t.Errorf("got %d reads after the end and %d closes of the server's body, want none", after-before, incoming.closes.Load())
			}
		})
	}
}

// Only without a body can the transport send a request again on another connection.
func TestSendsNilBodyIfThereIsNone(t *testing.T) {
	bodies := make(chan io.ReadCloser, 3)
	b := start(t, "http://api.example", func(s *setup) {
		s.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
			bodies <- r.Body
			return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}}, nil
		})
	})
	for _, method := range []string{"GET", "POST"} {
		b.do(t, b.request(t, method, "/x", nil))
		if body := <-bodies; body != nil {
			t.Errorf("%s: got the body %T, want nil", method, body)
		}
	}
}
