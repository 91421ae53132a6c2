package http1_test

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// slowEcho answers with the target: after a minute, if that begins with /slow.
func slowEcho(w *http1.ResponseWriter, r *http1.Request) {
	if strings.HasPrefix(r.Target, "/slow") {
		time.Sleep(time.Minute)
	}
	respond(w, 200, r.Target)
}

func (c *clientConn) expectEcho(target string) {
	c.t.Helper()
	if response, body := c.response("GET"); response.StatusCode != 200 || body != target {
		c.t.Errorf("got %d %q, want the response to %s", response.StatusCode, body, target)
	}
}

func getRequest(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }

// What arrives while a request is served is served once, and in order.
func TestServesEarlyRequestsOnce(t *testing.T) {
	inBubble(t, 0, slowEcho, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send(getRequest("/slow/0"))
		for _, target := range []string{"/slow/1", "/slow/2", "/3"} {
			time.Sleep(time.Second)
			c.send(getRequest(target))
			time.Sleep(time.Minute - time.Second)
			c.expectEcho(map[string]string{"/slow/1": "/slow/0", "/slow/2": "/slow/1", "/3": "/slow/2"}[target])
		}
		c.expectEcho("/3")
		if !c.isOpen() || c.reader.Buffered() > 0 {
			t.Error("got more than the responses, or the end")
		}
	})
}

// A client that sends requests faster than they are served must not fill the memory.
func TestReadsLittleWhileServing(t *testing.T) {
	inBubble(t, 0, hold, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send(atWork["GET"])
		var sent atomic.Int64
		go func() {
			for range 64 << 10 {
				n, err := io.WriteString(c, "x")
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Hour)
		if got := sent.Load(); got < 1000 || got > 8<<10 {
			t.Errorf("%d bytes were read while a request is served, want some 4 KiB", got)
		}
	})
}

// A write that fails shows that the client has gone, even if nothing is read from it.
func TestFailedWriteMeansGone(t *testing.T) {
	inBubble(t, 0, func(w *http1.ResponseWriter, r *http1.Request) {
		canceler := newCancelSignal()
		r.CancelWhenGone(canceler)
		w.WriteHead(200, "OK", -1)
		_, err := w.ReadFrom(&upstreamBody{Reader: readerFunc(func([]byte) (int, error) {
			t.Error("the body is read for a client that has gone")
			return 0, io.EOF
		})})
		if err == nil || !r.Gone() || len(canceler) != 1 {
			t.Errorf("got %v, gone: %t, canceled %d times, want an error, true and 1", err, r.Gone(), len(canceler))
		}
		if w.Finish() {
			t.Error("Finish: got true, want false")
		}
	}, func(_ *testing.T, b *bubble) {
		c := b.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		_ = c.Close()
	})
}
