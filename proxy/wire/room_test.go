package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/wire"
)

// patience is how long a client is waited for before its connection can be asked to make room.
const patience = 250 * time.Millisecond

// hold is a handler that answers /simple at once, with /much as much as the client reads, and anything else never.
func hold(w http.ResponseWriter, r *http.Request) {
	switch {
	case wire.ErrorFrom(r) != nil, r.URL.Path == "/simple":
		ok(w, r)
	case r.URL.Path == "/much":
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 8<<10)); err != nil {
				return
			}
		}
	case r.URL.Path == "/part":
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Minute)
	case r.URL.Path == "/drain":
		_, _ = io.Copy(io.Discard, r.Body)
	default:
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(forever): // net/http does not notice a client that went away after half a second request
		}
	}
}

// slow brings a connection into a state in which the broker waits for its client.
var slow = map[string]func(c *client){
	"nothing":         func(*client) {},
	"half a header":   func(c *client) { c.send(simple[:20]) },
	"idle":            func(c *client) { c.send(simple); _ = c.status() },
	"half the second": func(c *client) { c.send(simple); _ = c.status(); c.send(simple[:20]) },
	"half a body": func(c *client) {
		c.send("POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	},
	"half a chunk": func(c *client) {
		c.send("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf")
	},
	"no chunk":      func(c *client) { c.send("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") },
	"half a size":   func(c *client) { c.send("POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8") },
	"reads not":     func(c *client) { c.send("GET /much HTTP/1.1\r\nHost: a\r\n\r\n") },
	"reads a bit":   func(c *client) { c.send("GET /much HTTP/1.1\r\nHost: a\r\n\r\n"); _, _ = c.reader.Peek(1) },
	"next idle":     func(c *client) { c.send(simple); _ = c.status(); c.send(simple); _ = c.status() },
	"an empty line": func(c *client) { c.send("\r\n") },
}

// atWork brings a connection into a state in which the client waits for the broker.
var atWork = map[string]string{
	"GET":            "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n",
	"a body":         "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
	"chunks":         "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	"one and a half": "GET /hold HTTP/1.1\r\nHost: a\r\n\r\nGET /",
}

// Who keeps the broker waiting makes room, and who waits for the broker does not, however long it takes.
func TestSlowClientsMakeRoom(t *testing.T) {
	for name, slowly := range slow {
		t.Run(name, func(t *testing.T) {
			inBubble(t, len(atWork)+1, hold, func(t *testing.T, b *bubble) {
				var working []*client
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
				if status := c.status(); status != 200 {
					t.Errorf("%d", status)
				}
				if len(b.evicted) != 1 || victim.isOpen() && name != "reads a bit" {
					t.Errorf("%d were told to be closed", len(b.evicted))
				}
				for _, c := range working {
					if !c.isOpen() {
						t.Error("one at work was closed")
					}
				}
			})
		})
	}
}

// Those without a first header go before all others, and of each kind the one that was longest waited for.
func TestWhoMakesRoomFirst(t *testing.T) {
	inBubble(t, 4, hold, func(t *testing.T, b *bubble) {
		var order []*client
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

// A byte now and then does not keep a connection, neither in a header nor in a body; but who sends enough is not slow.
func TestDripping(t *testing.T) {
	for name, test := range map[string]struct {
		begin, drip string
		kept        bool
	}{
		"header":      {simple[:len(simple)-4], "x", false},
		"long header": {simple[:len(simple)-4], strings.Repeat("x", 4<<10), false},
		"body":        {"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", "x", false},
		"chunks":      {"POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", false},
		"a real body": {"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", strings.Repeat("x", 4<<10), true},
		"real chunks": {"POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n" + strings.Repeat("x", 4<<10) + "\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
				c := b.dial()
				c.send(test.begin)
				for range 10 {
					time.Sleep(patience / 5)
					c.send(test.drip)
				}
				second := b.dial()
				go func() { _, _ = io.WriteString(second, simple) }()
				for range 2 {
					time.Sleep(patience / 5)
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
func TestSlowUpstream(t *testing.T) {
	next := make(chan struct{})
	handler := func(_ http.ResponseWriter, r *http.Request) {
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
		time.Sleep(patience - 1)
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

// When all are at work, the next waits: for one to end, or for the listener to be closed.
func TestHolding(t *testing.T) {
	for name, release := range map[string]func(b *bubble, first *client){
		"one ends": func(_ *bubble, first *client) { _ = first.Close() },
		"one answered": func(_ *bubble, first *client) {
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/hold" {
					select {
					case <-r.Context().Done():
					case <-time.After(24*time.Hour + time.Second/2):
					}
				}
			}
			inBubble(t, 1, handler, func(t *testing.T, b *bubble) {
				first := b.dial()
				first.send(atWork["GET"])
				time.Sleep(24 * time.Hour)
				second := b.dial()
				answered := make(chan int, 1)
				go func() {
					_, _ = io.WriteString(second, simple)
					answered <- second.status()
				}()
				go func() { _, _ = io.Copy(io.Discard, first.reader) }()
				synctest.Wait()
				if len(answered) > 0 || len(b.evicted) > 0 {
					t.Fatal("it did not wait")
				}
				began := time.Now()
				release(b, first)
				if status := <-answered; status != 200 {
					t.Errorf("%d", status)
				}
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

// Each thing that a client is waited for has its own time: what was before it does not count.
func TestTimeBeginsAnew(t *testing.T) {
	for name, bring := range map[string]func(c *client){
		"idle after a slow body": func(c *client) {
			slow["half a body"](c)
			time.Sleep(time.Hour)
			c.send("a body")
			_ = c.status()
		},
		"header after idling": func(c *client) {
			slow["idle"](c)
			time.Sleep(time.Minute)
			c.send(simple[:20])
		},
		"idle after a slow answer": func(c *client) {
			c.send("GET /part HTTP/1.1\r\nHost: a\r\n\r\n")
			_ = c.status()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, hold, func(t *testing.T, b *bubble) {
				c := b.dial()
				bring(c)
				_ = b.dial()
				time.Sleep(patience - 1)
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

// A response of which the client has read all that there is, is at work.
func TestPartOfAResponse(t *testing.T) {
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

// late is a connection whose bytes come in the moment in which it is closed.
type late struct{ *script }

func (l late) Read(p []byte) (int, error) {
	<-l.closed
	return copy(p, simple), nil
}

// A client and the Listener cannot both have their way: a request that came too late is none.
func TestTooLate(t *testing.T) {
	inner := &stage{conns: make(chan net.Conn, 2)}
	l := wire.NewListener(inner, 1, nil)
	inner.conns <- late{newScript()}
	inner.conns <- newScript()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		n, err := first.Read(make([]byte, 100))
		if n > 0 {
			t.Errorf("%d bytes were read", n)
		}
		read <- err
	}()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestCloseWhileHolding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := fakeetrusted.NewListener()
		l := wire.NewListener(inner, 1, nil)
		dial := func() net.Conn {
			c, err := inner.Dial(context.Background(), "pipe", "")
			if err != nil {
				t.Error(err)
			}
			return c
		}
		go dial()
		first, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		second := dial()
		time.Sleep(time.Hour)
		began := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) || time.Since(began) != 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if _, err := second.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the one that was held: %v", err)
		}
		_ = first.Close()
	})
}

// An app that opens more connections at once than there may be gets all its answers.
func TestBurst(t *testing.T) {
	inBubble(t, 3, hold, func(t *testing.T, b *bubble) {
		statuses := make(chan int, 100)
		for range cap(statuses) {
			go func() {
				c, err := b.listener.Dial(context.Background(), "pipe", "")
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = c.Close() }()
				conn := &client{Conn: c, t: t}
				response := make(chan struct{})
				go func() {
					defer close(response)
					text, _ := io.ReadAll(io.LimitReader(c, 12))
					if string(text) == "HTTP/1.1 200" {
						statuses <- 200
					} else {
						statuses <- 0
					}
				}()
				_, _ = io.WriteString(conn, simple)
				<-response
			}()
		}
		for range cap(statuses) {
			if status := <-statuses; status != 200 {
				t.Error("an answer is missing")
			}
		}
	})
}
