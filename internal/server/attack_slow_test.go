package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

// attackBubble is the whole broker in a synctest bubble, as wired is, with few connections to give away.
type attackBubble struct {
	t          *testing.T
	eTrusted   *fakeetrusted.Server
	app, admin *fakeetrusted.Listener
	attackers  sync.WaitGroup
	mu         sync.Mutex
	conns      []net.Conn // by the attackers
	ended      bool       // the test is
}

// newAttackBubble starts one. served answers the API's requests; nil has the stand-in do that.
func newAttackBubble(t *testing.T, limits limits, served http.Handler) *attackBubble {
	t.Helper()
	b := &attackBubble{t: t, eTrusted: fakeetrusted.New(fakeetrusted.Options{}), app: fakeetrusted.NewListener(), admin: fakeetrusted.NewListener()}
	eTrusted := fakeetrusted.NewListener()
	standIn := &http.Server{ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served != nil && r.URL.Path != "/oauth/token" {
			served.ServeHTTP(w, r)
			return
		}
		b.eTrusted.ServeHTTP(w, r)
	})}
	go func() { _ = standIn.Serve(eTrusted) }()
	toAPI, toLogin := newAPITransport(time.Hour), NewLoginTransport()
	toAPI.Proxy, toLogin.Proxy = nil, nil
	toAPI.DialContext, toLogin.DialContext = eTrusted.Dial, eTrusted.Dial
	broker := newUnstartedBroker(t, "http://api.example", "http://login.example", toAPI, toLogin)
	broker.limits = limits
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- broker.serve(ctx, b.app, b.admin) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		b.mu.Lock()
		b.ended = true
		for _, conn := range b.conns {
			_ = conn.Close()
		}
		b.mu.Unlock()
		b.attackers.Wait()
		toAPI.CloseIdleConnections()
		toLogin.CloseIdleConnections()
		_ = standIn.Close()
		time.Sleep(time.Minute) // net/http takes its time to leave a connection
	})
	if _, status := b.get(b.app, "/channels"); status != http.StatusOK { // waits for the token
		t.Fatalf("status %d", status)
	}
	return b
}

// newUnstartedBroker is a broker that is wired and does not serve yet.
func newUnstartedBroker(t *testing.T, api, login string, toAPI, toLogin http.RoundTripper) *broker {
	t.Helper()
	upstream, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	broker, err := newBroker(config.Config{
		ClientID:     tokensource.NewSecret(fakeetrusted.DefaultClientID),
		ClientSecret: tokensource.NewSecret(fakeetrusted.DefaultClientSecret),
		TokenURL:     login + "/oauth/token",
		Audience:     "https://api.etrusted.com",
		API:          upstream,
		TokenWait:    10 * time.Second,
		RewriteLinks: true,
	}, Build{}, zap.NewNop(), toAPI, toLogin)
	if err != nil {
		t.Fatal(err)
	}
	return broker
}

// get makes one request over a connection of its own, and returns how long that took and the status; 0 if there is no
// answer within two minutes.
func (b *attackBubble) get(at *fakeetrusted.Listener, path string) (took time.Duration, status int) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn, err := at.Dial(ctx, "tcp", "")
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

// attack has n attackers connect and stall. It returns at once.
func (b *attackBubble) attack(at *fakeetrusted.Listener, n int, stall func(net.Conn)) {
	for range n {
		b.attackers.Go(func() {
			conn, err := at.Dial(context.Background(), "tcp", "")
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			if b.ended { // just now
				_ = conn.Close()
			}
			b.mu.Unlock()
			stall(conn)
		})
	}
}

