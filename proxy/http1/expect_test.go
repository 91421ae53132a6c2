package http1_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

const expecting = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"

// Rows E13 to E19, as far as they concern the server: "100 Continue" is sent when the handler reads the body, and not after its
// response has begun.
func TestSendsContinueOnlyIfTheBodyIsRead(t *testing.T) {
	const proceed = "HTTP/1.1 100 Continue\r\n\r\n"
	for name, test := range map[string]struct {
		request string
		handler handlerFunc
		want    string
	}{
		"read": {expecting + "body" + get, ok,
			proceed + "HTTP/1.1 200 Status\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Status\r\nContent-Length: 2\r\n\r\nok"},
		"chunked": {strings.Replace(chunkedRequest, "Host", "Expect: 100-continue\r\nHost", 1) + "1\r\nx\r\n0\r\n\r\n", ok,
			proceed + "HTTP/1.1 200 Status\r\nContent-Length: 2\r\n\r\nok"},
		"body complete already": {strings.Replace(chunkedRequest, "Host", "Expect: 100-continue\r\nHost", 1) + "0\r\n\r\n", ok,
			"HTTP/1.1 200 Status\r\nContent-Length: 2\r\n\r\nok"},
		"refused": {expecting + "body" + get, func(w *http1.ResponseWriter, _ *http1.Request) { respond(w, 413, "no") },
			"HTTP/1.1 413 Status\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"},
		"read after the response": {expecting + "body" + get, func(w *http1.ResponseWriter, r *http1.Request) {
			respond(w, 413, "no")
			_, _ = io.ReadAll(r.Body)
		}, "HTTP/1.1 413 Status\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"},
		"informational before": {expecting + "body", func(w *http1.ResponseWriter, r *http1.Request) {
			_ = w.WriteInformational(103, "Early", nil)
			ok(w, r)
		}, "HTTP/1.1 103 Early\r\n\r\n" + proceed + "HTTP/1.1 200 Status\r\nContent-Length: 2\r\n\r\nok"},
		"without a body": {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", ok,
			"HTTP/1.1 200 Status\r\nContent-Length: 2\r\n\r\nok"},
		"HTTP/1.0": {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", ok,
			"HTTP/1.0 200 Status\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
	} {
		t.Run(name, func(t *testing.T) {
			output := playOn(t, newScript([]byte(test.request)), test.handler)
			for _, line := range strings.SplitAfter(output, "\r\n") {
				if strings.HasPrefix(line, "Date: ") {
					output = strings.Replace(output, line, "", 1)
				}
			}
			if output != test.want {
				t.Errorf("got\n%q, want\n%q", output, test.want)
			}
		})
	}
}

// The client really waits: the 100 comes before the body.
func TestContinueComesBeforeTheBody(t *testing.T) {
	for name, network := range networks {
		s := serveOn(t, network, func(w *http1.ResponseWriter, r *http1.Request) {
			if !r.ExpectContinue {
				t.Errorf("%s: ExpectContinue is false", name)
			}
			ok(w, r)
		}, nil)
		c := s.dial(t)
		for range 2 {
			c.send(expecting)
			c.expectStatus(100)
			c.send("body")
			c.expectStatus(200)
		}
	}
}

// What a client sends of a body before it gets "100 Continue" is a part of the body, whenever it comes.
func TestBodyMayBeginBeforeContinue(t *testing.T) {
	slowly := func(w *http1.ResponseWriter, r *http1.Request) {
		time.Sleep(time.Hour)
		body, err := io.ReadAll(r.Body)
		respond(w, 200, fmt.Sprintf("%s %v", body, err))
	}
	inBubble(t, 0, slowly, func(t *testing.T, b *bubble) {
		c := b.dial()
		for range 2 {
			c.send(expecting + "b")
			time.Sleep(time.Minute) // the server watches the client
			c.send("o")
			c.expectStatus(100)
			time.Sleep(time.Hour) // longer than all timeouts
			c.send("dy")
			if _, body := c.response("GET"); body != "body <nil>" {
				t.Errorf("got %q, want the whole body", body)
			}
		}
	})
}

// A handler that does not want the body may say so while the client waits for "100 Continue". The client has not gone then.
func TestInterruptBeforeContinueIsNotGone(t *testing.T) {
	inBubble(t, 0, func(w *http1.ResponseWriter, r *http1.Request) {
		time.Sleep(time.Minute)
		r.Body.Interrupt()
		time.Sleep(time.Minute)
		if r.Gone() || r.Context().Err() != nil {
			t.Error("the client is said to have gone")
		}
		respond(w, 413, "enough")
	}, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send(expecting)
		if response, body := c.response("GET"); response.StatusCode != 413 || body != "enough" || !response.Close {
			t.Errorf("got %d %q, close=%t, want 413 and Connection: close", response.StatusCode, body, response.Close)
		}
	})
}

// A Read after Interrupt fails at once, whether the server has begun to watch the client that waits for "100 Continue" or not.
func TestInterruptBeforeContinueEndsRead(t *testing.T) {
	for _, before := range []time.Duration{0, time.Minute} {
		for _, after := range []time.Duration{0, time.Minute} {
			inBubble(t, 0, func(w *http1.ResponseWriter, r *http1.Request) {
				time.Sleep(before)
				r.Body.Interrupt()
				time.Sleep(after)
				began := time.Now()
				if n, err := io.Copy(io.Discard, r.Body); err == nil || n > 0 || time.Since(began) != 0 || r.Gone() {
					t.Errorf("%s, %s: got %d bytes, %v after %s, gone: %t; want an error at once", before, after, n, err, time.Since(began), r.Gone())
				}
				respond(w, 413, "enough")
			}, func(_ *testing.T, b *bubble) {
				c := b.dial()
				c.send(expecting)
				c.expectStatus(100)
				c.expectStatus(413)
			})
		}
	}
}
