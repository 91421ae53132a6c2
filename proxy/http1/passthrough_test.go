package http1_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// passThroughHandler opens a tunnel that passes through to the target of a CONNECT.
func passThroughHandler(w *http1.ResponseWriter, r *http1.Request) {
	if r.Malformed != nil || r.Method != http.MethodConnect {
		ok(w, r)
		return
	}
	target, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Target)
	if err != nil {
		respond(w, http.StatusBadGateway, "unreachable")
		return
	}
	if strings.Contains(r.Host, "slow") {
		time.Sleep(50 * time.Millisecond) // long enough for the watch
	}
	w.OpenPassThrough(target, nil)
}

// target is the server at the end of a tunnel.
type target struct {
	t     *testing.T
	addr  string
	conns chan *net.TCPConn
}

func listenTarget(t *testing.T) *target {
	t.Helper()
	s := &target{t: t, conns: make(chan *net.TCPConn, 100)}
	s.addr = brokertest.ServeRaw(t, func(conn net.Conn) {
		s.conns <- conn.(*net.TCPConn)
		<-t.Context().Done()
	})
	return s
}

// connect opens a tunnel, and returns both of its ends. early is sent with the CONNECT.
func (s *target) connect(server *netServer, host, early string) (*clientConn, *net.TCPConn) {
	s.t.Helper()
	c := server.dial(s.t)
	c.send("CONNECT " + s.addr + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + early)
	c.expectTunnel()
	return c, <-s.conns
}

// Both directions carry any bytes, from the first ones, whatever they look like.
func TestPassThroughCarriesAllBytes(t *testing.T) {
	t.Parallel()
	for name, network := range networks {
		for _, host := range []string{"a", "slow"} {
			for _, early := range []string{"", "\x16\x03\x01", simple + simple, strings.Repeat("x", 10000)} {
				s := serveOn(t, network, passThroughHandler, nil)
				c, server := listenTarget(t).connect(s, host, early)
				sent := early
				for _, part := range []string{"\x00\r\n", get, strings.Repeat("y", 1<<20)} {
					sent += part
					go c.send(part)
					expectRead(t, server, sent)
					sent = ""
					go func() { _, _ = io.WriteString(server, part) }()
					expectRead(t, c.reader, part)
				}
				_ = c.Close()
				if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("%s: the target got %v, want the end", name, err)
				}
			}
		}
	}
}

func expectRead(t *testing.T, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("got %.40q (%d bytes), %v, want %.40q (%d bytes)", got[:n], n, err, want, len(want))
	}
}

// The end of one direction leaves the other open.
func TestPassThroughForwardsHalfClose(t *testing.T) {
	for name, network := range networks {
		s := serveOn(t, network, passThroughHandler, nil)
		c, server := listenTarget(t).connect(s, "a", "")
		if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the target got %v, want the end", name, err)
		}
		_, _ = io.WriteString(server, "later")
		expectRead(t, c.reader, "later")
		_ = server.Close()
		c.expectEnd()

		c, server = listenTarget(t).connect(s, "a", "")
		_ = server.CloseWrite()
		c.expectEnd()
		c.send("later")
		expectRead(t, server, "later")
		_ = c.Close()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the target got %v, want the end", name, err)
		}
	}
}

// A reset is not forwarded as a clean end, which could make a response look complete.
func TestPassThroughForwardsReset(t *testing.T) {
	s := serveOn(t, networks["tcp"], passThroughHandler, nil)
	c, server := listenTarget(t).connect(s, "a", "")
	_ = server.SetLinger(0)
	_ = server.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client got %v, want a reset", err)
	}
	c, server = listenTarget(t).connect(s, "a", "")
	_ = c.tcp().SetLinger(0)
	_ = c.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target got %v, want a reset", err)
	}
}

// A reset is not taken for a clean end either if it comes before the handler has returned.
func TestPassThroughForwardsEarlyReset(t *testing.T) {
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		passThroughHandler(w, r)
		_ = w.Finish()
		<-r.Context().Done()
	}, nil)
	c, server := listenTarget(t).connect(s, "a", "")
	c.reset()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target got %v, want a reset", err)
	}
}

