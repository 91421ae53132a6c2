//go:build unix

package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// A TLS connection that does not come from TLSClient cannot be polled, but it is reused: see Client.Dial.
func TestReusesTLSConnectionThatCannotBePolled(t *testing.T) {
	u := startUpstream(t, func(c *upstreamConn) {
		secure := tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
		each(func(c *upstreamConn, _ *http.Request) { c.send(okResponse) })(&upstreamConn{secure, bufio.NewReader(secure), c.upstream, c.number})
	})
	dial := u.client.Dial
	u.client.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil
	}
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
		conn := &mergingConn{Conn: c.Conn}
		secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
		s := &upstreamConn{secure, bufio.NewReader(secure), c.upstream, c.number}
		if s.request() == nil {
			return
		}
		s.send(okResponse)
		<-proceed
		conn.held = []byte{}
		_, _ = secure.Write([]byte{'x'})
		size := len(conn.held)
		_ = secure.CloseWrite()
		_ = c.SetWriteDeadline(time.Time{}) // CloseWrite has set one that is over
		_, _ = c.Write(conn.held[:size+2])
		s.request()
	})
	dial := u.client.Dial
	u.client.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		last = conn.(*net.TCPConn)
		return http1.TLSClient(conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}), nil
	}
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
					u := startUpstream(t, func(c *upstreamConn) {
						conn := c.Conn
						for range layers {
							conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
						}
						secure := &upstreamConn{conn, bufio.NewReader(conn), c.upstream, c.number}
						secure.request()
						secure.send(okResponse)
						<-act
						test.act(c, conn)
						close(acted)
						secure.request() // until the client closes the connection
						secure.request()
					})
					dial, hooked := u.client.Dial, &hookedConn{}
					u.client.Dial = func(ctx context.Context) (net.Conn, error) {
						conn, err := dial(ctx)
						if err != nil {
							return nil, err
						}
						hooked.TCPConn = conn.(*net.TCPConn)
						conn = hooked
						for range layers {
							secure := http1.TLSClient(conn, &tls.Config{InsecureSkipVerify: true})
							if err := secure.HandshakeContext(ctx); err != nil {
								return nil, err
							}
							conn = secure
						}
						return conn, nil
					}
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
