package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// recordWrites is a connection that counts writes and records what is written.
type recordWrites struct {
	net.Conn
	writes []string
}

func (c *recordWrites) Write(p []byte) (int, error) {
	c.writes = append(c.writes, string(p))
	return c.Conn.Write(p)
}

// A header, and a body that is known, are one write: one segment, one TLS record.
func TestWritesRequest(t *testing.T) {
	fields := func(more ...string) (all http1.Fields) {
		for _, line := range append([]string{"hOST: api.example"}, more...) {
			name, value, _ := strings.Cut(line, ": ")
			all.Add(name, value)
		}
		return all
	}
	for name, test := range map[string]struct {
		request http1.ClientRequest
		want    string
	}{
		"GET":                    {http1.ClientRequest{Method: "GET", Target: "/a//b?%zz", Fields: fields("b: 1", "A: 2", "B: 3")}, "GET /a//b?%zz HTTP/1.1\r\nhOST: api.example\r\nb: 1\r\nA: 2\r\nB: 3\r\n\r\n"},
		"GET with a zero length": {http1.ClientRequest{Method: "GET", Target: "/", Fields: fields("content-length: 00", "A: 1")}, "GET / HTTP/1.1\r\nhOST: api.example\r\nContent-Length: 0\r\nA: 1\r\n\r\n"},
		"POST without a body":    {http1.ClientRequest{Method: "POST", Target: "/", Fields: fields()}, "POST / HTTP/1.1\r\nhOST: api.example\r\nContent-Length: 0\r\n\r\n"},
		"DELETE without a body":  {http1.ClientRequest{Method: "DELETE", Target: "/", Fields: fields()}, "DELETE / HTTP/1.1\r\nhOST: api.example\r\n\r\n"},
		"known body":             {http1.ClientRequest{Method: "POST", Target: "/", Fields: fields("Content-Length: 007", "Content-Length: 7", "Transfer-Encoding: x", "A: 1"), ContentLength: 2, Body: []byte("ok")}, "POST / HTTP/1.1\r\nhOST: api.example\r\nContent-Length: 2\r\nA: 1\r\n\r\nok"},
	} {
		t.Run(name, func(t *testing.T) {
			u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
			dial, record := u.client.Dial, &recordWrites{}
			u.client.Dial = func(ctx context.Context) (net.Conn, error) {
				conn, err := dial(ctx)
				record.Conn = conn
				return record, err
			}
			test.request.Caller = newCaller(t)
			u.mustSucceed(t, &test.request)
			if len(record.writes) != 1 || record.writes[0] != test.want {
				t.Errorf("got %q, want one write of %q", record.writes, test.want)
			}
		})
	}
}

// echoBody answers with how the body came and what it was.
func echoBody(c *upstreamConn, r *http.Request, body string) {
	text := fmt.Sprint(r.ContentLength, " ", body, " ", r.Trailer)
	c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
}

func TestStreamsBody(t *testing.T) {
	u := startUpstream(t, func(c *upstreamConn) {
		for r := c.request(); r != nil; r = c.request() {
			body, err := c.drain(r)
			if err != nil {
				return
			}
			echoBody(c, r, body)
		}
	})
	long := strings.Repeat("0123456789", 10_000)
	for _, test := range []struct {
		length int64
		parts  []string
		fields http1.Fields
		want   string
	}{
		{2, []string{"ok"}, nil, "2 ok map[]"},
		{100_000, []string{long}, nil, "100000 " + long + " map[]"},
		{-1, []string{"a", "b", long}, nil, "-1 ab" + long + " map[Sum:[1]]"},
		{-1, nil, nil, "-1  map[Sum:[1]]"},
		{-1, []string{"ok"}, http1.Fields{{Name: "Trailer", Value: "Sum"}}, "-1 ok map[Sum:[1]]"},
	} {
		r := newRequest(t, "POST")
		r.Fields = append(r.Fields, test.fields...)
		r.ContentLength = test.length
		body, w := newStream(http1.Field{Name: "Sum", Value: "1"})
		r.Stream = body
		go func() {
			for _, part := range test.parts {
				_, _ = io.WriteString(w, part)
			}
			_ = w.Close()
		}()
		if got := u.mustSucceed(t, r); got != test.want {
			t.Errorf("got %.80q, want %.80q", got, test.want)
		}
	}
	r := newRequest(t, "PUT")
	r.Body, r.ContentLength = []byte(long), int64(len(long))
	if got := u.mustSucceed(t, r); got != "100000 "+long+" map[]" {
		t.Errorf("got %.80q for a long known body", got)
	}
	u.wantCounts(t, 1, 6) // each upload leaves the connection in order
}

