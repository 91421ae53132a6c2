package http1_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

func TestSendsBodyAfterContinueOrASecond(t *testing.T) {
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
				u := pipeUpstream(10*time.Second, func(c *upstreamConn) {
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
				response, err := u.client.RoundTrip(r)
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
				u.close()
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
