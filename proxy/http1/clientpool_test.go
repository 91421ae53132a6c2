package http1_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// What arrives on an idle connection, or ends it, is noticed before a request is sent on it.
func TestDoesNotReuseReadableConnection(t *testing.T) {
	for name, after := range map[string]func(c *upstreamConn){
		"closed":           func(c *upstreamConn) { _ = c.Close() },
		"reset":            func(c *upstreamConn) { c.reset(); _ = c.Close() },
		"another response": func(c *upstreamConn) { c.send(okResponse) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done, acted := make(chan struct{}), make(chan struct{})
			u := startUpstream(t, func(c *upstreamConn) {
				if c.request() == nil {
					return
				}
				c.send(okResponse)
				<-done
				after(c)
				acted <- struct{}{}
				c.request()
			})
			for range 5 {
				r := newRequest(t, "POST")
				if body := u.mustSucceed(t, r); body != "ok" {
					t.Errorf("got %q", body)
				}
				done <- struct{}{}
				<-acted
				time.Sleep(20 * time.Millisecond) // loopback is fast, but not instant
			}
			u.wantCounts(t, 5, 5)
		})
	}
}

// A request is sent twice only if that is safe, the connection was reused, and nothing of a response has arrived.
func TestRetriesOnceOnFreshConnection(t *testing.T) {
	second := func(atSecond func(c *upstreamConn)) func(*upstreamConn) {
		return func(c *upstreamConn) {
			if c.request() == nil {
				return
			}
			c.send(okResponse)
			if c.request() == nil {
				return
			}
			atSecond(c)
		}
	}
	hangUp := func(*upstreamConn) {}
	reset := func(c *upstreamConn) { c.reset() }
	for name, test := range map[string]struct {
		method         string
		second         func(c *upstreamConn)
		conns, request int32
		succeeds       bool
	}{
		"GET, closed":     {"GET", hangUp, 2, 3, true},
		"GET, reset":      {"GET", reset, 2, 3, true},
		"POST, closed":    {"POST", hangUp, 1, 2, false},
		"GET, one byte":   {"GET", func(c *upstreamConn) { c.send("H") }, 1, 2, false},
		"GET, nonsense":   {"GET", func(c *upstreamConn) { c.send("no\r\n\r\n") }, 1, 2, false},
		"GET, a 1xx only": {"GET", func(c *upstreamConn) { c.send("HTTP/1.1 103 X\r\n\r\n") }, 1, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, second(test.second))
			u.mustSucceed(t, newRequest(t, "GET"))
			if _, _, err := u.roundTrip(newRequest(t, test.method)); (err == nil) != test.succeeds {
				t.Errorf("got %v", err)
			}
			u.wantCounts(t, test.conns, test.request)
		})
	}
	t.Run("fresh connection", func(t *testing.T) {
		u := startUpstream(t, func(c *upstreamConn) { c.request() })
		if _, _, err := u.roundTrip(newRequest(t, "GET")); err == nil {
			t.Error("got no error")
		}
		u.wantCounts(t, 1, 1)
	})
	t.Run("many idle connections", func(t *testing.T) {
		// All of them die on the request that they receive, as long as the first one is one of them.
		arrived, proceed := make(chan struct{}, 30), make(chan struct{})
		u := startUpstream(t, func(c *upstreamConn) {
			if c.request() == nil {
				return
			}
			arrived <- struct{}{}
			<-proceed
			c.send(okResponse)
			c.request()
		})
		results := make(chan error, 30)
		for range 30 {
			go func() {
				_, _, err := u.roundTrip(newRequest(t, "GET"))
				results <- err
			}()
		}
		for range 30 {
			<-arrived
		}
		close(proceed)
		for range 30 {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
		u.mustSucceed(t, newRequest(t, "GET"))
		u.wantCounts(t, 31, 32)
	})
}

func TestUsesLastConnectionFirst(t *testing.T) {
	release := make(chan struct{})
	var last atomic.Int32
	u := startUpstream(t, each(func(c *upstreamConn, r *http.Request) {
		last.Store(c.number)
		if r.Method == "PUT" {
			<-release
		}
		c.send(okResponse)
	}))
	first := make(chan error)
	go func() {
		_, _, err := u.roundTrip(newRequest(t, "PUT"))
		first <- err
	}()
	brokertest.Eventually(t, "the first request has arrived", func() bool { return last.Load() == 1 })
	u.mustSucceed(t, newRequest(t, "GET"))
	close(release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if u.mustSucceed(t, newRequest(t, "GET")); last.Load() != 1 {
			t.Fatalf("got connection %d, want 1, which was used last", last.Load())
		}
	}
	u.wantCounts(t, 2, 5)
}

func TestClosesIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := pipeUpstream(time.Second, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
		for i, test := range []struct {
			pause         time.Duration
			dials, closed int32
		}{{0, 1, 0}, {44 * time.Second, 1, 0}, {44 * time.Second, 1, 0}, {46 * time.Second, 2, 1}} {
			time.Sleep(test.pause)
			synctest.Wait()
			if got := u.closed.Load(); got != test.closed {
				t.Errorf("%d: got %d closed connections, want %d", i, got, test.closed)
			}
			if _, _, err := u.roundTrip(newRequest(t, "GET")); err != nil || u.conns.Load() != test.dials {
				t.Errorf("%d: got %v after %d dials, want %d", i, err, u.conns.Load(), test.dials)
			}
		}
		u.close()
		if u.closed.Load() != 2 {
			t.Errorf("got %d closed connections after CloseIdle, want 2", u.closed.Load())
		}
	})
}

// A connection under steady traffic is replaced, so that a change in the DNS is followed.
func TestReplacesOldConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := pipeUpstream(time.Second, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
		start := time.Now()
		for time.Since(start) < 5*time.Minute {
			if _, _, err := u.roundTrip(newRequest(t, "GET")); err != nil {
				t.Fatal(err)
			}
			if time.Since(start) < 270*time.Second && u.conns.Load() != 1 {
				t.Fatalf("got %d dials after %s, want 1", u.conns.Load(), time.Since(start))
			}
			time.Sleep(time.Second)
		}
		if _, _, err := u.roundTrip(newRequest(t, "GET")); err != nil || u.conns.Load() != 2 {
			t.Errorf("got %v and %d dials after 5 min, want 2", err, u.conns.Load())
		}
		u.close()
	})
}

func TestKeepsMaxIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := pipeUpstream(0, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) }))
		u.client.MaxIdle = 2
		var bodies []http1.ResponseBody
		for range 5 {
			response, err := u.client.RoundTrip(newRequest(t, "GET"))
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, response.Body)
		}
		for _, body := range bodies {
			if _, err := readAll(body); err != nil {
				t.Fatal(err)
			}
			_ = body.Close()
		}
		synctest.Wait()
		if u.closed.Load() != 3 {
			t.Errorf("got %d closed connections, want 3 of 5", u.closed.Load())
		}
		u.close()
	})
}

// startTLSUpstream starts a server with layers of TLS inside each other, which may change the connection's state after each response.
func startTLSUpstream(t *testing.T, layers int, after func(c *tls.Conn)) (*upstream, *tls.Config) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "example.com", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	u := startUpstream(t, inTLS(layers, func(c *upstreamConn) {
		secure := c.Conn.(*tls.Conn)
		each(func(c *upstreamConn, _ *http.Request) {
			c.send(okResponse)
			after(secure)
		})(c)
		_ = secure.Close()
	}))
	u.addTLS(layers, config)
	return u, config
}

// The session tickets of TLS 1.3 arrive behind the handshake, and after a response they are still unread.
func TestReusesConnectionWithSessionTickets(t *testing.T) {
	u, config := startTLSUpstream(t, 1, func(*tls.Conn) {})
	for range 3 {
		u.mustSucceed(t, newRequest(t, "POST"))
	}
	u.wantCounts(t, 1, 3)
	if _, ok := config.ClientSessionCache.Get("example.com"); !ok {
		t.Error("got no session ticket, want one")
	}
}

func TestDoesNotReuseReadableTLSConnection(t *testing.T) {
	for name, after := range map[string]func(c *tls.Conn){
		"data":         func(c *tls.Conn) { _, _ = c.Write([]byte(okResponse)) },
		"close_notify": func(c *tls.Conn) { _ = c.CloseWrite() },
		"closed":       func(c *tls.Conn) { _ = c.NetConn().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			acted := make(chan struct{}, 3)
			u, _ := startTLSUpstream(t, 1, func(c *tls.Conn) {
				after(c)
				acted <- struct{}{}
			})
			for range 3 {
				u.mustSucceed(t, newRequest(t, "POST"))
				<-acted
				time.Sleep(20 * time.Millisecond)
			}
			if u.conns.Load() != 3 {
				t.Errorf("got %d connections, want 3", u.conns.Load())
			}
		})
	}
}

