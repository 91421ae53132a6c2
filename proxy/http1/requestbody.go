package http1

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// RequestBody is the body of a request. Its errors are ErrChunk, or those of the connection. Interrupt and Complete may be
// called from any goroutine.
type RequestBody struct {
	conn     *conn
	complete atomic.Bool

	mu             sync.Mutex
	expecting      bool // the client waits for "100 Continue"
	watched        bool // the goneWatch reads from the connection until the first Read
	interrupted    bool
	broken         bool // a Read has failed: the end of the body cannot be found any more
	deadlineLifted bool // the read deadline is not that of the header any more
}

var errBodyInterrupted = errors.New("the request body was interrupted")

// prepare prepares for a handler that reads the body.
func (b *RequestBody) prepare() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expecting, b.watched, b.interrupted, b.broken, b.deadlineLifted = false, false, false, false, false
}

// prepareDiscard prepares for the server, which reads what the handler has left, with a deadline of its own.
func (b *RequestBody) prepareDiscard() {
	b.prepare()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deadlineLifted = true
}

// expect prepares for a client that waits for "100 Continue".
func (b *RequestBody) expect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expecting, b.watched = true, true
	b.conn.goneWatch.arm()
}

// Read implements io.Reader. The first call sends "100 Continue" if the client waits for it.
func (b *RequestBody) Read(p []byte) (int, error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	n, err := b.conn.body.Read(p)
	if err != nil {
		b.readEnded(err)
	}
	return n, err
}

// readEnded takes the error of a Read.
func (b *RequestBody) readEnded(err error) {
	b.mu.Lock()
	first := !b.broken && !b.complete.Load()
	isEnd := errors.Is(err, io.EOF)
	b.complete.Store(isEnd) // under the lock: see Interrupt
	b.broken = !isEnd
	interrupted := b.interrupted
	b.mu.Unlock()
	switch {
	case !first:
	case isEnd:
		b.conn.goneWatch.arm()
	case !interrupted && !errors.Is(err, ErrChunk):
		b.conn.goneWatch.cancelRequest()
	}
}

// begin sends "100 Continue" (RFC 9110 section 15.2.1) before the first Read if the client waits for it, unless the final response
// has begun.
func (b *RequestBody) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watched {
		b.watched = false
		b.conn.goneWatch.stop()
	}
	if !b.expecting {
		return nil
	}
	b.expecting = false
	_, err := b.conn.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

// responseBegins prevents a later "100 Continue". It reports whether the connection must end with the response, because the
// server cannot find the end of the body: either the client still waits for "100 Continue", and may or may not send the body
// now, or the body is broken.
func (b *RequestBody) responseBegins() (isLast bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	isLast = b.expecting || b.broken
	b.expecting = false
	return isLast
}

// Trailer returns the trailer section, after io.EOF.
func (b *RequestBody) Trailer() Fields { return b.conn.body.Trailer() }

// Complete reports whether the body was read to its end, or the request has no body.
func (b *RequestBody) Complete() bool { return b.complete.Load() }

// Interrupt makes a blocked Read, and all later ones, fail. It does nothing to a complete body, and sets no deadline while a
// client that goes away is watched for: the watch would end.
func (b *RequestBody) Interrupt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.complete.Load() {
		return
	}
	b.interrupted = true
	if !b.watched { // or else no Read is blocked
		_ = b.conn.stream.SetReadDeadline(aLongTimeAgo) // fails only if reads fail too
	}
}

// aLongTimeAgo is a deadline that ends blocked reads.
var aLongTimeAgo = time.Unix(1, 0)

// liftDeadline lifts the deadline that was for the header: a body may take as long as it likes.
func (b *RequestBody) liftDeadline() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.interrupted:
		return errBodyInterrupted
	case !b.deadlineLifted:
		b.deadlineLifted = true
		b.conn.setDeadline(time.Time{})
	}
	return nil
}

// connReader reads the bytes of a body from the connection.
type connReader struct{ conn *conn }

// Read implements io.Reader.
func (s connReader) Read(p []byte) (int, error) {
	c := s.conn
	if err := c.requestBody.liftDeadline(); err != nil {
		return 0, err
	}
	n, err := c.block(func() (int, error) { return c.stream.Read(p) })
	if c.wait.received >= minBodyProgress {
		c.wait.restart()
	}
	return n, err
}
