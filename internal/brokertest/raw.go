package brokertest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// RawConn is a connection on which anything can be sent.
type RawConn struct {
	net.Conn
	Reader *bufio.Reader
	Seen   bytes.Buffer // all that came back
}

func DialRaw(t *testing.T, addr string) *RawConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(Timeout)); err != nil {
		t.Fatal(err)
	}
	c := &RawConn{Conn: conn}
	c.Reader = bufio.NewReader(io.TeeReader(conn, &c.Seen))
	return c
}

func (c *RawConn) Send(text string) { _, _ = io.WriteString(c, text) } // may break off: nobody need read what is refused

// Next returns the next final answer.
func (c *RawConn) Next(method string) Response {
	for {
		response, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
		if err != nil {
			return Response{Err: err}
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		return Response{response.StatusCode, response.Header, string(body), err}
	}
}

// Rest returns the status of all that is answered until the broker closes the connection.
func (c *RawConn) Rest(t *testing.T) (statuses []int) {
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
			t.Errorf("after the first answer: %v in %q", got.Err, c.Seen.String())
			return statuses
		}
		statuses = append(statuses, got.Status)
	}
}

// HeaderLines are those of a header, as they are sent.
func HeaderLines(fields ...string) string {
	var text strings.Builder
	for _, one := range fields {
		text.WriteString(one + "\r\n")
	}
	return text.String()
}

// PlainRequest is a request without a body: "GET /path", and header fields.
func PlainRequest(line string, more ...string) string {
	return line + " HTTP/1.1\r\nHost: localhost\r\n" + HeaderLines(more...) + "\r\n"
}
