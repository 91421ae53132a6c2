package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// attackBubble is a bubble whose listeners accept few connections, with attackers that hold them.
type attackBubble struct {
	*bubble
	t         *testing.T
	attackers sync.WaitGroup
	mu        sync.Mutex
	conns     []net.Conn // that attackers hold
	ended     bool       // the test has ended
}

// newAttackBubble starts a broker with these limits. api serves the API; nil stands for the fake eTrusted's.
func newAttackBubble(t *testing.T, maxConns connectionLimits, api http.Handler) *attackBubble {
	t.Helper()
	b := &attackBubble{t: t}
	b.bubble = newBubbleWith(t, fakeetrusted.Options{}, func(s *setup) {
		s.limits = maxConns
		s.toAPI.ResponseTimeout = time.Hour
		s.config.ShutdownGrace, s.config.Replay401, s.config.RewriteLinks = 0, false, true
		if api != nil {
			s.serveAPI = func(l net.Listener) { serveInMemory(t, l, api) }
		}
	})
	t.Cleanup(func() {
		_ = b.stop() // the bubble checks the result
		b.mu.Lock()
		b.ended = true
		for _, conn := range b.conns {
			_ = conn.Close()
		}
		b.mu.Unlock()
		b.attackers.Wait()
	})
	if _, status := b.get(b.app, "/channels"); status != http.StatusOK { // waits for the token
		t.Fatalf("got status %d, want 200", status)
	}
	return b
}

// get sends a GET request over a new connection, and returns how long it took and the status; 0 if no response arrives within
// two minutes.
func (b *attackBubble) get(listener *fakeetrusted.Listener, path string) (took time.Duration, status int) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := listener.Dial(ctx, "tcp", "")
	if err != nil {
		return time.Since(began), 0
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(began.Add(2 * time.Minute)); err != nil {
		b.t.Error(err)
	}
	if _, err := io.WriteString(conn, brokertest.PlainRequest("GET "+path, "Connection: close")); err != nil {
		return time.Since(began), 0
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return time.Since(began), 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return time.Since(began), response.StatusCode
}

// attack lets n attackers connect and stall. It does not wait for them.
func (b *attackBubble) attack(listener *fakeetrusted.Listener, n int, stall func(net.Conn)) {
	for range n {
		b.attackers.Go(func() {
			conn, err := listener.Dial(context.Background(), "tcp", "")
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			if b.ended { // meanwhile
				_ = conn.Close()
			}
			b.mu.Unlock()
			stall(conn)
		})
	}
}

// readUntilClosed reads whatever the broker sends until it closes the connection.
func readUntilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// stallingClients are the ways to keep a connection busy without progress. No client reads more than it must.
var stallingClients = map[string]func(net.Conn){
	"no request":          readUntilClosed,
	"half a request line": func(c net.Conn) { _, _ = io.WriteString(c, "GET /x HT"); readUntilClosed(c) },
	"half a header": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: localhost\r\nX: ")
		readUntilClosed(c)
	},
	"slow header": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: localhost\r\n")
		go readUntilClosed(c)
		for {
			if _, err := io.WriteString(c, "X: a\r\n"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"half a body": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nbody")
		readUntilClosed(c)
	},
	"half a long body": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nbody")
		readUntilClosed(c)
	},
	"half a chunk": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nbody")
		readUntilClosed(c)
	},
	"slow body": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		go readUntilClosed(c)
		for {
			if _, err := io.WriteString(c, "1\r\na\r\n"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"slow chunk extension": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;")
		go readUntilClosed(c)
		for {
			if _, err := io.WriteString(c, "a"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"body of a refused request": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /../x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
		readUntilClosed(c)
	},
	"unread response": func(c net.Conn) { _, _ = io.WriteString(c, brokertest.PlainRequest("GET /long")) },
	"slowly read response": func(c net.Conn) {
		_, _ = io.WriteString(c, brokertest.PlainRequest("GET /long"))
		for {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"unread refusals": func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, brokertest.PlainRequest("GET /../x")); err != nil {
				return
			}
		}
	},
	"idle after a request": func(c net.Conn) {
		_, _ = io.WriteString(c, brokertest.PlainRequest("GET /channels"))
		readUntilClosed(c)
	},
	"half a second request": func(c net.Conn) {
		_, _ = io.WriteString(c, brokertest.PlainRequest("GET /channels")+"GET")
		readUntilClosed(c)
	},
	"unread response to a malformed request": func(c net.Conn) { _, _ = io.WriteString(c, "GET /x HTTP/3.0\r\n") },
	"CONNECT":                                func(c net.Conn) { _, _ = io.WriteString(c, brokertest.PlainRequest("CONNECT /x")); readUntilClosed(c) },
}

// longAPI is an API that reads each request, and whose /long has ten megabytes.
var longAPI = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/long" {
		for range 1000 {
			if _, err := w.Write(tenKilobytes); err != nil {
				return
			}
		}
	}
})

var tenKilobytes = make([]byte, 10_000)

