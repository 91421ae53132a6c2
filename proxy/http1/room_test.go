package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// stallTimeout is how long the server waits for a client before its connection can be closed to make room.
const stallTimeout = 250 * time.Millisecond

// hold is a handler that answers /simple at once, /slow after a minute, /much with as much as the client reads, and anything else
// never.
func hold(w *http1.ResponseWriter, r *http1.Request) {
	switch {
	case r.Malformed != nil, path(r) == "/simple":
		ok(w, r)
	case path(r) == "/much":
		w.WriteHead(200, "OK", -1)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 8<<10)); err != nil {
				return
			}
		}
	case path(r) == "/part":
		w.WriteHead(200, "OK", -1)
		_, _ = io.WriteString(w, "part")
		_ = w.Flush()
		time.Sleep(time.Minute)
	case path(r) == "/slow":
		time.Sleep(time.Minute)
		ok(w, r)
	case path(r) == "/drain":
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHead(200, "OK", 0)
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(forever): // with a part of the next request there, a client that goes away is not noticed
		}
	}
}

// slow brings a connection into a state in which the server waits for its client.
var slow = map[string]func(c *clientConn){
	"nothing":         func(*clientConn) {},
	"half a header":   func(c *clientConn) { c.send(simple[:20]) },
	"idle":            func(c *clientConn) { c.send(simple); c.expectStatus(200) },
	"half the second": func(c *clientConn) { c.send(simple); c.expectStatus(200); c.send(simple[:20]) },
	"half a body": func(c *clientConn) {
		c.send("POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	},
	"half a chunk": func(c *clientConn) {
		c.send("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf")
	},
	"no chunk": func(c *clientConn) { c.send("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") },
	"half a size": func(c *clientConn) {
		c.send("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8")
	},
	"reads not":     func(c *clientConn) { c.send("GET /much HTTP/1.1\r\nHost: a\r\n\r\n") },
	"reads a bit":   func(c *clientConn) { c.send("GET /much HTTP/1.1\r\nHost: a\r\n\r\n"); _, _ = c.reader.Peek(1) },
	"next idle":     func(c *clientConn) { c.send(simple); c.expectStatus(200); c.send(simple); c.expectStatus(200) },
	"an empty line": func(c *clientConn) { c.send("\r\n") },
}

// atWork brings a connection into a state in which the client waits for the server.
var atWork = map[string]string{
	"GET":            "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n",
	"a body":         "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
	"chunks":         "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	"one and a half": "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /",
}

// A client for which the server waits makes room. One that waits for the server does not, however long it takes.
func TestEvictsSlowClients(t *testing.T) {
	for name, slowly := range slow {
		t.Run(name, func(t *testing.T) {
			inBubble(t, len(atWork)+1, hold, func(t *testing.T, b *bubble) {
				var working []*clientConn
				for _, request := range atWork {
					c := b.dial()
					c.send(request)
					working = append(working, c)
				}
				time.Sleep(time.Hour)
				victim := b.dial()
				slowly(victim)
				time.Sleep(time.Second)

				c := b.dial()
				c.send(simple)
				c.expectStatus(200)
				if len(b.evicted) != 1 || victim.isOpen() && name != "reads a bit" {
					t.Errorf("%d connections were evicted, want 1, the victim", len(b.evicted))
				}
				for _, c := range working {
					if !c.isOpen() {
						t.Error("a connection at work was closed")
					}
				}
			})
		})
	}
}

// Connections without a first header are evicted before all others, and of each kind the one that has kept the server waiting
// longest.
func TestEvictsSlowestFirst(t *testing.T) {
	inBubble(t, 4, hold, func(t *testing.T, b *bubble) {
		var order []*clientConn
		for _, state := range []string{"idle", "half a body", "half a header", "nothing"} {
			c := b.dial()
			slow[state](c)
			order = append(order, c)
			time.Sleep(time.Second)
		}
		order = append(order[2:], order[:2]...)
		for i := range order {
			c := b.dial()
			c.send(atWork["GET"])
			if len(b.evicted) != i+1 || order[i].isOpen() {
				t.Fatalf("%d was not closed, of %d", i, len(b.evicted))
			}
			for _, later := range order[i+1:] {
				if !later.isOpen() {
					t.Fatalf("after %d, a later one was closed too", i)
				}
			}
		}
	})
}

// halfCloser is a connection that can be half-closed, so that the server lets the client read the last response.
type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

// A connection whose last response was sent makes room at once, before one on which the server has waited longer.
func TestEvictsClosingConnectionFirst(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Second} {
		inBubble(t, 2, hold, func(t *testing.T, b *bubble) {
			older := b.dial()
			time.Sleep(pause)
			near, far := net.Pipe()
			if err := b.server.Serve(listenerOf(halfCloser{far})); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Serve: got %v, want that of the listener", err)
			}
			closing := newClientConn(t, near, synctest.Wait)
			closing.send("\n")
			closing.expectStatus(400)
			began := time.Now()
			c := b.dial()
			c.send(simple)
			c.expectStatus(200)
			if time.Since(began) != 0 || !older.isOpen() || len(b.evicted) != 1 {
				t.Errorf("after %s: served after %s, another was closed: %t, %d evicted; want only the closing one to make room, at once", pause, time.Since(began), !older.isOpen(), len(b.evicted))
			}
		})
	}
}

