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

// client is one connection. It supports just enough HTTP/1.1 to send the same request repeatedly and to find the end of each
// response. net/http's client would use more CPU time than some of the proxies, on the same machine.
type client struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func newClient(conn net.Conn, request []byte) *client {
	return &client{conn, bufio.NewReaderSize(conn, 4<<10), request}
}

func (c *client) close() { _ = c.conn.Close() }

// roundTrip sends the request and reads the whole response, which must be a 200. It reports whether the connection can be reused.
func (c *client) roundTrip() (reusable bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return false, err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return false, err
	}
	h, err := c.readHead()
	switch {
	case err != nil:
		return false, err
	case h.status != 200:
		return false, fmt.Errorf("status %d", h.status)
	case h.chunked:
		err = c.discardChunks()
	case h.length < 0:
		return false, errors.New("the response has no length")
	default:
		_, err = c.reader.Discard(h.length)
	}
	return !h.connectionClose, err
}

// responseHead contains the parts of a response's head that determine where the response ends.
type responseHead struct {
	status          int
	length          int // -1 without a Content-Length
	chunked         bool
	connectionClose bool // "Connection: close"
}

func (c *client) readHead() (responseHead, error) {
	h := responseHead{length: -1}
	line, err := c.readLine()
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
		line, err := c.readLine()
		if err != nil || len(line) == 0 {
			return h, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case equalFold(name, "content-length"):
			if h.length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return h, err
			}
		case equalFold(name, "transfer-encoding"):
			h.chunked = equalFold(bytes.TrimSpace(value), "chunked")
		case equalFold(name, "connection"):
			h.connectionClose = equalFold(bytes.TrimSpace(value), "close")
		}
	}
}

// equalFold reports whether text is word, ignoring case.
func equalFold(text []byte, word string) bool { return bytes.EqualFold(text, []byte(word)) }

// readLine returns the next line without its end. The line is valid until the next read.
func (c *client) readLine() ([]byte, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// discardChunks reads a chunked body (RFC 9112, section 7.1) including its trailers.
func (c *client) discardChunks() error {
	for {
		line, err := c.readLine()
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
		if line, err := c.readLine(); err != nil || len(line) == 0 {
			return err
		}
	}
}
