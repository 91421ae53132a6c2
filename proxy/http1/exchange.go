package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// MaxInformational is the maximum number of informational responses before a final one: an upstream that sends them for
	// ever would keep a request busy for ever.
	MaxInformational = 32

	// lastRead is how long the upstream's response is awaited after the request could not be sent. An upstream that refuses a
	// request may close the connection while the request is being sent, and what it has answered is in the receive buffer.
	lastRead = 100 * time.Millisecond
)

// requestBuffers holds buffers for requests. A connection has one only while it writes.
var requestBuffers = sync.Pool{New: func() any {
	buffer := make([]byte, 0, smallBuffer)
	return &buffer
}}

// maxDirectBody is the length of the longest known body that is sent in one write with the header, by the goroutine that then
// reads the response. It fits into the buffers of a connection, so that writing it does not wait for an upstream that answers
// without reading.
const maxDirectBody = 64 << 10

// exchange is a request and its response on a connection, one after the other. It implements Canceler and ResponseBody.
type exchange struct {
	client *Client
	conn   net.Conn
	socket net.Conn // the lowest layer of conn
	poll   poller
	polled [1]byte
	closes time.Time // the end of the connection's maximum age
	buffer buffer

	// These are of the current exchange, or the last.
	idleSince time.Time // zero for the first exchange
	caller    Caller
	answered  bool  // a byte of the response has arrived
	unsent    error // why the request was not sent completely, without a pump
	head      responseHead
	body      body
	pump      *pump // nil if no body is streamed

	mu       sync.Mutex
	active   bool // Cancel may close the connection
	canceled bool
}

func newExchange(c *Client, conn net.Conn) *exchange {
	e := &exchange{client: c, conn: conn, socket: socketOf(conn), poll: newPoller(conn), closes: time.Now().Add(randomAge())}
	e.body.from, e.body.buffer = conn, &e.buffer
	_ = conn.SetDeadline(c.deadline())
	return e
}

// revive prepares an idle connection for a request. It reports false if that cannot be sent on it. A request that was not sent
// can be sent elsewhere, so what is noticed here costs nothing.
func (e *exchange) revive() bool {
	// The deadline is also for what TLS may write in answer to a key update.
	return !e.expired(time.Now()) && e.conn.SetDeadline(e.client.deadline()) == nil && e.poll.quiet(e.polled[:])
}

func (e *exchange) expired(now time.Time) bool {
	return now.Sub(e.idleSince) >= idleTimeout || !now.Before(e.closes)
}

// roundTrip sends a request, and returns once the header of its final response has arrived. The connection's deadline is set.
func (e *exchange) roundTrip(r *ClientRequest) (*ClientResponse, error) {
	e.answered, e.unsent, e.pump, e.caller = false, nil, nil, r.Caller
	e.mu.Lock()
	e.active = true
	e.mu.Unlock()
	r.Caller.CancelWhenGone(e)
	e.send(r)
	if err := e.receive(r); err != nil {
		return nil, e.fail(err)
	}
	e.respond(r)
	return &e.head.ClientResponse, nil
}

// send sends the header, and the body too unless that needs a pump, which it starts.
func (e *exchange) send(r *ClientRequest) {
	stream, length := r.Stream, r.ContentLength
	switch {
	case stream == nil && len(r.Body) > maxDirectBody:
		stream, length = bytesStream{bytes.NewReader(r.Body)}, int64(len(r.Body))
	case length == 0:
		stream = nil
	}
	buffer := requestBuffers.Get().(*[]byte)
	*buffer = appendRequest((*buffer)[:0], r)
	if stream == nil {
		*buffer = append(*buffer, r.Body...)
	}
	sent, err := e.conn.Write(*buffer)
	if cap(*buffer) <= 2*maxDirectBody { // a larger one would be kept for ever for the sake of one request
		requestBuffers.Put(buffer)
	}
	switch {
	case err != nil:
		e.unsent = fmt.Errorf("sending the request: %w", err)
		_ = e.conn.SetReadDeadline(time.Now().Add(lastRead))
	case stream != nil:
		_ = e.conn.SetReadDeadline(time.Time{})
		e.pump = startPump(e, stream, length, r.ExpectContinue)
	case sent > smallBuffer: // it may have taken a while
		_ = e.conn.SetReadDeadline(e.client.deadline())
	}
}