// What the app sends reaches the upstream at once, header included.
func TestDoesNotDelayStream(t *testing.T) {
	arrived := make(chan string)
	u := startUpstream(t, func(c *upstreamConn) {
		r := c.request()
		arrived <- "header"
		body := bufio.NewReader(r.Body)
		for range 3 {
			line, _ := body.ReadString('\n')
			arrived <- line
		}
		c.send(okResponse)
	})
	r := newRequest(t, "POST")
	r.ContentLength = -1
	body, w := newStream()
	r.Stream = body
	result := make(chan error)
	go func() {
		_, _, _, err := u.roundTrip(r)
		result <- err
	}()
	if got := <-arrived; got != "header" {
		t.Errorf("got %q before the body", got)
	}
	for range 3 {
		_, _ = io.WriteString(w, "line\n")
		if got := <-arrived; got != "line\n" {
			t.Errorf("got %q, want a line", got)
		}
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// An upstream must not take a part of a body for the whole.
func TestPartialUploadNeverLooksComplete(t *testing.T) {
	for _, length := range []int64{9, -1} {
		for _, failure := range []error{io.EOF, errors.New("chunk")} {
			if length < 0 && errors.Is(failure, io.EOF) {
				continue // that is its end
			}
			seen := make(chan error, 1)
			u := startUpstream(t, func(c *upstreamConn) {
				_, err := c.drain(c.request())
				seen <- err
			})
			r := newRequest(t, "POST")
			r.ContentLength = length
			body, w := newStream()
			r.Stream = body
			go func() {
				_, _ = io.WriteString(w, "ok")
				_ = w.CloseWithError(failure)
			}()
			_, _, _, err := u.roundTrip(r)
			if !errors.Is(err, http1.ErrRequestBody) {
				t.Errorf("length %d, %v: got %v, want ErrRequestBody", length, failure, err)
			}
			if err := <-seen; err == nil {
				t.Errorf("length %d, %v: the upstream saw a complete body", length, failure)
			}
		}
	}
}

// While the app pauses in its upload, the upstream ends the exchange.
func TestNoticesUpstreamDuringPause(t *testing.T) {
	for name, test := range map[string]struct {
		die    func(c *upstreamConn)
		status int // 0 means an error
	}{
		"closes":              {func(*upstreamConn) {}, 0},
		"resets":              {func(c *upstreamConn) { c.reset() }, 0},
		"sends nonsense":      {func(c *upstreamConn) { c.send("nonsense"); c.request() }, 0},
		"sends a bad line":    {func(c *upstreamConn) { c.send("HTTP/1.1 no\r\n"); c.request() }, 0},
		"answers":             {func(c *upstreamConn) { c.send("HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno"); c.request() }, 413},
		"answers and closes":  {func(c *upstreamConn) { c.send("HTTP/1.1 413 Large\r\n\r\nno") }, 413},
		"100 and nonsense":    {func(c *upstreamConn) { c.send("HTTP/1.1 100 C\r\n\r\nnonsense"); c.request() }, 0},
		"answers without end": {func(c *upstreamConn) { c.send("HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n"); c.request() }, 413},
	} {
		for _, length := range []int64{9, -1} {
			t.Run(fmt.Sprint(name, " ", length), func(t *testing.T) {
				t.Parallel()
				u := startUpstream(t, func(c *upstreamConn) {
					r := c.request()
					_, _ = r.Body.Read(make([]byte, 1))
					test.die(c)
				})
				u.client.ResponseTimeout = 0 // which would end it too
				r := newRequest(t, "POST")
				r.ContentLength = length
				body, w := newStream()
				r.Stream = body
				go func() { _, _ = io.WriteString(w, "a") }()
				response, _, _, err := u.roundTrip(r)
				if response.Status != test.status || (err == nil) != (test.status != 0) {
					t.Errorf("got %d, %v, want %d", response.Status, err, test.status)
				}
				if _, err := io.WriteString(w, "b"); err == nil {
					t.Error("the stream is still being read")
				}
			})
		}
	}
}

// The upstream refuses an upload that it does not read, and closes: a reset follows its response, which must not be lost.
func TestKeepsEarlyResponseDespiteReset(t *testing.T) {
	for name, response := range map[string]string{
		"with a body":    "HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!",
		"without a body": "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n",
	} {
		for _, kind := range []string{"stream", "chunked", "known", "long"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				u := startUpstream(t, func(c *upstreamConn) {
					c.request()
					c.send(response)
				})
				for i := range 20 {
					r := newRequest(t, "POST")
					data := make([]byte, 5<<20)
					switch kind {
					case "known":
						r.Body = data[:64<<10]
					case "long":
						r.Body = data
					default:
						if r.ContentLength = -1; kind == "stream" {
							r.ContentLength = int64(len(data))
						}
						body, w := newStream()
						r.Stream = body
						go func() {
							_, _ = w.Write(data)
							_ = w.Close()
						}()
					}
					got, _, bodyErr, err := u.roundTrip(r)
					if err != nil || bodyErr != nil || got.Status != 413 {
						t.Fatalf("%d: got %d, body error %v, error %v, want 413", i, got.Status, bodyErr, err)
					}
				}
			})
		}
	}
}

