package http1

import (
	"errors"
	"io"
	"net"
	"time"
)

// Request is a request of a client. It implements Caller. Its strings may be kept after the request has ended, the rest must
// not be.
type Request struct {
	// Method, Target, Host (of the Host field) and Fields are as the client sent them.
	Method, Target, Host string
	MinorVersion         int // of HTTP/1: 0 or 1
	Fields               Fields
	// ContentLength is the length of the body in bytes; 0 without one, -1 for chunked.
	ContentLength int64
	// ExpectContinue means that the client waits for "100 Continue" before it sends the body (RFC 9110 section 10.1.1). The
	// first Read of the body sends it.
	ExpectContinue bool
	// Body is never nil. It implements Stream.
	Body *RequestBody
	// Malformed is not nil if the request is malformed: then only Method is set, perhaps. The handler must answer with an
	// error, and the connection is closed afterwards.
	Malformed *RequestError
	// Conn is the connection as it was accepted, for its addresses. It may be a *tls.Conn. Nothing must be read from it or
	// written to it.
	Conn net.Conn
	// Tunnel is what OpenTunnel was given, for a request that comes through a tunnel, or what TunnelOf has returned.
	Tunnel any
	// Secure means that the request came over TLS; if it came through a tunnel, over TLS inside it.
	Secure bool

	conn *conn
}

// RequestBody is the body of a request. Its errors are ErrChunk, or those of the connection. Interrupt and Complete may be
// called from any goroutine. The fields are guarded by conn.mu; their zero values are those of a complete body.
type RequestBody struct {
	conn *conn

	unread      bool // it was not read to its end
	broken      bool // a Read has failed: the end of the body cannot be found any more
	interrupted bool // the read deadline is aLongTimeAgo, unless the watch reads
}

// aLongTimeAgo is a deadline that ends blocked reads.
var aLongTimeAgo = time.Unix(1, 0)

// Read implements io.Reader. The first call sends "100 Continue" if the client waits for it.
func (b *RequestBody) Read(p []byte) (int, error) {
	c := b.conn
	if c.request.ExpectContinue {
		if err := c.sendContinue(); err != nil {
			return 0, err
		}
	}
	n, err := c.body.Read(p)
	if err == nil {
		return n, nil
	}
	isEnd := errors.Is(err, io.EOF)
	c.mu.Lock()
	first, interrupted := b.unread && !b.broken, b.interrupted
	b.unread, b.broken = !isEnd, !isEnd
	c.mu.Unlock()
	switch {
	case !first:
	case isEnd:
		c.armWatch()
	case !interrupted && !errors.Is(err, ErrChunk):
		c.clientGone(err)
	}
	return n, err
}

// Trailer returns the trailer section, after io.EOF.
func (b *RequestBody) Trailer() Fields { return b.conn.body.Trailer() }

// Complete reports whether the body was read to its end, or the request has no body.
func (b *RequestBody) Complete() bool {
	b.conn.mu.Lock()
	defer b.conn.mu.Unlock()
	return !b.unread
}

// Interrupt makes a blocked Read, and all later ones, fail. It does nothing to a complete body.
func (b *RequestBody) Interrupt() {
	b.conn.mu.Lock()
	defer b.conn.mu.Unlock()
	if b.interrupted = b.unread; b.interrupted && b.conn.reading == nil { // or else the watch would end, and no Read is blocked
		b.conn.setDeadline(aLongTimeAgo)
	}
}

// Read reads the bytes of a body.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.measureRead(func() (int, error) { return c.stream.Read(p) })
	if c.wait.received >= minBodyProgress {
		c.wait.restart()
	}
	return n, err
}

// sendContinue sends "100 Continue" (RFC 9110 section 15.2.1) if the client waits for it, unless the final response has begun.
func (c *conn) sendContinue() error {
	c.continueMu.Lock()
	defer c.continueMu.Unlock()
	if c.requestBody.Complete() {
		return nil
	}
	c.stopWatch()
	if !c.expecting {
		return nil
	}
	c.expecting = false
	_, err := c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

// beginResponse prevents a later "100 Continue". It reports whether the connection must end with the response, because the
// server cannot find the end of the body: either the client still waits for "100 Continue", and may or may not send the body
// now, or the body is broken, or too long to be discarded.
func (c *conn) beginResponse() (isLast bool) {
	if c.request.ExpectContinue {
		c.continueMu.Lock()
		defer c.continueMu.Unlock()
		if c.expecting {
			c.expecting = false
			return true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requestBody.broken || c.requestBody.unread && c.request.ContentLength > maxDiscardedBody
}
