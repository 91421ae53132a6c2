package wire_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/wire"
)

// The time-outs of the tests' servers, and what is beyond all of them.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	forever       = 1000 * time.Hour
)

// bubble is a server in a synctest bubble.
type bubble struct {
	t        *testing.T
	listener *fakeetrusted.Listener
	wire     *wire.Listener
	server   *http.Server
	evicted  chan struct{}
	served   chan error
}

// inBubble runs test with a server that may have limit connections.
func inBubble(t *testing.T, limit int, handler http.HandlerFunc, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, listener: fakeetrusted.NewListener(), evicted: make(chan struct{}, 100), served: make(chan error, 1)}
		b.wire = wire.NewListener(b.listener, limit, func() { b.evicted <- struct{}{} })
		b.server = &http.Server{
			Handler:           handler,
			ConnState:         wire.ConnState,
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			ErrorLog:          log.New(io.Discard, "", 0),
		}
		go func() { b.served <- b.server.Serve(b.wire) }()
		test(t, b)
		_ = b.server.Close()
		if err := <-b.served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		time.Sleep(forever) // handlers that nothing else ends
	})
}

// client is one end of a connection to a bubble's server.
type client struct {
	net.Conn
	t        *testing.T
	reader   *bufio.Reader
	accepted time.Time
}

func (b *bubble) dial() *client {
	b.t.Helper()
	c, err := b.listener.Dial(context.Background(), "pipe", "")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	synctest.Wait()
	return &client{Conn: c, t: b.t, reader: bufio.NewReader(c), accepted: time.Now()}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("sending %.40q: %v", text, err)
	}
	synctest.Wait()
}

// status reads a response.
func (c *client) status() int {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
	return response.StatusCode
}

// untilClosed reads until the connection is closed, and returns how long that took.
func (c *client) untilClosed() time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c.reader)
	return time.Since(began)
}

// isOpen reports whether the server still has the connection.
func (c *client) isOpen() bool {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now()) // a Peek that would wait ends at once
	_, err := c.reader.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	var timeout net.Error
	return err == nil || asTimeout(err, &timeout)
}

func asTimeout(err error, timeout *net.Error) bool {
	found, ok := err.(net.Error) //nolint:errorlint // net.Pipe does not wrap it
	*timeout = found
	return ok && found.Timeout()
}

const simple = "GET /simple HTTP/1.1\r\nHost: a\r\n\r\n"

func ok(w http.ResponseWriter, r *http.Request) {
	if fault := wire.ErrorFrom(r); fault != nil {
		w.WriteHeader(fault.Status)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
}

// A header has ReadHeaderTimeout to arrive, on a connection that was kept alive too, and how ever little of it came.
func TestHalfHeader(t *testing.T) {
	for name, begun := range map[string]string{"first": "", "second": simple} {
		for _, half := range []string{"GET ", "GET /", "GET / HTTP/1.1\r\nHost: a\r\nX: y"} {
			t.Run(fmt.Sprintf("%s %q", name, half), func(t *testing.T) {
				inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
					c := b.dial()
					if begun != "" {
						c.send(begun)
						_ = c.status()
						time.Sleep(time.Minute)
					}
					began := time.Now()
					c.send(half)
					if status := c.status(); status != http.StatusRequestTimeout {
						t.Errorf("%d", status)
					}
					_ = c.untilClosed()
					if took := time.Since(began); took != headerTimeout {
						t.Errorf("closed after %s", took)
					}
				})
			})
		}
	}
}

// A connection on which nothing came ends without a word: there may be a request of the client's on its way.
func TestIdle(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send(simple + "\r\n")
		_ = c.status()
		if took := c.untilClosed(); took != idleTimeout {
			t.Errorf("closed after %s", took)
		}
	})
}