// An early response does not end an upload that the upstream goes on reading.
func TestUploadGoesOnAfterEarlyResponse(t *testing.T) {
	received := make(chan int, 1)
	u := startUpstream(t, func(c *upstreamConn) {
		r := c.request()
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		body, err := c.drain(r)
		if err != nil {
			t.Error(err)
		}
		received <- len(body)
		c.send("0\r\n\r\n")
		c.request()
	})
	r := newRequest(t, "POST")
	r.ContentLength = -1
	body, w := newStream()
	r.Stream = body
	response, err := u.client.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(make([]byte, 100_000))
	_ = w.Close()
	if got, err := readAll(response.Body); err != nil || got != "ok" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := <-received; n != 100_000 {
		t.Errorf("the upstream received %d bytes, want 100000", n)
	}
	_ = response.Body.Close()
}

func TestExpectContinue(t *testing.T) {
	for name, test := range map[string]struct {
		serve  func(c *upstreamConn) // after the header
		status int
		read   bool // the body is read
	}{
		"100": {func(c *upstreamConn) {
			c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
			readOK(c)
			c.send(okResponse)
		}, 200, true},
		"nothing": {func(c *upstreamConn) { readOK(c); c.send(okResponse) }, 200, true},
		"refusal": {func(c *upstreamConn) { c.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"); c.request() }, 417, false},
		"103, refusal": {func(c *upstreamConn) {
			c.send("HTTP/1.1 103 X\r\n\r\nHTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
			c.request()
		}, 417, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(10*time.Second, func(c *upstreamConn) {
					c.request()
					test.serve(c)
				})
				r := newRequest(t, "POST")
				r.Fields.Add("Expect", "100-continue")
				r.ExpectContinue, r.ContentLength = true, 2
				body, w := newStream()
				r.Stream = body
				read := make(chan bool, 1)
				go func() {
					_, err := io.WriteString(w, "ok")
					read <- err == nil
				}()
				start := time.Now()
				response, err := p.client.RoundTrip(r)
				if err != nil || response.Status != test.status {
					t.Fatalf("got %+v, %v, want %d", response, err, test.status)
				}
				_, _ = readAll(response.Body)
				_ = response.Body.Close()
				body.Interrupt() // ends the write
				if got := <-read; got != test.read {
					t.Errorf("the body is read: got %t, want %t", got, test.read)
				}
				if waited := time.Since(start); waited != 0 && waited != time.Second {
					t.Errorf("got a response after %s, want at once, or after 1 s", waited)
				}
				p.close()
			})
		})
	}
}

