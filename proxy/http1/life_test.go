package http1_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// Row E23: a header has HeaderTimeout to arrive, on a connection that was kept alive too, however little of it came.
func TestSlowHeaderGets408(t *testing.T) {
	for name, first := range map[string]string{"first request": "", "second request": simple} {
		for _, half := range []string{"G", "GET ", "GET / HTTP/1.1\r\nHost: a\r\nX: y", "\r\nG"} {
			t.Run(fmt.Sprintf("%s %q", name, half), func(t *testing.T) {
				inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
					c := b.dial()
					if first != "" {
						c.send(first)
						c.expectStatus(200)
						time.Sleep(time.Minute)
					}
					began := time.Now()
					c.send(half)
					response, body := c.response("GET")
					if response.StatusCode != 408 || body != "slow" || !response.Close {
						t.Errorf("got %d, %q, close=%t, want 408 and Connection: close", response.StatusCode, body, response.Close)
					}
					_, _ = c.untilClosed()
					if after := time.Since(began); after != headerTimeout {
						t.Errorf("closed after %s, want %s", after, headerTimeout)
					}
				})
			})
		}
	}
}

// A byte each second does not extend the time for the header.
func TestDrippingHeaderGets408(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		c := b.dial()
		began := time.Now()
		go func() {
			for i := range simple {
				if _, err := io.WriteString(c, simple[i:i+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		c.expectStatus(408)
		if after := time.Since(began); after != headerTimeout {
			t.Errorf("answered after %s, want %s", after, headerTimeout)
		}
	})
}

// The time for a header begins with its first byte, on a new connection too.
func TestHeaderTimeBeginsWithFirstByte(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		c := b.dial()
		for _, part := range []string{simple[:10], simple[10:]} {
			time.Sleep(headerTimeout - time.Second)
			c.send(part)
		}
		c.expectStatus(200)
	})
}

// Row E22: without a byte of a request the connection ends silently: a 408 could be taken for the response to a request that is
// just being sent.
func TestSilentConnectionIsClosedSilently(t *testing.T) {
	for _, sent := range []string{"", "\r\n"} {
		inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
			c := b.dial()
			if sent != "" {
				c.send(sent)
			}
			if text, after := c.untilClosed(); text != "" || after != headerTimeout {
				t.Errorf("after %q: got %q and closed after %s, want nothing and %s", sent, text, after, headerTimeout)
			}
		})
	}
}

// Row E24. An empty line after a body, which some clients send, does not begin a request.
func TestIdleConnectionIsClosedSilently(t *testing.T) {
	for _, sent := range []string{"", "\r\n"} {
		inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
			c := b.dial()
			for range 3 {
				c.send(simple + sent)
				c.expectStatus(200)
				time.Sleep(idleUpstreamTimeout / 2)
				if sent != "" {
					break
				}
			}
			left := idleUpstreamTimeout / 2
			if text, after := c.untilClosed(); text != "" || after > left || after < left-time.Second {
				t.Errorf("after %q: got %q and closed after %s, want nothing and %s", sent, text, after, left)
			}
		})
	}
}

// What is certain to be malformed is refused without waiting for the rest.
func TestRefusesMalformedRequestAtOnce(t *testing.T) {
	for _, text := range []string{
		"\x16\x03\x01", "\n", "\r\n\r\n", "GET / HTTP/1.1\r\nX\n", "GET / HTTP/1.1\r\nX: \x00", "GET / HTTP/2.0\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX\r\n", strings.Repeat("x", 64<<10),
	} {
		inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
			c := b.dial()
			began := time.Now()
			go func() { _, _ = io.WriteString(c, text) }() // its end may not be read
			if response, _ := c.response("GET"); response.StatusCode/100 == 2 {
				t.Errorf("%.40q: got %d, want an error", text, response.StatusCode)
			}
			if after := time.Since(began); after != 0 {
				t.Errorf("%.40q: answered after %s, want at once", text, after)
			}
		})
	}
}