// What is certain to be at fault is answered without waiting for the rest.
func TestRefusesMalformedRequestAtOnce(t *testing.T) {
	for _, text := range []string{
		"\x16\x03\x01", "\n", "\r\n\r\n", "GET / HTTP/1.1\r\nX\n", "GET / HTTP/1.1\r\nX: \x00", "GET /%zz ", "GET / HTTP/2.0\r",
		"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n ",
	} {
		inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
			c := b.dial()
			began := time.Now()
			go func() { _, _ = io.WriteString(c, text) }() // its end may find nobody who reads
			if status := c.status(); status/100 == 2 {
				t.Errorf("%q: %d", text, status)
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("%q: answered after %s", text, took)
			}
		})
	}
}

// A request that takes long is not disturbed by what comes after it, be it good, half or bad; and what came while it ran
// has its turn after it.
func TestNextHeaderWhileARequestRuns(t *testing.T) {
	for name, test := range map[string]struct {
		now, later string
		status     int
	}{
		"whole":      {simple, "", 200},
		"one byte":   {"G", simple[1:], 200},
		"four bytes": {"GET ", simple[4:], 200},
		"half":       {simple[:20], simple[20:], 200},
		"bad":        {"GET / HTTP/1.1\nHost: a\r\n\r\n", "", 400},
		"bad later":  {simple[:20], "\x00", 400},
	} {
		t.Run(name, func(t *testing.T) {
			slow := func(w http.ResponseWriter, r *http.Request) {
				if wire.ErrorFrom(r) == nil && r.URL.Path == "/slow" {
					select {
					case <-r.Context().Done():
						t.Error("it was ended")
					case <-time.After(time.Hour):
					}
				}
				ok(w, r)
			}
			inBubble(t, 0, slow, func(t *testing.T, b *bubble) {
				c := b.dial()
				c.send(strings.Replace(simple, "simple", "slow", 1) + test.now)
				time.Sleep(time.Minute)
				if status := c.status(); status != 200 {
					t.Errorf("%d", status)
				}
				if test.later != "" {
					go func() { _, _ = io.WriteString(c, test.later) }()
				}
				if status := c.status(); status != test.status {
					t.Errorf("the next: %d", status)
				}
			})
		})
	}
}

// A client that goes away while its request runs is noticed.
func TestClientGone(t *testing.T) {
	gone := make(chan time.Duration, 1)
	wait := func(_ http.ResponseWriter, r *http.Request) {
		began := time.Now()
		<-r.Context().Done()
		gone <- time.Since(began)
	}
	inBubble(t, 0, wait, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send(simple)
		time.Sleep(time.Minute)
		_ = c.Close()
		if after := <-gone; after != time.Minute {
			t.Errorf("noticed after %s", after)
		}
	})
}

// After CONNECT nothing is read as HTTP.
func TestConnect(t *testing.T) {
	stage := newStage(t, true)
	for _, target := range []string{"a:443", "/rpc"} {
		played := stage.play(t, []byte("CONNECT "+target+" HTTP/1.1\r\nHost: a\r\n\r\n"+behind))
		if r := played.log.requests; len(r) != 1 || r[0].method != "CONNECT" || r[0].fault != "" {
			t.Errorf("%+v", r)
		}
	}
}

// TestIdleConnectionsAreSmall holds that a connection takes memory for what it reads only while there is something: there may
// be thousands, and nearly all of them wait for their next request.
func TestIdleConnectionsAreSmall(t *testing.T) { // not parallel: it looks at the memory of the whole program
	const count, most = 500, 2 << 10
	connections := make([]net.Conn, count)
	for i := range connections {
		connections[i] = reader(newScript([]byte(usual)))
	}
	idle := heap()
	for _, c := range connections {
		if got, err := io.ReadAll(io.LimitReader(c, int64(len(usual)))); err != nil || string(got) != usual {
			t.Fatalf("%q, %v", got, err)
		}
		wire.ConnState(c, http.StateIdle)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatal("there is more to read")
		}
	}
	if each := (int64(heap()) - int64(idle)) / count; each > most {
		t.Errorf("after a request, an idle connection takes %d bytes more, want %d at the most", each, most)
	}
	runtime.KeepAlive(connections)
}

// heap is how much of it is in use.
func heap() uint64 {
	for range 3 { // what a pool holds lives through one collection
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