// Through an https proxy there is TLS to the upstream inside TLS to the proxy.
func TestDoesNotReuseReadableConnectionThroughTLSProxy(t *testing.T) {
	for name, after := range map[string]func(c *tls.Conn){
		"data": func(c *tls.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Evil: 1\r\n\r\nforged"))
		},
		"close_notify": func(c *tls.Conn) { _ = c.CloseWrite() },
		"closed":       func(c *tls.Conn) { _ = c.NetConn().(*tls.Conn).NetConn().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			acted := make(chan struct{}, 3)
			u, _ := startTLSUpstream(t, 2, func(c *tls.Conn) {
				after(c)
				acted <- struct{}{}
			})
			for range 3 {
				if got := u.mustSucceed(t, newRequest(t, "POST")); got != "ok" {
					t.Errorf("got %q, want the response to this request", got)
				}
				<-acted
				time.Sleep(20 * time.Millisecond)
			}
			if u.conns.Load() != 3 {
				t.Errorf("got %d connections, want 3", u.conns.Load())
			}
		})
	}
}

func TestReturnsErrorOfDial(t *testing.T) {
	want := errors.New("no route")
	client := http1.Client{Dial: func(context.Context) (net.Conn, error) { return nil, want }}
	if _, err := client.RoundTrip(newRequest(t, "GET")); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// An upstream may close after a 413 without announcing it: RFC 9110 section 15.5.14.
func TestDoesNotReuseConnectionAfter413(t *testing.T) {
	for status, conns := range map[int]int32{400: 1, 413: 2} {
		u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
			c.send(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno", status))
		}))
		for range 2 {
			if response, body, err := u.roundTrip(newRequest(t, "POST")); err != nil || response.Status != status || body != "no" {
				t.Errorf("got %d %q, %v, want %d", response.Status, body, err, status)
			}
		}
		u.wantCounts(t, conns, 2)
	}
}

// A reused connection is no reason for a retry if the caller has ended the exchange, or the upstream is silent.
func TestRetriesOnlyAfterConnectionFailure(t *testing.T) {
	for want, leave := range map[error]bool{context.Canceled: true, os.ErrDeadlineExceeded: false} {
		synctest.Test(t, func(t *testing.T) {
			u := pipeUpstream(time.Minute, func(c *upstreamConn) {
				c.request()
				c.send(okResponse)
				c.request()
			})
			if _, _, err := u.roundTrip(newRequest(t, "GET")); err != nil {
				t.Error(err)
			}
			r := newRequest(t, "GET")
			if leave {
				time.AfterFunc(time.Second, r.Caller.(*caller).goAway)
			}
			if _, _, err := u.roundTrip(r); !errors.Is(err, want) || u.conns.Load() != 1 {
				t.Errorf("got %v and %d dials, want %v and 1", err, u.conns.Load(), want)
			}
			u.close()
		})
	}
}

// After a part of a request, the next one would look like the rest of it.
func TestDoesNotReuseConnectionAfterPartOfRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 3 * time.Second
		u := pipeUpstream(timeout, func(c *upstreamConn) {
			c.request()
			time.Sleep(timeout + 50*time.Millisecond) // the write has failed, and the response is still awaited
			c.send(okResponse)
		})
		for i := range 2 {
			r := newRequest(t, "POST")
			r.Body = make([]byte, 64<<10)
			if _, _, err := u.roundTrip(r); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		}
		if got := u.conns.Load(); got != 2 {
			t.Errorf("got %d connections, want 2", got)
		}
		u.close()
	})
}

// A response that is not read to its end costs its connection, and so does one with more behind it.
func TestDoesNotReuseUnreadConnection(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n")
		c.send(string(bytes.Repeat([]byte("x"), 6000)))
	}))
	for range 2 {
		response, err := u.client.RoundTrip(newRequest(t, "GET"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = response.Body.Read(make([]byte, 10))
		_ = response.Body.Close()
	}
	u.wantCounts(t, 2, 2)
}