// The upstream hangs up while "100 Continue" is awaited.
func TestExpectContinueEndsWithConnection(t *testing.T) {
	took, err := timeIn(t, func(c *upstreamConn) {
		c.request()
		_ = c.Close()
	}, func(r *http1.ClientRequest) {
		r.Stream, _ = newStream()
		r.ExpectContinue, r.ContentLength = true, 2
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || took != 0 {
		t.Errorf("got %v after %s, want %v at once", err, took, io.ErrUnexpectedEOF)
	}
}

// readOK reads a body of two bytes.
func readOK(c *upstreamConn) { _, _ = io.ReadFull(c.Reader, make([]byte, 2)) }

// timeIn runs a round trip in a bubble, and returns how long it took.
func timeIn(t *testing.T, serve func(c *upstreamConn), change func(r *http1.ClientRequest)) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(3*time.Second, serve)
		r := newRequest(t, "POST")
		change(r)
		start := time.Now()
		err = p.roundTrip(r)
		took = time.Since(start)
		p.close()
	})
	return took, err
}

func TestResponseTimeout(t *testing.T) {
	known := func(r *http1.ClientRequest) { r.Body = []byte("ok") }
	slow := func(pause time.Duration, parts int) func(r *http1.ClientRequest) {
		return func(r *http1.ClientRequest) {
			body, w := newStream()
			r.ContentLength, r.Stream = -1, body
			go func() {
				for range parts {
					time.Sleep(pause)
					_, _ = w.Write([]byte("part"))
				}
				_ = w.Close()
			}()
		}
	}
	drip := func(text string, every time.Duration) func(c *upstreamConn) {
		return func(c *upstreamConn) {
			_, _ = c.drain(c.request())
			for _, b := range []byte(text) {
				time.Sleep(every)
				c.send(string(b))
			}
		}
	}
	silent := func(c *upstreamConn) { _, _ = c.drain(c.request()) }
	unread := func(c *upstreamConn) {
		c.request()
		time.Sleep(time.Minute)
	}
	slowReader := func(c *upstreamConn) {
		r := c.request()
		for n, err := 1, error(nil); n > 0 && err == nil; time.Sleep(2 * time.Second) {
			n, err = r.Body.Read(make([]byte, 32<<10))
		}
		c.send(okResponse)
	}
	for name, test := range map[string]struct {
		serve  func(c *upstreamConn)
		change func(r *http1.ClientRequest)
		took   time.Duration
		fails  bool
	}{
		"silent":               {silent, known, 3 * time.Second, true},
		"slow header":          {drip(okResponse, time.Second), known, 3 * time.Second, true},
		"1xx do not extend it": {drip(strings.Repeat("HTTP/1.1 103 X\r\n\r\n", 9), 50*time.Millisecond), known, 3 * time.Second, true},
		"slow body":            {drip(okResponse, 70*time.Millisecond), known, time.Duration(len(okResponse)) * 70 * time.Millisecond, false},
		"slower body": {func(c *upstreamConn) {
			c.request()
			c.send(okResponse[:len(okResponse)-1])
			time.Sleep(time.Hour)
			c.send("k")
		}, func(*http1.ClientRequest) {}, time.Hour, false},
		"begins when the request is sent":      {silent, slow(10*time.Second, 3), 33 * time.Second, true},
		"pauses of the app do not count":       {each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }), slow(time.Hour, 3), 3 * time.Hour, false},
		"the upstream does not read":           {unread, slow(0, 1), 3*time.Second + 100*time.Millisecond, true},
		"the upstream reads nothing, known":    {func(*upstreamConn) { time.Sleep(time.Minute) }, known, 3*time.Second + 100*time.Millisecond, true},
		"the upstream reads nothing of a long": {unread, func(r *http1.ClientRequest) { r.Body = make([]byte, 200_000) }, 3*time.Second + 100*time.Millisecond, true},
		"the upstream reads slowly":            {slowReader, func(r *http1.ClientRequest) { r.Body = make([]byte, 200_000) }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			took, err := timeIn(t, test.serve, test.change)
			if test.fails != errors.Is(err, os.ErrDeadlineExceeded) || !test.fails && err != nil || test.took != 0 && took != test.took {
				t.Errorf("got %v after %s, want a timeout: %t, after %s", err, took, test.fails, test.took)
			}
		})
	}
}