// receive reads up to the end of the final response's header.
func (e *exchange) receive(r *ClientRequest) error {
	for informational := 0; ; informational++ {
		if err := e.readHead(); err != nil {
			return fmt.Errorf("reading the response: %w", err)
		}
		switch status := e.head.Status; {
		case status >= http.StatusOK:
			return nil
		case status == http.StatusSwitchingProtocols:
			return errUnexpectedSwitch
		case informational == MaxInformational:
			return errInformational
		case status == http.StatusContinue:
			if e.pump != nil {
				e.pump.decide(true)
			}
		case r.OnInformational != nil:
			if err := r.OnInformational.Informational(status, e.head.Reason, e.head.Fields); err != nil {
				return fmt.Errorf("an informational response: %w", err)
			}
		}
	}
}

// readHead reads the header of a response.
func (e *exchange) readHead() error {
	for scanner := (responseScanner{}); ; {
		length, err := scanner.scan(e.buffer.unread())
		if err != nil {
			return err
		}
		if length > 0 {
			head := string(e.buffer.unread()[:length])
			e.buffer.consume(length)
			return e.head.parse(head, e.head.Fields[:0])
		}
		switch err := e.buffer.fill(e.conn); {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		default:
			e.answered = true
		}
	}
}

// respond prepares the response whose header has arrived.
func (e *exchange) respond(r *ClientRequest) {
	h := &e.head
	// An upstream that refuses a body may close the connection without a word: RFC 9110 section 15.5.14.
	h.close = h.close || h.Status == http.StatusRequestEntityTooLarge
	switch {
	case r.Method == http.MethodHead:
		e.body.reset(byLength, 0)
	case h.Status == http.StatusNoContent:
		// An upstream that announces a body may send it.
		h.close = h.close || h.ContentLength > 0 || h.chunked
		h.ContentLength = 0
		e.body.reset(byLength, 0)
	case h.Status == http.StatusNotModified:
		h.close = h.close || h.chunked
		e.body.reset(byLength, 0)
	case h.chunked:
		e.body.reset(byLenientChunks, 0)
	case h.ContentLength >= 0:
		e.body.reset(byLength, h.ContentLength)
	default:
		h.close = true
		e.body.reset(byClose, 0)
	}
	h.Body = e
	if e.pump != nil {
		e.pump.refuse()
	}
	switch complete := e.body.framing == byLength && e.body.remaining <= int64(len(e.buffer.unread())); {
	case complete:
	case e.pump == nil:
		_ = e.conn.SetDeadline(time.Time{}) // a body may take as long as it needs, and TLS may have to write meanwhile
	default:
		_ = e.conn.SetReadDeadline(time.Time{})
	}
}

// Read implements ResponseBody.
func (e *exchange) Read(p []byte) (int, error) { return e.body.Read(p) }

// Ready implements ResponseBody.
func (e *exchange) Ready() bool { return e.body.Ready() }

// Trailer implements ResponseBody.
func (e *exchange) Trailer() Fields { return e.body.Trailer() }

// Close implements ResponseBody.
func (e *exchange) Close() error {
	sent := e.unsent == nil && (e.pump == nil || e.pump.end())
	canceled := e.end()
	if sent && !canceled && !e.head.close && e.body.complete() && len(e.buffer.unread()) == 0 {
		// An idle connection keeps only what it needs.
		e.caller, e.pump, e.body.trailer = nil, nil, nil
		e.head = responseHead{ClientResponse: ClientResponse{Fields: e.head.Fields.Reuse()}}
		if e.idleSince = time.Now(); e.client.pool.put(e) {
			return nil
		}
	}
	e.discard()
	return nil
}

// fail ends an exchange without a response. received is why there is none.
func (e *exchange) fail(received error) error {
	unsent := e.unsent
	if e.pump != nil {
		unsent = e.pump.failure()
		e.pump.refuse()
	}
	_ = e.socket.Close() // first: it ends a blocked write
	if e.pump != nil {
		e.pump.end()
	}
	canceled := e.end()
	e.discard()
	switch {
	case canceled:
		return fmt.Errorf("the caller has gone: %w", context.Canceled)
	case errors.Is(unsent, ErrRequestBody), unsent != nil && errors.Is(received, os.ErrDeadlineExceeded):
		return unsent
	default:
		return received
	}
}

// end reports whether the exchange was canceled. It cannot be canceled afterwards.
func (e *exchange) end() (canceled bool) {
	e.caller.CancelWhenGone(nil)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.active = false
	return e.canceled
}

// Cancel implements Canceler: it closes the connection.
func (e *exchange) Cancel() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.active {
		e.canceled = true
		_ = e.socket.Close()
	}
}

func (e *exchange) discard() {
	_ = e.socket.Close()
	e.buffer.release()
}

// diedUnused reports whether a reused connection ended while it was idle, as far as the client can see: before the response began.
// It is called after roundTrip has returned err.
func (e *exchange) diedUnused(err error) bool {
	return !e.answered && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.Canceled)
}
