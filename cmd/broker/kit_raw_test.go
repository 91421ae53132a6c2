package main

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

// attacker is a connection on which anything can be sent.
type attacker struct {
	net.Conn
	r    *bufio.Reader
	seen bytes.Buffer // all that came back
}

func attackerAt(t *testing.T, addr string) *attacker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := &attacker{Conn: conn}
	c.r = bufio.NewReader(io.TeeReader(conn, &c.seen))
	return c
}

func (c *attacker) send(text string) { _, _ = io.WriteString(c, text) } // may break off: nobody need read what is refused

// next returns the next final answer.
func (c *attacker) next(method string) answer {
	for {
		response, err := http.ReadResponse(c.r, &http.Request{Method: method})
		if err != nil {
			return answer{err: err}
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		return answer{response.StatusCode, response.Header, string(body), err}
	}
}

// rest returns the status of all that is answered until the broker closes the connection.
func (c *attacker) rest(t *testing.T) (statuses []int) {
	t.Helper()
	for {
		if _, err := c.r.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays open")
			}
			return statuses
		}
		got := c.next("GET")
		if got.err != nil {
			t.Errorf("after the first answer: %v in %q", got.err, c.seen.String())
			return statuses
		}
		statuses = append(statuses, got.status)
	}
}

// fields are those of a header, as they are sent.
func fields(fields ...string) string {
	var text strings.Builder
	for _, one := range fields {
		text.WriteString(one + "\r\n")
	}
	return text.String()
}

// plain is a request without a body: "GET /path", and header fields.
func plain(line string, more ...string) string {
	return line + " HTTP/1.1\r\nHost: localhost\r\n" + fields(more...) + "\r\n"
}