// A byte now and then does not keep a connection, neither in a header nor in a body. A client that sends enough is not slow.
func TestDrippingDoesNotPreventEviction(t *testing.T) {
	for name, test := range map[string]struct {
		begin, drip string
		kept        bool
	}{
		"header":               {simple[:len(simple)-4], "x", false},
		"long header":          {simple[:len(simple)-4], strings.Repeat("x", 4<<10), false},
		"body":                 {"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "x", false},
		"chunks":               {"POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", false},
		"body that began well": {"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 8<<10), "x", false},
		"a real body":          {"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", strings.Repeat("x", 4<<10), true},
		"real chunks":          {"POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n" + strings.Repeat("x", 4<<10) + "\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
				c := b.dial()
				c.send(test.begin)
				for range 10 {
					time.Sleep(stallTimeout / 5)
					c.send(test.drip)
				}
				second := b.dial()
				go func() { _, _ = io.WriteString(second, simple) }()
				for range 2 {
					time.Sleep(stallTimeout / 5)
					if _, err := io.WriteString(c, test.drip); (err == nil) != test.kept {
						t.Fatalf("%v", err)
					}
				}
				if closed := len(b.evicted) == 1; closed == test.kept {
					t.Errorf("closed: %t", closed)
				}
			})
		})
	}
}

// The time in which the upstream does not take a body is not the client's.
func TestSlowUpstreamIsNotTheClientsFault(t *testing.T) {
	next := make(chan struct{})
	handler := func(_ *http1.ResponseWriter, r *http1.Request) {
		some := make([]byte, 4)
		for {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			if _, err := io.ReadFull(r.Body, some); err != nil {
				return
			}
		}
	}
	inBubble(t, 1, handler, func(t *testing.T, b *bubble) {
		next = make(chan struct{})
		c := b.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
		time.Sleep(time.Hour)
		next <- struct{}{}
		synctest.Wait()
		second := b.dial()
		time.Sleep(stallTimeout - 1)
		if !c.isOpen() || len(b.evicted) > 0 {
			t.Error("closed before it was waited for long enough")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if c.isOpen() || len(b.evicted) != 1 {
			t.Error("not closed")
		}
		_ = second
	})
}

// While all connections are at work, the next one waits until one of them ends.
func TestNewConnectionWaitsForRoom(t *testing.T) {
	for name, release := range map[string]func(b *bubble, first *clientConn){
		"one ends": func(_ *bubble, first *clientConn) { _ = first.Close() },
		"one answered": func(_ *bubble, first *clientConn) {
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler := func(w *http1.ResponseWriter, r *http1.Request) {
				if path(r) == "/hold" {
					select {
					case <-r.Context().Done():
					case <-time.After(24*time.Hour + time.Second/2):
					}
				}
				ok(w, r)
			}
			inBubble(t, 1, handler, func(t *testing.T, b *bubble) {
				first := b.dial()
				first.send(atWork["GET"])
				time.Sleep(24 * time.Hour)
				second := b.dial()
				answered := make(chan struct{})
				go func() {
					defer close(answered)
					_, _ = io.WriteString(second, simple)
					second.expectStatus(200)
				}()
				go func() { _, _ = io.Copy(io.Discard, first.reader) }()
				synctest.Wait()
				select {
				case <-answered:
					t.Error("it did not wait")
				default:
				}
				began := time.Now()
				release(b, first)
				<-answered
				if took := time.Since(began); name == "one ends" && took != 0 {
					t.Errorf("it waited for another %s", took)
				}
				if name == "one ends" && len(b.evicted) > 0 {
					t.Error("it was closed to make room")
				}
			})
		})
	}
}

