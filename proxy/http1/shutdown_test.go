package http1_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

// Row E30 and line 24 of the contract: what is in flight ends well, with Connection: close; idle connections are closed
// after a tenth of a second, silent ones after a second.
func TestShutdownFinishesRequests(t *testing.T) {
	for name, test := range map[string]struct {
		first, then string
		after       time.Duration // until then is sent
		ends        time.Duration // the end of the connection
		status      int
		close       bool
	}{
		"in flight":        {"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", "", 0, time.Minute, 200, true},
		"streaming":        {"GET /part HTTP/1.1\r\nHost: a\r\n\r\n", "", 0, time.Minute, 200, false}, // its header has been sent before
		"half a header":    {simple[:20], simple[20:], 5 * time.Second, 5 * time.Second, 200, true},
		"half an upload":   {"POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo", "dy", time.Hour, time.Hour, 200, true},
		"a slow header":    {simple[:20], "", 0, headerTimeout, 408, true},
		"idle":             {simple, "", 0, time.Second / 10, 0, false},
		"idle, CR LF":      {simple + "\r\n", "", 0, time.Second / 10, 0, false},
		"silent":           {"", "", 0, time.Second, 0, false},
		"silent, CR LF":    {"\r\n", "", 0, time.Second, 0, false},
		"silent, then not": {"", simple, time.Second / 2, time.Second / 2, 200, true},
		"pipelined":        {"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + simple, "", 0, time.Minute, 200, true}, // the second is dropped
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 0, hold, func(t *testing.T, b *bubble) {
				c := b.dial()
				if test.first != "" {
					c.send(test.first)
				}
				if strings.HasPrefix(name, "idle") {
					c.expectStatus(200)
				}
				began := time.Now()
				done := make(chan error, 1)
				go func() { done <- b.server.Shutdown(t.Context()) }()
				synctest.Wait()
				if _, err := b.listener.Dial(t.Context(), "", ""); err == nil {
					t.Error("a new connection was accepted")
				}
				if test.then != "" {
					time.Sleep(test.after)
					c.send(test.then)
				}
				if test.status > 0 {
					if response, _ := c.response("GET"); response.StatusCode != test.status || response.Close != test.close {
						t.Errorf("got %d, close=%t, want %d, close=%t", response.StatusCode, response.Close, test.status, test.close)
					}
				}
				if rest, _ := c.untilClosed(); rest != "" {
					t.Errorf("got %q at the end, want nothing", rest)
				}
				if after := time.Since(began); after != test.ends {
					t.Errorf("closed after %s, want %s", after, test.ends)
				}
				if err := <-done; err != nil || time.Since(began) != test.ends {
					t.Errorf("Shutdown: got %v after %s, want nil after %s", err, time.Since(began), test.ends)
				}
			})
		})
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	inBubble(t, 0, hold, func(t *testing.T, b *bubble) {
		c := b.dial()
		c.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if !c.isOpen() {
			t.Error("the connection was closed")
		}
		done := make(chan error, 2) // several calls may wait for the same connections
		for range cap(done) {
			go func() { done <- b.server.Shutdown(t.Context()) }()
		}
		c.expectStatus(200)
		for range cap(done) {
			if err := <-done; err != nil {
				t.Errorf("Shutdown: got %v, want nil", err)
			}
		}
	})
}

// Close ends all connections at once, whatever happens on them, and cancels their requests.
func TestCloseEndsEverything(t *testing.T) {
	canceled := 0
	handler := func(_ *http1.ResponseWriter, r *http1.Request) {
		<-r.Context().Done()
		canceled++
	}
	inBubble(t, 0, handler, func(t *testing.T, b *bubble) {
		silent, half, waiting := b.dial(), b.dial(), b.dial()
		half.send(simple[:20])
		waiting.send(simple)
		time.Sleep(headerTimeout / 2)
		b.server.Close()
		for _, c := range []*clientConn{silent, half, waiting} {
			if text, after := c.untilClosed(); text != "" || after != 0 {
				t.Errorf("got %q, closed after %s, want nothing and at once", text, after)
			}
		}
		synctest.Wait()
		if canceled != 1 {
			t.Errorf("%d requests were canceled, want 1", canceled)
		}
		if err := b.server.Serve(b.listener); !errors.Is(err, http1.ErrServerClosed) {
			t.Errorf("Serve after Close: got %v, want %v", err, http1.ErrServerClosed)
		}
	})
}

// A connection that is accepted while Close runs is closed too.
func TestCloseEndsLateConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, accepted := net.Pipe()
		closing, accept, s := make(chan struct{}), listenerOf(accepted), newServer(ok)
		l := listenerFunc(func() (net.Conn, error) {
			<-closing
			time.Sleep(time.Millisecond)
			return accept()
		})
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		synctest.Wait()
		began := time.Now()
		close(closing)
		s.Close()
		if _, err := client.Read(make([]byte, 1)); err == nil || time.Since(began) > time.Second {
			t.Errorf("got %v after %s, want the end at once", err, time.Since(began))
		}
		if err := <-served; !errors.Is(err, http1.ErrServerClosed) {
			t.Errorf("Serve: got %v, want %v", err, http1.ErrServerClosed)
		}
	})
}

// Idle TLS clients that do not read must not hold up Shutdown beyond its context: the alert that ends TLS waits 5 s for each.
func TestShutdownIsNotHeldUpByIdleTLSClients(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		l := b.listenTLS()
		for range 10 {
			c := b.dialTLS(l)
			c.send(simple)
			c.expectStatus(200)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_ = b.server.Shutdown(ctx)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("Shutdown took %s with idle clients, want at most its context's 3 s", took)
		}
	})
}
