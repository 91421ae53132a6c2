package http1_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// newServer returns a server with the timeouts of these tests.
func newServer(handler handlerFunc) *http1.Server {
	return &http1.Server{Handler: handler, HeaderTimeout: headerTimeout, IdleTimeout: idleUpstreamTimeout}
}

// serve serves the connections of a listener until stop is called.
func serve(t testing.TB, s *http1.Server, l net.Listener) (stop func()) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return func() {
		s.Close()
		if err := <-served; !errors.Is(err, http1.ErrServerClosed) {
			t.Errorf("Serve: got %v, want %v", err, http1.ErrServerClosed)
		}
	}
}

// clientConn is the client's end of a connection to a server.
type clientConn struct {
	net.Conn
	t      testing.TB
	reader *bufio.Reader
	settle func() // waits until the server has done what it can, in a bubble
}

func newClientConn(t testing.TB, conn net.Conn, settle func()) *clientConn {
	return &clientConn{conn, t, bufio.NewReader(conn), settle}
}

func (c *clientConn) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("sending %.40q: %v", text, err)
	}
	c.settle()
}

// response reads a response to a request with a method.
func (c *clientConn) response(method string) (response *http.Response, body string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading a response: %v", err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("reading a response's body: %v", err)
	}
	c.settle()
	return response, string(text)
}

// expectStatus reads a response and compares its status.
func (c *clientConn) expectStatus(want int) {
	c.t.Helper()
	if response, body := c.response("GET"); response.StatusCode != want {
		c.t.Errorf("got %d %q, want %d", response.StatusCode, body, want)
	}
}

// expectEnd reads the clean end of the connection.
func (c *clientConn) expectEnd() {
	c.t.Helper()
	if text, err := io.ReadAll(c.reader); err != nil || len(text) > 0 {
		c.t.Errorf("got %q, %v, want the end of the connection", text, err)
	}
}

// tcp returns the TCP connection.
func (c *clientConn) tcp() *net.TCPConn {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		return secure.NetConn().(*net.TCPConn)
	}
	return c.Conn.(*net.TCPConn)
}

// reset closes the connection with a RST.
func (c *clientConn) reset() {
	_ = c.tcp().SetLinger(0)
	_ = c.tcp().Close()
}

// untilClosed reads until the connection is closed, and returns what came and how long that took.
func (c *clientConn) untilClosed() (text string, after time.Duration) {
	began := time.Now()
	all, _ := io.ReadAll(c.reader)
	return string(all), time.Since(began)
}

// isOpen reports whether the server has not closed the connection.
func (c *clientConn) isOpen() bool {
	_ = c.SetReadDeadline(time.Now()) // a Peek that would wait ends at once
	_, err := c.reader.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	var timeout net.Error
	return err == nil || errors.As(err, &timeout) && timeout.Timeout()
}

// sendLate sends a request, and then more after the response has begun. A reset answers what is not read, and discards what
// the client has not read of the response.
func (c *clientConn) sendLate(request string) {
	c.t.Helper()
	c.reader = bufio.NewReaderSize(c.Conn, 16) // the rest of the response stays where a reset discards it
	c.send(request)
	if _, err := c.reader.Peek(1); err != nil {
		c.t.Fatalf("the response did not begin: %v", err)
	}
	for range 3 { // after a reset, sending fails
		time.Sleep(20 * time.Millisecond)
		c.send(strings.Repeat("x", 10_000))
	}
}

// enter opens a tunnel and performs the TLS handshake in it.
func (c *clientConn) enter(request string) *clientConn {
	c.t.Helper()
	c.send(request)
	c.expectTunnel()
	inner := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := inner.Handshake(); err != nil {
		c.t.Fatalf("the handshake in the tunnel: %v", err)
	}
	return newClientConn(c.t, inner, c.settle)
}

// expectTunnel reads the response to a CONNECT. It has no body, and no field that frames one: RFC 9110 section 9.3.6.
func (c *clientConn) expectTunnel() {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, &http.Request{Method: http.MethodConnect})
	if err != nil || response.StatusCode != 200 || response.ContentLength > 0 || len(response.TransferEncoding) > 0 {
		c.t.Fatalf("got %+v, %v, want 200 without a body", response, err)
	}
}