// readUntilClosed waits for the broker to close a connection, whatever it sends before.
func readUntilClosed(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// The ways to keep a connection without doing anything for it. None reads more than it must.
var stallingClients = map[string]func(net.Conn){
	"silence":     readUntilClosed,
	"half a line": func(c net.Conn) { _, _ = io.WriteString(c, "GET /x HT"); readUntilClosed(c) },
	"half a header": func(c net.Conn) {
		_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: localhost\r\nX: ")
		readUntilClosed(c)
	},
	"a header by drips": func(c net.Conn) {
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
	"a body by drips": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		go readUntilClosed(c)
		for {
			if _, err := io.WriteString(c, "1\r\na\r\n"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"an extension by drips": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;")
		go readUntilClosed(c)
		for {
			if _, err := io.WriteString(c, "a"); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"a body of a request that was refused": func(c net.Conn) {
		_, _ = io.WriteString(c, "POST /../x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
		readUntilClosed(c)
	},
	"an answer that is not read": func(c net.Conn) { _, _ = io.WriteString(c, brokertest.PlainRequest("GET /long")) },
	"an answer that is read by drips": func(c net.Conn) {
		_, _ = io.WriteString(c, brokertest.PlainRequest("GET /long"))
		for {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	},
	"refusals that are not read": func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, brokertest.PlainRequest("GET /../x")); err != nil {
				return
			}
		}
	},
	"after a request": func(c net.Conn) {
		_, _ = io.WriteString(c, brokertest.PlainRequest("GET /channels"))
		readUntilClosed(c)
	},
	"half a second request": func(c net.Conn) {
		_, _ = io.WriteString(c, brokertest.PlainRequest("GET /channels")+"GET")
		readUntilClosed(c)
	},
	"an answer to what is malformed": func(c net.Conn) { _, _ = io.WriteString(c, "GET /x HTTP/3.0\r\n") },
	"an answer to CONNECT":           func(c net.Conn) { _, _ = io.WriteString(c, brokertest.PlainRequest("CONNECT /x")); readUntilClosed(c) },
}

// longAPI is an API that has ten megabytes to tell, and reads what it is sent.
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

// 300 clients that never finish their header are gone after the header time-out, and while there is room nobody notices
// them.
func TestClosesConnectionsWithIncompleteHeader(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"silence", "half a line", "half a header", "a header by drips"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newAttackBubble(t, limits{app: 1000, admin: 10}, nil)
				began := time.Now()
				b.attack(b.app, 300, stallingClients[way])
				synctest.Wait()
				gone := make(chan struct{})
				go func() { b.attackers.Wait(); close(gone) }()
				for open := true; open && time.Since(began) <= 40*time.Second; {
					if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took != 0 {
						t.Fatalf("%d after %v", status, took)
					}
					select {
					case <-gone:
						open = false
					case <-time.After(time.Second):
					}
				}
				if took := time.Since(began); took > 40*time.Second {
					t.Errorf("not all closed after %v", took)
				}
			})
		})
	}
}

// Whatever attackers do to keep their connections, and be there ten times as many as there may be: the app gets in, and so
// does whoever looks at the metrics.
func TestStalledClientsBlockNoOther(t *testing.T) {
	t.Parallel()
	for way, stall := range stallingClients {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit = 16
				b := newAttackBubble(t, limits{app: limit, admin: 4}, longAPI)
				b.attack(b.app, 10*limit, stall)
				for range 20 {
					// Each client may keep the broker waiting for a quarter of a second before he has to go, and those
					// before the app in the queue come first.
					if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took > 5*time.Second {
						t.Fatalf("the app: %d after %v", status, took)
					}
					if took, status := b.get(b.admin, "/metrics"); status != http.StatusOK || took != 0 {
						t.Fatalf("the admin listener: %d after %v", status, took)
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
		b := newAttackBubble(t, limits{app: 100, admin: 4}, longAPI)
		for _, way := range []string{"silence", "half a header", "half a long body", "an answer that is not read"} {
			b.attack(b.app, 500, stallingClients[way])
		}
		began := time.Now()
		for i := range 100 {
			if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took > 10*time.Second {
				t.Fatalf("request %d: %d after %v", i, status, took)
			}
			if took, status := b.get(b.admin, "/metrics"); status != http.StatusOK || took != 0 {
				t.Fatalf("the admin listener: %d after %v", status, took)
			}
		}
		if took := time.Since(began); took > 40*time.Second {
			t.Errorf("a hundred requests took %v", took)
		}
	})
}

// Slow clients of the operator's listener neither keep operators out, nor the app.
func TestSlowAdminClientsBlockNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAttackBubble(t, limits{app: 16, admin: 4}, nil)
		b.attack(b.admin, 100, stallingClients["half a header"])
		for range 20 {
			if took, status := b.get(b.admin, "/metrics"); status != http.StatusOK || took > 10*time.Second {
				t.Fatalf("the admin listener: %d after %v", status, took)
			}
			if took, status := b.get(b.app, "/channels"); status != http.StatusOK || took != 0 {
				t.Fatalf("the app: %d after %v", status, took)
			}
		}
	})
}

// A request that waits for the API is never the one that has to go: neither one whose answer is late, nor an upload that the
// API is slow to take.
func TestDoesNotEvictRequestsWaitingForAPI(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, waiting = 16, 6
		b := newAttackBubble(t, limits{app: limit, admin: 4}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
						t.Errorf("%s: %d after %v", path, status, took)
					}
				})
			}
		}
		synctest.Wait()
		b.attack(b.app, 10*limit, stallingClients["half a header"])
		for range 20 {
			if took, status := b.get(b.app, "/channels"); status != http.StatusOK {
				t.Errorf("%d after %v", status, took)
			}
			time.Sleep(time.Second)
		}
		apps.Wait()
	})
}

// It is the API that is slow to take an upload, and the client who is waited for in between is always there at once.
func TestDoesNotEvictUploadsThatAPIReadsSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, size = 16, 1_000_000
		b := newAttackBubble(t, limits{app: limit, admin: 4}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			part := make([]byte, 20_000)
			for taken := 0; ; taken += len(part) {
				if _, err := io.ReadFull(r.Body, part); err != nil {
					if r.URL.Path == "/upload" && taken != size {
						t.Errorf("%d bytes of an upload reached the API: %v", taken, err)
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
					t.Errorf("%v %v", response, err)
				}
			})
		}
		synctest.Wait()
		b.attack(b.app, 10*limit, stallingClients["half a header"])
		apps.Wait()
	})
}
