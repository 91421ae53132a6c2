package http1_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// cancelSignal is a Canceler that gets a value for each call of Cancel.
type cancelSignal chan struct{}

func newCancelSignal() cancelSignal { return make(cancelSignal, 100) }

func (c cancelSignal) Cancel() { c <- struct{}{} }

// leaving is how clients go away.
var leaving = map[string]func(c *clientConn){
	"close":      func(c *clientConn) { _ = c.Close() },
	"reset":      (*clientConn).reset,
	"half-close": func(c *clientConn) { _ = c.Conn.(interface{ CloseWrite() error }).CloseWrite() },
}

// Rows E3 to E5, E8 and F9, and line 15 of the contract: a client that goes away while the handler waits is noticed, by FIN,
// RST, half-close or close_notify, after each kind of request.
func TestNoticesThatTheClientHasGone(t *testing.T) {
	type goneReport struct {
		canceled, done, gone bool
		after                time.Duration
	}
	began := make(chan time.Time, 1)
	reports := make(chan goneReport, 1)
	handler := func(w *http1.ResponseWriter, r *http1.Request) {
		if path(r) == "/simple" {
			ok(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if path(r) == "/stream" {
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "part")
			_ = w.Flush()
		}
		canceler := newCancelSignal()
		r.CancelWhenGone(canceler)
		var report goneReport
		select {
		case <-canceler:
			report.canceled = true
		case <-time.After(5 * time.Second):
		}
		report.after = time.Since(<-began)
		select {
		case <-r.Context().Done():
			report.done = true
		case <-time.After(time.Second):
		}
		report.gone = r.Gone()
		reports <- report
	}
	for name, network := range networks {
		s := serveOn(t, network, handler, nil)
		for how, leave := range leaving {
			if name == "unix" && how == "reset" {
				continue
			}
			for what, request := range map[string]string{
				"GET":            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
				"second":         simple + "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
				"HTTP/1.0":       "GET / HTTP/1.0\r\n\r\n",
				"length":         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
				"CR LF behind":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody\r\n",
				"chunks":         chunkedRequest + "4\r\nbody\r\n0\r\n\r\n",
				"half a body":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo",
				"half a chunk":   chunkedRequest + "4\r\nbo",
				"large":          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
				"during a reply": "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
			} {
				t.Run(name+" "+how+" "+what, func(t *testing.T) {
					c := s.dial(t)
					c.send(request)
					time.Sleep(30 * time.Millisecond) // the server begins to watch after 10 ms
					began <- time.Now()
					leave(c)
					report := <-reports
					if !report.canceled || !report.done || !report.gone {
						t.Errorf("got %+v, want all of them", report)
					}
					t.Logf("noticed after %s", report.after)
				})
			}
		}
	}
}

// A client that has gone before the handler asks is reported at once.
func TestCancelsAtOnceIfTheClientHasGone(t *testing.T) {
	result := make(chan bool, 1)
	s := serveOn(t, networks["tcp"], func(_ *http1.ResponseWriter, r *http1.Request) {
		<-r.Context().Done()
		canceler := newCancelSignal()
		r.CancelWhenGone(canceler)
		result <- len(canceler) == 1
	}, nil)
	c := s.dial(t)
	c.send(simple)
	_ = c.Close()
	if !<-result {
		t.Error("Cancel was not called")
	}
}

// CancelWhenGone(nil) ends what was set before, and the end of a request does not cancel.
func TestCancelsOnlyWhatIsSet(t *testing.T) {
	canceler, noticed := newCancelSignal(), make(chan struct{})
	kept := make(chan context.Context, 1)
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		switch path(r) {
		case "/nil":
			r.CancelWhenGone(canceler)
			r.CancelWhenGone(nil)
			<-r.Context().Done()
			noticed <- struct{}{}
		case "/none":
			<-r.Context().Done()
			noticed <- struct{}{}
		default:
			kept <- r.Context()
			r.CancelWhenGone(canceler)
			time.Sleep(30 * time.Millisecond)
			ok(w, r)
		}
	}, nil)
	for _, target := range []string{"/nil", "/none"} {
		c := s.dial(t)
		c.send(simple)
		c.expectStatus(200)
		c.send("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		select {
		case <-(<-kept).Done():
		case <-time.After(5 * time.Second):
			t.Error("the context of a request that has ended is not done")
		}
		_ = c.Close()
		<-noticed
	}
	if n := len(canceler); n != 0 {
		t.Errorf("Cancel was called %d times, want 0", n)
	}
}