func TestCancelEndsExchange(t *testing.T) {
	silent := func(c *upstreamConn) { c.request() }
	stuck := func(c *upstreamConn) {
		c.request()
		time.Sleep(time.Hour)
	}
	for name, test := range map[string]struct {
		serve  func(c *upstreamConn)
		change func(r *http1.ClientRequest)
	}{
		"before the response":  {silent, func(*http1.ClientRequest) {}},
		"unread body":          {stuck, func(r *http1.ClientRequest) { r.Body = make([]byte, 200_000) }},
		"stream that pauses":   {silent, func(r *http1.ClientRequest) { r.Stream, _ = newStream(); r.ContentLength = -1 }},
		"while the body comes": {func(c *upstreamConn) { c.request(); c.send("HTTP/1.1 200 OK\r\n\r\nok"); c.request() }, func(*http1.ClientRequest) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(time.Minute, test.serve)
				r := newRequest(t, "GET")
				test.change(r)
				time.AfterFunc(time.Second, r.Caller.(*caller).goAway)
				start := time.Now()
				err := p.roundTrip(r)
				if took := time.Since(start); err == nil || took != time.Second {
					t.Errorf("got %v after %s, want an error after 1 s", err, took)
				}
				if name != "while the body comes" && !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want context.Canceled", err)
				}
				if p.dials.Load() != 1 {
					t.Errorf("got %d dials, want 1", p.dials.Load())
				}
				p.close()
			})
		})
	}
}

func TestCallerThatHasGoneSendsNothing(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
	u.mustSucceed(t, newRequest(t, "GET"))
	for range 2 { // with an idle connection, and without
		r := newRequest(t, "GET")
		r.Caller.(*caller).goAway()
		if _, _, _, err := u.roundTrip(r); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
	if got := u.requests.Load(); got != 1 {
		t.Errorf("got %d requests, want 1", got)
	}
}

// keepsCanceler is a Caller that cancels too late.
type keepsCanceler struct {
	*caller
	canceler http1.Canceler
}

func (k *keepsCanceler) CancelWhenGone(c http1.Canceler) {
	if c != nil {
		k.canceler = c
	}
}

func TestCancelAfterEndKeepsConnection(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
	for range 3 {
		late := &keepsCanceler{caller: newCaller(t)}
		r := newRequest(t, "POST")
		r.Caller = late
		u.mustSucceed(t, r)
		late.canceler.Cancel()
	}
	u.wantCounts(t, 1, 3)
}

// A response that is not read to its end costs its connection, and so does one with more behind it.
func TestDoesNotReuseUnreadConnection(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n")
		c.send(string(bytes.Repeat([]byte("x"), 6000)))
	}))
	for range 2 {
		response, err := u.client.RoundTrip(newRequest(t, "GET"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = response.Body.Read(make([]byte, 10))
		_ = response.Body.Close()
	}
	u.wantCounts(t, 2, 2)
}

func TestReadyOnlyIfReadDoesNotWait(t *testing.T) {
	proceed := make(chan struct{})
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		<-proceed
		c.send("0\r\n\r\n")
	}))
	response, err := u.client.RoundTrip(newRequest(t, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 10)
	if n, err := response.Body.Read(body); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2 bytes", n, err)
	}
	if response.Body.Ready() {
		t.Error("it is ready before the end of the body has arrived")
	}
	close(proceed)
	if n, err := response.Body.Read(body); n != 0 || !errors.Is(err, io.EOF) || !response.Body.Ready() {
		t.Errorf("got %d, %v, ready: %t, want the end", n, err, response.Body.Ready())
	}
	_ = response.Body.Close()
}