// A handler that cannot reach the target answers, and the connection ends.
func TestPassThroughFailure(t *testing.T) {
	s := serveOn(t, networks["tcp"], passThroughHandler, nil)
	c := s.dial(t)
	c.send("CONNECT " + brokertest.ClosedPort(t) + " HTTP/1.1\r\nHost: a\r\n\r\n" + simple)
	if response, body := c.response("GET"); response.StatusCode != 502 || body != "unreachable" || !response.Close {
		t.Errorf("got %d %q, close=%t, want 502, unreachable and the end", response.StatusCode, body, response.Close)
	}
	c.expectEnd()
}

// A tunnel counts as a connection, and as one that waits for its client while no byte moves. The longest idle one makes room, also
// if its target does not read.
func TestPassThroughMakesRoom(t *testing.T) {
	inPassThroughBubble(t, 2, func(t *testing.T, b *bubble, open func() (*clientConn, net.Conn)) {
		stuck, stuckTarget := open()
		go func() { _, _ = io.WriteString(stuck, "not read") }()
		busy, busyTarget := open()
		go func() {
			for range 1000 {
				time.Sleep(10 * time.Millisecond)
				_, _ = io.WriteString(busyTarget, "x")
			}
		}()
		go func() { _, _ = io.Copy(io.Discard, busy.reader) }()
		open()
		<-b.evicted
		_ = stuckTarget.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, stuckTarget); err != nil {
			t.Errorf("the target of the evicted tunnel got %v, want an end", err)
		}
		busy.send("still here")
		expectRead(t, busyTarget, "still here")
	})
}

// inPassThroughBubble is inBubble with a function that opens a tunnel, and returns both of its ends.
func inPassThroughBubble(t *testing.T, maxConns int, test func(t *testing.T, b *bubble, open func() (*clientConn, net.Conn))) {
	targets := make(chan net.Conn, 1)
	handler := func(w *http1.ResponseWriter, _ *http1.Request) {
		near, far := net.Pipe()
		targets <- far
		w.OpenPassThrough(near, nil)
	}
	inBubble(t, maxConns, handler, func(t *testing.T, b *bubble) {
		test(t, b, func() (*clientConn, net.Conn) {
			c := b.dial()
			c.send(connect)
			expectRead(t, c.reader, "HTTP/1.1 200 Connection established\r\n\r\n")
			return c, <-targets
		})
	})
}

// Shutdown closes a tunnel once it has been idle for 5 s, and waits for one that carries bytes in either direction.
func TestShutdownClosesPassThrough(t *testing.T) {
	inPassThroughBubble(t, 0, func(t *testing.T, b *bubble, open func() (*clientConn, net.Conn)) {
		idle, _ := open()
		time.Sleep(time.Second)
		active, target := open()
		began, shutDown := time.Now(), make(chan error, 1)
		go func() { shutDown <- b.server.Shutdown(t.Context()) }()
		go func() {
			_, _ = idle.untilClosed()
			if after := time.Since(began); after != 4*time.Second {
				t.Errorf("the idle tunnel ended after %s, want 4 s", after)
			}
		}()
		for range 5 {
			time.Sleep(4 * time.Second)
			_, _ = io.WriteString(target, "x")
			expectRead(t, active.reader, "x")
			time.Sleep(4 * time.Second)
			active.send("y")
			expectRead(t, target, "y")
		}
		if err := <-shutDown; err != nil || time.Since(began) != 45*time.Second {
			t.Errorf("Shutdown: got %v after %s, want nil after 45 s", err, time.Since(began))
		}
	})
}

// A target that does not read cannot keep a tunnel open.
func TestCloseEndsPassThrough(t *testing.T) {
	inPassThroughBubble(t, 0, func(t *testing.T, b *bubble, open func() (*clientConn, net.Conn)) {
		c, target := open()
		c.send("not read")
		b.server.Close()
		if text, after := c.untilClosed(); text != "" || after != 0 {
			t.Errorf("the client got %q, and the end after %s, want nothing and at once", text, after)
		}
		synctest.Wait()
		if text, err := io.ReadAll(target); len(text) > 0 || err != nil {
			t.Errorf("the target got %q, %v, want the end", text, err)
		}
	})
}
