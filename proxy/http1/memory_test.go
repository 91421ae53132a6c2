package http1_test

import (
	"bufio"
	"runtime"
	"strings"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// heap returns how many bytes of the heap and of stacks are in use.
func heap() int64 {
	for range 3 { // what a pool holds survives one collection
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse)
}

// An idle connection holds no buffer, no header and no response: there may be thousands.
func TestIdleConnectionsAreSmall(t *testing.T) { // not parallel: it looks at the memory of the whole program
	manyFields := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A:\r\n", 4000) + "\r\n"
	for what, test := range map[string]struct {
		network string
		count   int
		request string
		limit   int64
	}{
		"tcp":             {"tcp", 1000, simple, 16 << 10},
		"new":             {"tcp", 1000, "", 16 << 10},
		"long header":     {"tcp", 200, padded(64 << 10), 16 << 10},
		"many fields":     {"tcp", 200, manyFields, 16 << 10},
		"body":            {"tcp", 200, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 64<<10), 16 << 10},
		"response fields": {"tcp", 200, "GET /fields HTTP/1.1\r\nHost: a\r\n\r\n", 16 << 10},
		"tls":             {"tls", 100, simple, 64 << 10},
	} {
		t.Run(what, func(t *testing.T) {
			s := serveOn(t, networks[test.network], func(w *http1.ResponseWriter, r *http1.Request) {
				if path(r) == "/fields" {
					for range 4000 {
						w.Fields.Add("A", "b")
					}
				}
				ok(w, r)
			}, func(s *http1.Server) { s.HeaderTimeout = time.Hour })
			clients := make([]*clientConn, test.count)
			for i := range clients {
				clients[i] = s.dial(t)
				clients[i].reader = nil
				_ = clients[i].SetDeadline(time.Time{}) // many connections take long under the race detector
			}
			empty := heap()
			for _, c := range clients {
				if test.request != "" {
					c.send(test.request)
					c.reader = bufio.NewReader(c)
					c.expectStatus(200)
					c.reader = nil
				}
			}
			if each := (heap() - empty) / int64(test.count); each > test.limit {
				t.Errorf("an idle connection holds %d bytes more than an accepted one, want at most %d", each, test.limit)
			} else {
				t.Logf("an idle connection holds %d bytes more than an accepted one", each)
			}
			runtime.KeepAlive(clients)
		})
	}
}

// After a long header the buffer is small again, and what is short never needs more.
func TestBufferIsSmallAgain(t *testing.T) {
	const small = 4 << 10
	long := padded(40 << 10)
	for name, pieces := range map[string][][]byte{
		"idle":         {[]byte(long), []byte(simple)},
		"half a next":  {[]byte(long), []byte(simple[:20]), []byte(simple[20:])},
		"next with it": {[]byte(long[:len(long)-1]), []byte(long[len(long)-1:] + simple[:20]), []byte(simple[20:])},
	} {
		client := newScript(pieces...)
		count := 0
		playOn(t, client, func(w *http1.ResponseWriter, r *http1.Request) {
			if count++; count == 2 {
				client.mu.Lock()
				client.asked = 0
				client.mu.Unlock()
			}
			ok(w, r)
		})
		if count != 2 || client.asked > small {
			t.Errorf("%s: %d requests, then a read of %d bytes, want 2 and at most %d", name, count, client.asked, small)
		}
	}
	client := newScript(cut([]byte(strings.Repeat(simple, 1000)), 255)...)
	playOn(t, client, ok)
	// On a busy machine the watch for a client that goes away may have read as much again.
	if client.asked > 2*small {
		t.Errorf("pipelined requests: a read of %d bytes, want at most %d", client.asked, 2*small)
	}
}
