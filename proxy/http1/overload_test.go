package http1_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// upload uploads 4 KiB every 100 ms, which is just fast enough not to be evicted, until the connection ends.
func (b *bubble) upload() (ended chan struct{}) {
	c := b.dial()
	ended = make(chan struct{})
	c.send("POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
	go func() {
		defer close(ended)
		for {
			if _, err := io.WriteString(c, strings.Repeat("x", 4<<10)); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return ended
}

// Clients that are just fast enough cannot hold all connections for ever: once a new one has waited for a second, they must be
// faster, for ten seconds.
func TestOverloadEndsSlowTransfers(t *testing.T) {
	inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
		for range 2 {
			began := time.Now()
			ended := b.upload()
			c := b.dial()
			<-ended
			if after := time.Since(began); after < time.Second || after > 1200*time.Millisecond {
				t.Errorf("the first transfer was closed after %s, want some 1 s", after)
			}
			synctest.Wait()
			_ = c.Close()
			synctest.Wait()
			began = time.Now()
			ended = b.upload()
			c = b.dial()
			<-ended
			if after := time.Since(began); after > 200*time.Millisecond {
				t.Errorf("the second transfer was closed after %s, want less than 200 ms", after)
			}
			_ = c.Close()
			time.Sleep(11 * time.Second)
		}
	})
}

// If the server waits both for a request's body and for the client to read, the longer wait counts.
func TestLongerWaitCounts(t *testing.T) {
	handler := func(w *http1.ResponseWriter, r *http1.Request) {
		time.AfterFunc(200*time.Millisecond, func() { _, _ = io.Copy(io.Discard, r.Body) })
		w.WriteHead(200, "OK", -1)
		_ = w.Flush()
	}
	inBubble(t, 1, handler, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
		_ = b.dial()
		time.Sleep(stallTimeout - 1)
		if len(b.evicted) > 0 {
			t.Error("closed too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if len(b.evicted) != 1 {
			t.Errorf("not closed after %s", stallTimeout)
		}
	})
}