// Rows E11 and E12: what comes while a request is served does not disturb it, whether it is well-formed, incomplete or
// malformed, and is read afterwards.
func TestNextRequestDoesNotDisturbTheCurrent(t *testing.T) {
	for name, test := range map[string]struct {
		now, later string
		status     int
	}{
		"whole":      {simple, "", 200},
		"one byte":   {"G", simple[1:], 200},
		"CR LF":      {"\r\n", simple, 200},
		"CR":         {"\r", "\n" + simple, 200},
		"four bytes": {"GET ", simple[4:], 200},
		"half":       {simple[:20], simple[20:], 200},
		"bad":        {"GET / HTTP/1.1\nHost: a\r\n\r\n", "", 400},
		"bad later":  {simple[:20], "\x00", 400},
	} {
		for _, pause := range []time.Duration{0, time.Minute} { // before and after the server has begun to watch the client
			t.Run(name, func(t *testing.T) {
				slow := func(w *http1.ResponseWriter, r *http1.Request) {
					if path(r) == "/slow" {
						select {
						case <-r.Context().Done():
							t.Error("the request was canceled")
						case <-time.After(time.Hour):
						}
						if r.Gone() {
							t.Error("the client is said to have gone")
						}
					}
					ok(w, r)
				}
				inBubble(t, 0, slow, func(t *testing.T, b *bubble) {
					c := b.dial()
					if pause > 0 {
						c.send(strings.Replace(simple, "simple", "slow", 1))
						time.Sleep(pause)
						go func() { _, _ = io.WriteString(c, test.now) }() // it may be read only later
						time.Sleep(time.Minute)
					} else {
						c.send(strings.Replace(simple, "simple", "slow", 1) + test.now)
					}
					c.expectStatus(200)
					if test.later != "" {
						go func() { _, _ = io.WriteString(c, test.later) }()
					}
					c.expectStatus(test.status)
				})
			})
		}
	}
}

// A request may take longer than all timeouts, before, during and after its body.
func TestBodiesHaveNoTimeout(t *testing.T) {
	handler := func(w *http1.ResponseWriter, r *http1.Request) {
		if r.Malformed != nil {
			ok(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		time.Sleep(time.Hour)
		w.WriteHead(200, "OK", -1)
		for range 3 {
			_, _ = io.WriteString(w, "part")
			_ = w.Flush()
			time.Sleep(time.Hour)
		}
		_, _ = fmt.Fprintf(w, "%d %v", len(body), err)
	}
	inBubble(t, 0, handler, func(t *testing.T, b *bubble) {
		c := b.dial()
		for range 2 {
			c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
			for range 10 {
				time.Sleep(time.Hour)
				c.send("x")
			}
			if _, body := c.response("GET"); body != "partpartpart10 <nil>" {
				t.Errorf("got %q", body)
			}
		}
		c.send(simple[:10])
		if _, after := c.untilClosed(); after != headerTimeout {
			t.Errorf("a half header afterwards: closed after %s, want %s", after, headerTimeout)
		}
	})
}

// Row C33 and line 22 of the contract: a refusal is sent before the rest of the body is read. That has HeaderTimeout.
func TestAnswersBeforeDiscardingTheBody(t *testing.T) {
	refuse := func(w *http1.ResponseWriter, r *http1.Request) {
		if r.Method != "POST" {
			ok(w, r)
			return
		}
		time.Sleep(headerTimeout / 2) // the time for the header does not count
		respond(w, 403, "no")
	}
	for name, test := range map[string]struct{ request, rest string }{
		"length": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n", strings.Repeat("x", 100)},
		"chunks": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "64\r\n" + strings.Repeat("x", 100) + "\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, refuse, func(t *testing.T, b *bubble) {
				for _, finish := range []bool{true, false} {
					c := b.dial()
					began := time.Now()
					c.send(test.request)
					if response, _ := c.response("GET"); response.StatusCode != 403 || response.Close || time.Since(began) != headerTimeout/2 {
						t.Fatalf("got %d, close=%t after %s, want 403 as soon as it is there", response.StatusCode, response.Close, time.Since(began))
					}
					time.Sleep(headerTimeout / 2)
					c.send(test.rest[:50])
					if finish {
						c.send(test.rest[50:] + simple)
						c.expectStatus(200)
						continue
					}
					if text, after := c.untilClosed(); text != "" || after != headerTimeout/2 {
						t.Errorf("a body that stalls: got %q and closed after %s, want nothing and %s", text, after, headerTimeout/2)
					}
				}
			})
		})
	}
}

// A panic of a handler ends its connection only.
func TestPanicEndsOneConnection(t *testing.T) {
	handler := func(w *http1.ResponseWriter, r *http1.Request) {
		switch path(r) {
		case "/panic":
			panic("oops")
		case "/late":
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "part")
			_ = w.Flush()
			panic("late")
		}
		ok(w, r)
	}
	inBubble(t, 0, handler, func(t *testing.T, b *bubble) {
		reasons := make(chan any, 10)
		b.server.OnPanic = func(reason any) { reasons <- reason }
		other := b.dial()
		for path, want := range map[string]string{"/panic": "oops", "/late": "late"} {
			c := b.dial()
			c.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
			text, after := c.untilClosed()
			if after != 0 || path == "/panic" && text != "" || strings.HasSuffix(text, "0\r\n\r\n") {
				t.Errorf("%s: got %q after %s, want no clean end", path, text, after)
			}
			if reason := <-reasons; reason != want {
				t.Errorf("%s: OnPanic got %v, want %s", path, reason, want)
			}
		}
		other.send(simple)
		other.expectStatus(200)
		synctest.Wait()
	})
}