// Each wait for a client has its own time: what was before does not count.
func TestEachWaitHasItsOwnTime(t *testing.T) {
	for name, bring := range map[string]func(c *clientConn){
		"idle after a slow body": func(c *clientConn) {
			slow["half a body"](c)
			time.Sleep(time.Hour)
			c.send("a body")
			c.expectStatus(200)
		},
		"nothing since the server was started": func(*clientConn) {},
		"body after a slow header": func(c *clientConn) {
			c.send("POST /drain HTTP/1.1\r\nHost: a\r\n")
			time.Sleep(headerTimeout / 2)
			c.send("Content-Length: 10\r\n\r\nhalf")
		},
		"header after idling": func(c *clientConn) {
			slow["idle"](c)
			time.Sleep(time.Minute)
			c.send(simple[:20])
		},
		"idle after a slow answer": func(c *clientConn) {
			c.send("GET /part HTTP/1.1\r\nHost: a\r\n\r\n")
			c.expectStatus(200)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
				c := b.dial()
				bring(c)
				time.Sleep(stallTimeout / 2)
				_ = b.dial()
				time.Sleep(stallTimeout/2 - 1)
				if len(b.evicted) > 0 || !c.isOpen() {
					t.Error("closed too early")
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if len(b.evicted) != 1 || c.isOpen() {
					t.Error("not closed")
				}
			})
		})
	}
}

// A client that has read all that there is of a response waits for the server.
func TestDoesNotEvictDuringAResponse(t *testing.T) {
	inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send("GET /part HTTP/1.1\r\nHost: a\r\n\r\n")
		go func() { _, _ = io.Copy(io.Discard, c) }()
		synctest.Wait()
		_ = b.dial()
		time.Sleep(time.Minute / 2)
		if len(b.evicted) > 0 {
			t.Error("it was closed")
		}
	})
}

// lateBytes is a connection whose bytes come at the moment at which it is closed.
type lateBytes struct{ *script }

func (l lateBytes) Read(p []byte) (int, error) {
	<-l.closed
	return copy(p, simple), nil
}

// A request that arrives while its connection is evicted is not served: the client cannot get a response.
func TestRequestOfEvictedConnectionIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(_ *http1.ResponseWriter, r *http1.Request) { t.Errorf("%s was served", r.Target) })
		s.MaxConns = 1
		if err := s.Serve(listenerOf(lateBytes{newScript()}, newScript())); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: got %v, want that of the listener", err)
		}
		synctest.Wait()
	})
}

// A connection that waits for room is closed with the server.
func TestCloseEndsConnectionThatWaitsForRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
		first := b.dial()
		first.send(atWork["GET"])
		second := b.dial()
		time.Sleep(time.Hour)
		b.server.Close()
		for _, c := range []*clientConn{first, second} {
			if text, after := c.untilClosed(); text != "" || after != 0 {
				t.Errorf("got %q, closed after %s, want nothing and at once", text, after)
			}
		}
	})
}

// An app that opens more connections at once than there may be gets all its responses.
func TestServesBurstOfConnections(t *testing.T) {
	inBubble(t, 3, hold, func(t *testing.T, b *bubble) {
		responses := make(chan string, 100)
		for range cap(responses) {
			go func() {
				c, err := b.listener.Dial(context.Background(), "pipe", "")
				if err != nil {
					t.Error(err)
					responses <- ""
					return
				}
				defer func() { _ = c.Close() }()
				go func() { _, _ = io.WriteString(c, simple) }()
				text, _ := io.ReadAll(io.LimitReader(c, int64(len("HTTP/1.1 200"))))
				responses <- string(text)
			}()
		}
		for range cap(responses) {
			if got := <-responses; got != "HTTP/1.1 200" {
				t.Errorf("got %q, want HTTP/1.1 200", got)
			}
		}
	})
}
