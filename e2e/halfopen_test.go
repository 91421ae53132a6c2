//go:build unix

package e2e

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// halfOpenConns are connections on which a client has sent half of a request header and sends nothing more.
type halfOpenConns struct {
	t     *testing.T
	addr  string
	limit int // how many are kept open
	conns []net.Conn
}

// open adds a connection. Above the limit it closes the oldest one, because this process needs descriptors too.
func (c *halfOpenConns) open() {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Errorf("the attacker cannot connect: %v", err)
		return
	}
	_, _ = io.WriteString(conn, "GET /channels HTTP/1.1\r\nHost: localhost\r\nX: ") // the broker may have closed it
	c.conns = append(c.conns, conn)
	if len(c.conns) > c.limit {
		_ = c.conns[0].Close()
		c.conns = c.conns[1:]
	}
}

func (c *halfOpenConns) closeAll() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// countClosed returns how many of the connections the broker closes within that time.
func (c *halfOpenConns) countClosed(d time.Duration) (closed int) {
	deadline := time.Now().Add(d)
	var waiting sync.WaitGroup
	var mu sync.Mutex
	for _, conn := range c.conns {
		waiting.Go(func() {
			_ = conn.SetReadDeadline(deadline)
			_, err := io.Copy(io.Discard, conn)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				mu.Lock()
				closed++
				mu.Unlock()
			}
		})
	}
	waiting.Wait()
	return closed
}

// TestServesDuringHalfOpenConnectionFlood opens about ten times as many connections with half a request as the broker has
// descriptors. Meanwhile the app and the operator must be served, and in the end the broker closes those connections.
func TestServesDuringHalfOpenConnectionFlood(t *testing.T) {
	servers := startTestServers(t, time.Minute)
	// It may have 256 file descriptors open, connections included.
	b := servers.startCommand(t, exec.Command("sh", "-c", `ulimit -n 256 && exec "$0" serve`, brokerBinary))
	b.waitForToken()
	addr := strings.TrimPrefix(b.appURL, "http://")

	// One client reuses its connection, the other opens a new one for each request.
	reconnecting := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: brokertest.Timeout}
	requests := 0
	wantFastOK := func(client *http.Client, url string) {
		t.Helper()
		began := time.Now()
		got := brokertest.ReadResponse(client.Get(url))
		if got.Err != nil {
			t.Fatalf("%s: %v", url, got.Err)
		}
		requests++
		if took := time.Since(began); got.Status != http.StatusOK || took > 5*time.Second {
			t.Errorf("%s: got %d after %v, want 200 within 5 s", url, got.Status, took)
		}
	}
	flood := &halfOpenConns{t: t, addr: addr, limit: 1000}
	done := make(chan struct{})
	defer func() {
		<-done
		flood.closeAll()
	}()
	go func() {
		defer close(done)
		for range 2000 {
			flood.open()
		}
	}()
	for attacking := true; attacking; {
		select {
		case <-done:
			attacking = false
		default:
		}
		wantFastOK(b.client, b.appURL+"/channels")
		wantFastOK(reconnecting, b.appURL+"/channels")
		wantFastOK(reconnecting, b.adminURL+"/metrics")
		wantFastOK(reconnecting, b.adminURL+"/healthz")
	}
	for range 10 { // and while as many connections are open as the limit allows
		wantFastOK(reconnecting, b.appURL+"/channels")
		wantFastOK(reconnecting, b.adminURL+"/metrics")
	}
	flood.closeAll()
	t.Logf("%d requests were served during the flood", requests)
	if closed := b.metric("requests_denied_total", `reason="connections"`); closed == 0 {
		t.Error("requests_denied_total{reason=\"connections\"}: got 0, want more: the flood did not reach the connection limit")
	}

	flood = &halfOpenConns{t: t, addr: addr, limit: 300}
	for range 300 {
		flood.open()
	}
	began := time.Now()
	if closed := flood.countClosed(40 * time.Second); closed != 300 {
		t.Errorf("the broker closed %d idle connections, want 300", closed)
	}
	t.Logf("all were closed after %v", time.Since(began))
	wantFastOK(reconnecting, b.appURL+"/channels")
}