// Interrupt ends a Read of the body, and is not taken for a client that has gone, neither during the body nor after it.
func TestInterruptIsNotGone(t *testing.T) {
	t.Parallel()
	for name, network := range networks {
		for what, request := range map[string]string{
			"during": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo",
			"after":  "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				s := serveOn(t, network, func(w *http1.ResponseWriter, r *http1.Request) {
					read := make(chan error, 1)
					go func() {
						_, err := io.Copy(io.Discard, r.Body)
						read <- err
					}()
					time.Sleep(30 * time.Millisecond)
					r.Body.Interrupt()
					err := <-read
					time.Sleep(30 * time.Millisecond)
					if r.Gone() || r.Context().Err() != nil {
						t.Error("the client is said to have gone")
					}
					if (err == nil) != (what == "after") || r.Body.Complete() != (what == "after") {
						t.Errorf("got %v, complete=%t", err, r.Body.Complete())
					}
					respond(w, 413, "enough")
				}, nil)
				c := s.dial(t)
				c.send(request)
				response, body := c.response("GET")
				if response.StatusCode != 413 || body != "enough" || response.Close != (what == "during") {
					t.Errorf("got %d, %q, close=%t", response.StatusCode, body, response.Close)
				}
				if what == "after" {
					c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
					c.expectStatus(413)
				}
			})
		}
	}
}

// A response that the client does not read ends when it goes away.
func TestNoticesThatTheReaderHasGone(t *testing.T) {
	ended := make(chan error, 1)
	s := serveOn(t, networks["tls"], func(w *http1.ResponseWriter, _ *http1.Request) {
		w.WriteHead(200, "OK", -1)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	}, nil)
	c := s.dial(t)
	c.send(simple)
	_, _ = c.reader.Peek(1)
	time.Sleep(30 * time.Millisecond)
	c.reset()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Write: got no error, want one")
		}
	case <-time.After(5 * time.Second):
		t.Error("the handler still writes after 5 s")
	}
}

// Line 15 of the contract: within 50 ms, whenever the client goes away, also if it waits for "100 Continue".
func TestNoticesWithin50Milliseconds(t *testing.T) {
	var noticed chan time.Time // of each bubble
	wait := func(_ *http1.ResponseWriter, r *http1.Request) {
		<-r.Context().Done()
		noticed <- time.Now()
	}
	for _, request := range []string{simple, expecting, expecting + "bo"} {
		for _, after := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, time.Minute} {
			inBubble(t, 0, wait, func(t *testing.T, b *bubble) {
				noticed = make(chan time.Time, 1)
				c := b.dial()
				c.send(request)
				time.Sleep(after)
				left := time.Now()
				_ = c.Close()
				if took := (<-noticed).Sub(left); took > 50*time.Millisecond {
					t.Errorf("%q, after %s: noticed within %s, want 50 ms", request, after, took)
				}
			})
		}
	}
}

// A client that has sent a byte of its next request and then goes away must be noticed while a response is silent.
func TestNoticesPipeliningClientThatGoes(t *testing.T) {
	gone := make(chan struct{})
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		w.WriteHead(200, "OK", -1)
		_ = w.Flush()
		<-r.Context().Done()
		close(gone)
	}, nil)
	c := s.dial(t)
	c.send(simple + "G")
	_, _ = io.ReadAtLeast(c, make([]byte, 100), 10)
	_ = c.Close()
	select {
	case <-gone:
	case <-time.After(3 * time.Second):
		t.Error("the handler still waits after 3 s, want it canceled within 50 ms")
	}
}

// After Interrupt a Read fails at once, also the first one; without it, the connection stays in sync.
func TestInterruptOfUnreadBody(t *testing.T) {
	for _, read := range []bool{true, false} {
		inBubble(t, 0, func(w *http1.ResponseWriter, r *http1.Request) {
			if r.Method == "GET" {
				ok(w, r)
				return
			}
			r.Body.Interrupt()
			if read {
				began := time.Now()
				if _, err := io.Copy(io.Discard, r.Body); err == nil || time.Since(began) != 0 {
					t.Errorf("got %v after %s, want an error at once", err, time.Since(began))
				}
			}
			respond(w, 403, "no")
		}, func(t *testing.T, b *bubble) {
			c := b.dial()
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo")
			if response, _ := c.response("POST"); response.StatusCode != 403 || response.Close != read {
				t.Errorf("got %d, close=%t, want 403 and %t", response.StatusCode, response.Close, read)
			}
			if !read {
				c.send("dy" + simple)
				c.expectStatus(200)
			}
		})
	}
}

// A client that sends a malformed chunk has not gone.
func TestMalformedChunkIsNotGone(t *testing.T) {
	inBubble(t, 0, func(w *http1.ResponseWriter, r *http1.Request) {
		if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, http1.ErrChunk) || r.Gone() {
			t.Errorf("got %v, gone: %t, want %v and false", err, r.Gone(), http1.ErrChunk)
		}
		respond(w, 400, "no")
	}, func(_ *testing.T, b *bubble) {
		c := b.dial()
		c.send(chunkedRequest + "x\r\n")
		c.expectStatus(400)
	})
}
