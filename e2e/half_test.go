//go:build unix

package e2e

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startWithFewDescriptors starts a broker that may have 256 descriptors, connections included.
func (w *world) startWithFewDescriptors(t *testing.T) *broker {
	t.Helper()
	script := filepath.Join(t.TempDir(), "broker")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nulimit -n 256\nexec '"+binary+"' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	program := binary
	defer func() { binary = program }()
	binary = script
	return w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret(), "PATH="+os.Getenv("PATH"))
}

// crowd are connections on which half a header was sent, and nothing more will be.
type crowd struct {
	t    *testing.T
	addr string
	most int // that are kept open
	open []net.Conn
}

// grow adds a connection. Of more than most, the oldest leaves: this process needs descriptors too.
func (c *crowd) grow() {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Errorf("an attacker does not even get through to the system: %v", err)
		return
	}
	_, _ = io.WriteString(conn, "GET /channels HTTP/1.1\r\nHost: localhost\r\nX: ") // the broker may have closed it
	c.open = append(c.open, conn)
	if len(c.open) > c.most {
		_ = c.open[0].Close()
		c.open = c.open[1:]
	}
}

func (c *crowd) leave() {
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
}

// closedWithin counts the connections that the broker has closed by then.
func (c *crowd) closedWithin(d time.Duration) (closed int) {
	deadline := time.Now().Add(d)
	var waiting sync.WaitGroup
	var mu sync.Mutex
	for _, conn := range c.open {
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

// TestHalfOpenConnectionsKeepNobodyOut holds that clients which begin and never end, ten times as many as the broker may
// have descriptors, keep neither the app out nor the operator, and are themselves put out in the end.
func TestHalfOpenConnectionsKeepNobodyOut(t *testing.T) {
	w := newWorld(t, time.Minute)
	b := w.startWithFewDescriptors(t)
	b.wait()
	addr := strings.TrimPrefix(b.app, "http://")

	// Two apps: one keeps its connection, and one has another each time.
	again := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	asked := 0
	ask := func(client *http.Client, url string) {
		t.Helper()
		began := time.Now()
		response, err := client.Get(url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		asked++
		if took := time.Since(began); response.StatusCode != http.StatusOK || took > patience/3 {
			t.Errorf("%s: %d after %v", url, response.StatusCode, took)
		}
	}
	attackers := &crowd{t: t, addr: addr, most: 1000}
	done := make(chan struct{})
	defer func() {
		<-done
		attackers.leave()
	}()
	go func() {
		defer close(done)
		for range 2000 {
			attackers.grow()
		}
	}()
	for attacking := true; attacking; {
		select {
		case <-done:
			attacking = false
		default:
		}
		ask(b.client, b.app+"/channels")
		ask(again, b.app+"/channels")
		ask(again, b.admin+"/metrics")
		ask(again, b.admin+"/healthz")
	}
	for range 10 { // and while all that may be here are
		ask(again, b.app+"/channels")
		ask(again, b.admin+"/metrics")
	}
	attackers.leave()
	t.Logf("%d requests meanwhile", asked)
	if closed := b.metric("requests_denied_total", `reason="connections"`); closed == 0 {
		t.Error("no connection had to make room: that was no attack")
	}

	attackers = &crowd{t: t, addr: addr, most: 300}
	for range 300 {
		attackers.grow()
	}
	began := time.Now()
	if closed := attackers.closedWithin(40 * time.Second); closed != 300 {
		t.Errorf("of 300 connections, %d were closed", closed)
	}
	t.Logf("all were closed after %v", time.Since(began))
	ask(again, b.app+"/channels")
}
