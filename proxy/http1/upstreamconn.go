package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// MaxInformational is the maximum number of informational responses before a final one: an upstream that sends them
	// forever would keep a request busy forever.
	MaxInformational = 32

	// lateResponseTimeout is how long the client still reads a response after sending has failed: an upstream may refuse a
	// request, respond, and close the connection while the request is being sent.
	lateResponseTimeout = 100 * time.Millisecond
)

// maxSingleWriteBody is the length of the longest known body that is sent without an upload. It fits into the buffers of
// a connection, so that writing it does not wait for an upstream that answers without reading.
const maxSingleWriteBody = 64 << 10

// upstreamConn is a connection to the upstream, and its current exchange: a request and its response. It implements Canceler and,
// with its body, ResponseBody. Only Cancel may be called from any goroutine.
type upstreamConn struct {
	client    *Client
	conn      net.Conn
	socket    net.Conn      // the lowest layer of conn
	pollable  *pollableConn // conn, or the connection below TLS
	polled    [1]byte       // memory of a function would be allocated
	expiresAt time.Time     // the end of the connection's maximum age
	buffer    buffer

	// These are of the current exchange, or the last.
	idleSince     time.Time      // zero for the first exchange
	toSend        *ClientRequest // by sendThenRead; nil once that has begun
	caller        Caller
	responseBegan bool // a byte of the response has arrived
	head          responseHead
	body          // of the response
	upload

	mu         sync.Mutex
	cancelable bool // Cancel may close the connection
	canceled   bool
	sendErr    error // why the request was not sent completely
}

func newUpstreamConn(c *Client, conn net.Conn) *upstreamConn {
	lifetime := maxUpstreamAge - rand.N(maxUpstreamAge/10) //nolint:gosec // spreads new connections, and keeps no secret
	u := &upstreamConn{client: c, socket: socketOf(conn), expiresAt: time.Now().Add(lifetime)}
	u.conn, u.pollable = makePollable(conn)
	u.pollable.poller = newPoller(u.pollable.Conn, u.sendThenRead)
	u.from, u.body.buffer = u.conn, &u.buffer
	_ = conn.SetDeadline(c.deadline())
	return u
}

// errNotReusable is for a connection that has ended, has got data or has become too old while it was idle. The request was not sent.
var errNotReusable = errors.New("the connection cannot be used again")

// sendThenRead is the step of the poller. On an idle connection it first sends the request, unless something has arrived. A read right
// after that would find nothing, and need not be tried: the poller remembers what arrives while the request is being sent.
func (u *upstreamConn) sendThenRead(io.Reader) error {
	u.pollable.polling = true
	defer func() { u.pollable.polling = false }()
	r := u.toSend
	if r == nil {
		return u.buffer.fill(u.conn)
	}
	u.toSend = nil
	// crypto/tls returns a byte together with os.ErrDeadlineExceeded if a part of an alert follows it.
	if n, err := u.conn.Read(u.polled[:]); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return errNotReusable
	}
	u.send(r)
	return os.ErrDeadlineExceeded
}

func (u *upstreamConn) expired(now time.Time) bool {
	return now.Sub(u.idleSince) >= idleUpstreamTimeout || !now.Before(u.expiresAt)
}

// roundTrip sends a request, and returns once the header of its final response has arrived. The connection's deadline is set.
func (u *upstreamConn) roundTrip(r *ClientRequest) (*ClientResponse, error) {
	u.responseBegan, u.upload, u.caller = false, upload{}, r.Caller
	u.mu.Lock()
	u.cancelable, u.sendErr = true, nil
	u.mu.Unlock()
	r.Caller.CancelWhenGone(u)
	switch {
	case u.idleSince.IsZero():
		u.send(r)
	case u.expired(time.Now()), u.conn.SetDeadline(u.client.deadline()) != nil:
		return nil, u.fail(errNotReusable)
	default:
		u.toSend = r
	}
	if err := u.receive(r); err != nil {
		return nil, u.fail(err)
	}
	u.prepareBody(r)
	return &u.head.ClientResponse, nil
}

// send sends the header, and the body too unless that needs an upload, which it starts.
func (u *upstreamConn) send(r *ClientRequest) {
	stream, length := r.Stream, r.ContentLength
	switch {
	case stream == nil && len(r.Body) > maxSingleWriteBody:
		stream, length = bytesStream{bytes.NewReader(r.Body)}, int64(len(r.Body))
	case length == 0:
		stream = nil
	}
	b := outputBuffer{overTLS: isTLS(u.conn)}
	b.out = appendRequest(b.memory(), r)
	rest := r.Body // behind a buffer that is full, it needs no copy
	if stream != nil {
		rest = nil
	} else if n := min(len(rest), max(0, cap(b.out)-len(b.out))); n > 0 {
		b.out, rest = append(b.out, rest[:n]...), rest[n:]
	}
	sent, err := u.conn.Write(b.out)
	if err == nil && len(rest) > 0 {
		var more int
		more, err = u.conn.Write(rest)
		sent += more
	}
	b.release()
	switch {
	case err != nil:
		u.sendErr = fmt.Errorf("sending the request: %w", err)
		_ = u.conn.SetReadDeadline(time.Now().Add(lateResponseTimeout))
	case stream != nil:
		_ = u.conn.SetReadDeadline(time.Time{})
		u.startUpload(stream, length, r.ExpectContinue)
	case sent > minBufferSize: // it may have taken a while
		_ = u.conn.SetReadDeadline(u.client.deadline())
	}
}

