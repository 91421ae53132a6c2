package brokertest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// RawConn is a connection on which a test can send anything. It ends with the test, and no operation takes longer than
// Timeout.
type RawConn struct {
	net.Conn
	Reader *bufio.Reader // reads from Conn
	Seen   bytes.Buffer  // everything that Reader has received
}

// DialRaw opens a connection to HOST:PORT.
func DialRaw(t testing.TB, addr string) *RawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		t.Fatal(err)
	}
	return NewRawConn(conn)
}

// NewRawConn returns a RawConn of a connection that is open.
func NewRawConn(conn net.Conn) *RawConn {
	c := &RawConn{Conn: conn}
	c.Reader = bufio.NewReader(io.TeeReader(conn, &c.Seen))
	return c
}

// Send writes a text. It ignores errors: the broker may close the connection before it has read a request that it refuses.
func (c *RawConn) Send(text string) { _, _ = io.WriteString(c, text) }

// StartTLS makes c the client's end of a TLS connection. The handshake begins with the next request.
func (c *RawConn) StartTLS(config *tls.Config) {
	c.Conn = tls.Client(c.Conn, config)
	c.Reader = bufio.NewReader(io.TeeReader(c.Conn, &c.Seen))
}

// RoundTrip sends a request, and returns the response. The body of a request comes with it.
func (c *RawConn) RoundTrip(request string) Response {
	c.Send(request)
	method, _, _ := strings.Cut(request, " ")
	return c.Next(method)
}

// Get sends a GET request, and returns the response.
func (c *RawConn) Get(target, host string, more ...string) Response {
	return c.RoundTrip("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + HeaderLines(more...) + "\r\n")
}

// Connect sends a CONNECT request. If the status of the response is 200, c is a tunnel to the target from then on.
func (c *RawConn) Connect(target string, more ...string) Response {
	c.Send("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n" + HeaderLines(more...) + "\r\n")
	response, err := http.ReadResponse(c.Reader, &http.Request{Method: http.MethodConnect})
	if err != nil || response.StatusCode != http.StatusOK {
		return ReadResponse(response, err)
	}
	return Response{Status: response.StatusCode, Header: response.Header}
}

// Next returns the next final response, to a request with that method. It skips informational responses (1xx).
func (c *RawConn) Next(method string) Response {
	for {
		response, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
		if err != nil || response.StatusCode >= 200 {
			return ReadResponse(response, err)
		}
	}
}

// Rest returns the status of each further response until the broker closes the connection. It reports a connection that
// stays open, and bytes that are not a response, as errors.
func (c *RawConn) Rest(t testing.TB) (statuses []int) {
	t.Helper()
	for {
		if _, err := c.Reader.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			return statuses
		}
		got := c.Next("GET")
		if got.Err != nil {
			t.Errorf("got no response but %v in %q", got.Err, c.Seen.String())
			return statuses
		}
		statuses = append(statuses, got.Status)
	}
}

// HeaderLines returns header fields as they are sent, each with its CRLF.
func HeaderLines(fields ...string) string {
	var text strings.Builder
	for _, field := range fields {
		text.WriteString(field + "\r\n")
	}
	return text.String()
}

// PlainRequest returns a request for localhost without a body. line is the method and the target, such as "GET /path"; more
// header fields follow.
func PlainRequest(line string, more ...string) string {
	return line + " HTTP/1.1\r\nHost: localhost\r\n" + HeaderLines(more...) + "\r\n"
}
