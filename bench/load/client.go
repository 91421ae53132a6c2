package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// client is one connection. It speaks just enough HTTP/1.1 to send one request over and over and to find the ends of the
// answers, since it shares the machine with what it measures: net/http's client would take more CPU than some contenders.
type client struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func newClient(conn net.Conn, request []byte) *client {
	return &client{conn, bufio.NewReaderSize(conn, 4<<10), request}
}

func (c *client) close() { _ = c.conn.Close() }

// roundTrip sends the request and reads the answer to its end, which must be a 200. It reports whether the connection
// will do for another.
func (c *client) roundTrip() (reusable bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return false, err
	}
	h, err := c.head()
	switch {
	case err != nil:
		return false, err
	case h.status != 200:
		return false, fmt.Errorf("status %d", h.status)
	case h.chunked:
		err = c.discardChunks()
	case h.length < 0:
		return false, errors.New("the answer has no length")
	default:
		_, err = c.reader.Discard(h.length)
	}
	return !h.last, err
}

// head is what of an answer's head tells where it ends.
type head struct {
	status  int
	length  int // -1 if there is none
	chunked bool
	last    bool // of its connection
}

func (c *client) head() (head, error) {
	h := head{length: -1}
	line, err := c.line()
	if err != nil {
		return h, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return h, fmt.Errorf("no status line: %q", line)
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, err
	}
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return h, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case is(name, "content-length"):
			if h.length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return h, err
			}
		case is(name, "transfer-encoding"):
			h.chunked = is(bytes.TrimSpace(value), "chunked")
		case is(name, "connection"):
			h.last = is(bytes.TrimSpace(value), "close")
		}
	}
}

// is compares without regard to case.
func is(text []byte, word string) bool { return bytes.EqualFold(text, []byte(word)) }

// line returns the next line without its end. It is good until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// discardChunks reads a chunked body, RFC 9112 section 7.1, to the end of its trailers.
func (c *client) discardChunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseUint(string(digits), 16, 31)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if _, err := c.reader.Discard(int(size) + len("\r\n")); err != nil {
			return err
		}
	}
	for {
		if line, err := c.line(); err != nil || len(line) == 0 {
			return err
		}
	}
}