// receive reads up to the end of the final response's header.
func (u *upstreamConn) receive(r *ClientRequest) error {
	for informational := 0; ; informational++ {
		if err := u.readHead(); err != nil {
			return fmt.Errorf("reading the response: %w", err)
		}
		switch status := u.head.Status; {
		case status >= http.StatusOK:
			return nil
		case status == http.StatusSwitchingProtocols:
			return &InvalidResponseError{"the protocol was switched without a request to do so"}
		case informational == MaxInformational:
			return &InvalidResponseError{"there are too many informational responses"}
		case status == http.StatusContinue:
			endContinueWait(u.proceed, true)
		case r.OnInformational != nil:
			if err := r.OnInformational.Informational(status, u.head.Reason, u.head.Fields); err != nil {
				return fmt.Errorf("an informational response: %w", err)
			}
		}
	}
}

// readHead reads the header of a response.
func (u *upstreamConn) readHead() error {
	u.head = responseHead{ClientResponse: ClientResponse{Fields: u.head.Fields[:0], ContentLength: -1}}
	for {
		if complete, err := u.head.parse(&u.buffer); complete || err != nil {
			return err
		}
		switch err := u.fill(); {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		u.responseBegan = true
	}
}

// fill reads a part of the response. On an idle connection it sends the request before.
func (u *upstreamConn) fill() error {
	if u.toSend != nil {
		if u.pollable.poller != nil {
			return u.pollable.poller.await()
		}
		if err := u.sendThenRead(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return u.buffer.fill(u.conn)
}

// prepareBody prepares the response whose header has arrived.
func (u *upstreamConn) prepareBody(r *ClientRequest) {
	h := &u.head
	// An upstream that refuses a body may close the connection without a word: RFC 9110 section 15.5.14.
	h.close = h.close || h.Status == http.StatusRequestEntityTooLarge
	switch {
	case r.Method == http.MethodHead, h.Status == http.StatusNoContent, h.Status == http.StatusNotModified:
		if r.Method != http.MethodHead { // an upstream that announces a body may send it
			h.close = h.close || h.chunked || h.Status == http.StatusNoContent && h.ContentLength > 0
		}
		if h.Status == http.StatusNoContent {
			h.ContentLength = 0
		}
		u.setFraming(byLength, 0)
	case h.chunked:
		u.setFraming(byLenientChunks, 0)
	case h.ContentLength >= 0:
		u.setFraming(byLength, h.ContentLength)
	default:
		h.close = true
		u.setFraming(byClose, 0)
	}
	h.Body = u
	if u.done != nil {
		u.mu.Lock()
		u.answered = true
		u.mu.Unlock()
		endContinueWait(u.proceed, false) // a body that was not begun is not sent
	}
	switch complete := u.framing == byLength && u.remaining <= int64(len(u.buffer.unread())); {
	case complete:
	case u.done == nil:
		_ = u.conn.SetDeadline(time.Time{}) // a body may take as long as it needs, and TLS may have to write meanwhile
	default:
		_ = u.conn.SetReadDeadline(time.Time{})
	}
}

// Close implements ResponseBody.
func (u *upstreamConn) Close() error {
	if u.endExchange() && !u.head.close && !u.client.DisableKeepAlives && u.atEnd() && len(u.buffer.unread()) == 0 {
		// An idle connection keeps only what it needs.
		u.caller, u.upload, u.trailer = nil, upload{}, nil
		u.head = responseHead{ClientResponse: ClientResponse{Fields: u.head.Fields.Reuse()}}
		if u.idleSince = time.Now(); u.client.pool.put(u) {
			return nil
		}
	}
	u.discard()
	return nil
}

// fail ends an exchange without a response. It returns received, the error of reading, or a better one: why the request was not
// sent, or context.Canceled.
func (u *upstreamConn) fail(received error) error {
	u.mu.Lock()
	sendErr := u.sendErr
	u.mu.Unlock()
	if errors.Is(received, errNotReusable) {
		_ = u.conn.Close() // with TLS, this says so
	}
	u.discard() // before endExchange: it ends a blocked write
	u.endExchange()
	switch {
	case u.canceled:
		return fmt.Errorf("the caller has gone: %w", context.Canceled)
	case errors.Is(sendErr, ErrRequestBody), sendErr != nil && errors.Is(received, os.ErrDeadlineExceeded):
		return sendErr
	default:
		return received
	}
}

// endExchange reports whether the whole request was sent, and was not canceled. It cannot be canceled afterwards.
func (u *upstreamConn) endExchange() bool {
	u.stopUpload()
	u.caller.CancelWhenGone(nil)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cancelable = false
	return u.sendErr == nil && !u.canceled
}

// Cancel implements Canceler: it closes the connection.
func (u *upstreamConn) Cancel() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cancelable {
		u.canceled = true
		_ = u.socket.Close()
	}
}

func (u *upstreamConn) discard() {
	_ = u.socket.Close()
	u.buffer.release()
}