// 300 clients never finish their header. They are disconnected after the header timeout, and delay no other request before,
// since there are enough connections.
func TestClosesConnectionsWithIncompleteHeader(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"no request", "half a request line", "half a header", "slow header"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newAttackBubble(t, connectionLimits{app: 1000, admin: 10}, nil)
				began := time.Now()
				b.attack(b.app, 300, stallingClients[way])
				synctest.Wait()
				closed := make(chan struct{})
				go func() { b.attackers.Wait(); close(closed) }()
				for open := true; open && time.Since(began) <= 40*time.Second; {
					if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took != 0 {
						t.Fatalf("got status %d after %v, want 200 after 0s", status, took)
					}
					select {
					case <-closed:
						open = false
					case <-time.After(time.Second):
					}
				}
				if took := time.Since(began); took > 40*time.Second {
					t.Errorf("connections are open after %v, want all closed within 40s", took)
				}
			})
		})
	}
}

// Attackers hold connections in every way, ten times as many as the limit allows. Apps and operators are still served.
func TestStalledClientsBlockNoOther(t *testing.T) {
	t.Parallel()
	for way, stall := range stallingClients {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit = 16
				b := newAttackBubble(t, connectionLimits{app: limit, admin: 4}, longAPI)
				b.attack(b.app, 10*limit, stall)
				for range 20 {
					// The broker waits a quarter of a second for each client before it disconnects the client, and the app queues
					// behind other clients.
					if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took > 5*time.Second {
						t.Fatalf("the app: got status %d after %v, want 200 within 5s", status, took)
					}
					if took, status := b.get(b.admin, "/metrics"); status != http.StatusOK || took != 0 {
						t.Fatalf("the admin listener: got status %d after %v, want 200 after 0s", status, took)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		})
	}
}

func TestServesDespite2000SlowClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAttackBubble(t, connectionLimits{app: 100, admin: 4}, longAPI)
		for _, way := range []string{"no request", "half a header", "half a long body", "unread response"} {
			b.attack(b.app, 500, stallingClients[way])
		}
		began := time.Now()
		for i := range 100 {
			if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took > 10*time.Second {
				t.Fatalf("request %d: got status %d after %v, want 200 within 10s", i, status, took)
			}
			if took, status := b.get(b.admin, "/metrics"); status != http.StatusOK || took != 0 {
				t.Fatalf("the admin listener: got status %d after %v, want 200 after 0s", status, took)
			}
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("100 requests took %v, want at most 40s", took)
		}
	})
}

// Slow clients of the admin listener delay neither operators nor apps for long.
func TestSlowAdminClientsBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAttackBubble(t, connectionLimits{app: 16, admin: 4}, nil)
		b.attack(b.admin, 100, stallingClients["half a header"])
		for range 20 {
			if took, status := b.get(b.admin, "/metrics"); status != http.StatusOK || took > 10*time.Second {
				t.Fatalf("the admin listener: got status %d after %v, want 200 within 10s", status, took)
			}
			if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took != 0 {
				t.Fatalf("the app: got status %d after %v, want 200 after 0s", status, took)
			}
		}
	})
}

// The broker never disconnects a client that waits for the API, whether the response has not begun or has paused.
func TestDoesNotEvictRequestsWaitingForAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, waiting = 16, 6
		b := newAttackBubble(t, connectionLimits{app: limit, admin: 4}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/late":
				time.Sleep(time.Minute)
			case "/slow":
				_, _ = w.Write([]byte("a"))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Minute)
			}
		}))
		var apps sync.WaitGroup
		for _, path := range []string{"/late", "/slow"} {
			for range waiting {
				apps.Go(func() {
					if took, status := b.get(b.app, path); status != http.StatusOK || took < time.Minute {
						t.Errorf("%s: got status %d after %v, want 200 after at least 1m", path, status, took)
					}
				})
			}
		}
		synctest.Wait()
		b.attack(b.app, 10*limit, stallingClients["half a header"])
		for range 20 {
			if took, status := b.get(b.app, "/channels"); status != http.StatusOK {
				t.Errorf("got status %d after %v, want 200", status, took)
			}
			time.Sleep(time.Second)
		}
		apps.Wait()
	})
}

// The API reads an upload slowly. The broker waits for the client in between, but never for long.
func TestDoesNotEvictUploadsThatAPIReadsSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, size = 16, 1_000_000
		b := newAttackBubble(t, connectionLimits{app: limit, admin: 4}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			part := make([]byte, 20_000)
			for received := 0; ; received += len(part) {
				if _, err := io.ReadFull(r.Body, part); err != nil {
					if r.URL.Path == "/upload" && received != size {
						t.Errorf("got %d bytes of an upload at the API, want %d: %v", received, size, err)
					}
					return
				}
				time.Sleep(time.Second)
			}
		}))
		var apps sync.WaitGroup
		for range 4 {
			apps.Go(func() {
				conn, err := b.app.Dial(context.Background(), "tcp", "")
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				go func() {
					_, _ = io.WriteString(conn, "POST /upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("a", size))
				}()
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("got %v, %v, want 200", response, err)
				}
			})
		}
		synctest.Wait()
		b.attack(b.app, 10*limit, stallingClients["half a header"])
		apps.Wait()
	})
}
