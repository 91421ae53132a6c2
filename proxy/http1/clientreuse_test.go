//go:build unix

package http1_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// A TLS connection that does not come from TLSClient cannot be polled, but it is reused: see Client.Dial.
func TestReusesTLSConnectionThatCannotBePolled(t *testing.T) {
	u := startUpstream(t, inTLS(1, each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) })))
	u.wrapConns(func(conn net.Conn) net.Conn { return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) })
	for range 3 {
		u.mustSucceed(t, newRequest(t, "POST"))
	}
	u.wantCounts(t, 1, 3)
}

// isReadable reports whether something has arrived, or the end.
func isReadable(conn syscall.Conn) (readable bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	_ = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		readable = err != syscall.EAGAIN
	})
	return readable
}

// mergingConn holds back what is written, once held is not nil.
type mergingConn struct {
	net.Conn
	held []byte
}

func (c *mergingConn) Write(p []byte) (int, error) {
	if c.held == nil {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

// A byte is noticed even if a part of the close_notify has arrived behind it: then crypto/tls returns it together with an error, up to
// TLS 1.2.
func TestDoesNotReuseConnectionWithByteBeforePartOfAlert(t *testing.T) {
	proceed := make(chan struct{})
	var last syscall.Conn
	u := startUpstream(t, func(c *upstreamConn) {
		raw, conn := c.Conn, &mergingConn{Conn: c.Conn}
		c.Conn = conn
		inTLS(1, func(c *upstreamConn) {
			if c.request() == nil {
				return
			}
			c.send(okResponse)
			<-proceed
			conn.held = []byte{}
			c.send("x")
			size := len(conn.held)
			_ = c.Conn.(*tls.Conn).CloseWrite()
			_ = raw.SetWriteDeadline(time.Time{}) // CloseWrite has set one that is over
			_, _ = raw.Write(conn.held[:size+2])
			c.request()
		})(c)
	})
	u.wrapConns(func(conn net.Conn) net.Conn {
		last = conn.(*net.TCPConn)
		return conn
	})
	u.addTLS(1, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	u.mustSucceed(t, newRequest(t, "POST"))
	close(proceed)
	brokertest.Eventually(t, "it has arrived", func() bool { return isReadable(last) })
	if _, _, err := u.roundTrip(newRequest(t, "POST")); err != nil || u.conns.Load() != 2 {
		t.Errorf("got %v and %d connections, want a second one", err, u.conns.Load())
	}
}

// hookedConn is a connection that calls a function before and after the write of a request.
type hookedConn struct {
	*net.TCPConn
	before, after func()
}

func (c *hookedConn) Write(p []byte) (int, error) {
	if c.before != nil {
		c.before()
	}
	n, err := c.TCPConn.Write(p)
	if c.after != nil {
		c.after()
	}
	return n, err
}

// What arrives on a reused connection between the check that nothing has arrived and the wait for the response ends that wait: the
// connection becomes readable only once.
func TestNoticesWhatArrivesWhileRequestIsSent(t *testing.T) {
	const half = len(okResponse) / 2
	for what, test := range map[string]struct {
		act      func(c *upstreamConn, secure net.Conn)
		succeeds bool
	}{
		"response": {func(_ *upstreamConn, secure net.Conn) { _, _ = io.WriteString(secure, okResponse) }, true},
		"end":      {func(c *upstreamConn, _ net.Conn) { _ = c.Close() }, false},
		"reset":    {func(c *upstreamConn, _ net.Conn) { c.reset(); _ = c.Close() }, false},
		"half, and end": {func(c *upstreamConn, secure net.Conn) {
			_, _ = io.WriteString(secure, okResponse[:half])
			_ = c.Close()
		}, false},
		"half": {func(_ *upstreamConn, secure net.Conn) {
			_, _ = io.WriteString(secure, okResponse[:half])
			time.AfterFunc(100*time.Millisecond, func() { _, _ = io.WriteString(secure, okResponse[half:]) })
		}, true},
	} {
		for layers := range 3 {
			for _, moment := range []string{"before the write", "after the write"} {
				t.Run(fmt.Sprintf("%s, %s, %d layers of TLS", what, moment, layers), func(t *testing.T) {
					act, acted := make(chan struct{}), make(chan struct{})
					u := startUpstream(t, func(plain *upstreamConn) {
						inTLS(layers, func(c *upstreamConn) {
							c.request()
							c.send(okResponse)
							<-act
							test.act(plain, c.Conn)
							close(acted)
							c.request() // until the client closes the connection
							c.request()
						})(plain)
					})
					hooked := &hookedConn{}
					u.wrapConns(func(conn net.Conn) net.Conn {
						hooked.TCPConn = conn.(*net.TCPConn)
						return hooked
					})
					u.addTLS(layers, &tls.Config{InsecureSkipVerify: true})
					u.mustSucceed(t, newRequest(t, "POST"))
					hook := func() {
						hooked.before, hooked.after = nil, nil
						close(act)
						<-acted
						brokertest.Eventually(t, "it has arrived", func() bool { return isReadable(hooked) })
						time.Sleep(5 * time.Millisecond) // Go's network poller has seen it
					}
					if moment == "before the write" {
						hooked.before = hook
					} else {
						hooked.after = hook
					}
					u.client.ResponseTimeout = time.Minute
					began := time.Now()
					_, body, err := u.roundTrip(newRequest(t, "POST"))
					if (err == nil && body == "ok") != test.succeeds {
						t.Errorf("got %q, %v, want a response: %t", body, err, test.succeeds)
					}
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("waited %s, want an answer at once", took)
					}
				})
			}
		}
	}
}
