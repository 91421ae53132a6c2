package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection of a client. Its goroutine runs serve.
type conn struct {
	server   *Server
	accepted net.Conn // as it was accepted
	stream   net.Conn // the same, or the TLS connection within the tunnel that the client has opened
	tunnel   any
	wait     clientBlockedTimer
	phase    atomic.Int32

	buffer buffer  // what was read from stream and not consumed
	poller *poller // of stream; nil without one
	// deadline is the read deadline of stream; zero without one.
	deadline time.Time

	body        body
	request     Request
	writer      ResponseWriter
	continueMu  sync.Mutex // guards expecting, and is held while an informational response is sent
	expecting   bool       // the client waits for "100 Continue"
	mu          sync.Mutex // guards who reads from the connection
	requestBody RequestBody
	goneWatch
	passThrough atomic.Pointer[passThrough] // nil until the tunnel is opened
}

// These are values of conn.phase.
const (
	phaseNew         int32 = iota // it has not begun a request yet
	phaseHeader                   // it has begun its first request, whose header is not complete
	phaseServing                  // it has begun a request, and the response is not complete
	phaseIdle                     // it is between two requests
	phaseTunnel                   // it has opened a tunnel, and not begun a request in it
	phasePassThrough              // it is a tunnel that passes through
	phaseClosing                  // its last response was sent
)

func newConn(s *Server, accepted net.Conn) *conn {
	c := &conn{server: s, accepted: accepted, stream: accepted}
	c.poller = newPoller(accepted, c.buffer.fill)
	c.body.buffer = &c.buffer
	c.body.from = c
	c.requestBody.conn, c.writer.conn = c, c
	return c
}

// serve serves the requests on the connection, and closes it.
func (c *conn) serve() {
	defer c.close()
	if !c.handshake() {
		return
	}
	if c.server.TunnelOf != nil {
		c.tunnel = c.server.TunnelOf(c.accepted)
	}
	for c.awaitRequest() {
		c.callHandler()
		if !c.endRequest() {
			return
		}
	}
}

// callHandler calls the handler. A panic ends only this connection.
func (c *conn) callHandler() {
	defer func() {
		if reason := recover(); reason != nil {
			c.writer.Abort()
			if c.server.OnPanic != nil {
				c.server.OnPanic(reason)
			}
		}
	}()
	c.server.Handler.ServeHTTP1(&c.writer, &c.request)
}

// handshaker is a *tls.Conn, or a connection around it.
type handshaker interface{ Handshake() error }

func isTLS(conn net.Conn) bool {
	_, ok := conn.(handshaker)
	return ok
}

// handshake performs the TLS handshake, if the connection uses TLS.
func (c *conn) handshake() bool {
	c.setDeadline(time.Now().Add(c.server.HeaderTimeout))
	secure, isTLS := c.stream.(handshaker)
	if !isTLS {
		return true
	}
	_ = c.stream.SetWriteDeadline(c.deadline) // if it fails, so does the handshake
	_, err := c.measureRead(func() (int, error) { return 0, secure.Handshake() })
	if err == nil {
		return c.stream.SetWriteDeadline(time.Time{}) == nil
	}
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain) && plain.Conn != nil && consistsOf(plain.RecordHeader[:4], targetByte|textByte):
		c.stream = plain.Conn // "GET /": a client that was given an http URL understands only this answer
		_ = c.stream.SetWriteDeadline(c.deadline)
		c.refuse(errPlainHTTP)
		c.callHandler()
		c.endRequest()
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), c.server.OnHandshakeError == nil:
	default:
		c.server.OnHandshakeError(err)
	}
	return false
}

// awaitRequest waits for the next request. It reports false if the connection has ended or must be closed.
func (c *conn) awaitRequest() bool {
	c.resetRequest()
	if c.phase.Load() == phaseServing {
		c.phase.Store(phaseIdle)
		if c.server.draining.Load() {
			return false // Shutdown may have looked before the phase changed
		}
		c.wait.restart()
		// To set the deadline each time would cost more than to read the time. So it may be up to a second too early.
		now, timeout := time.Now(), c.server.IdleTimeout
		if left := c.deadline.Sub(now); left < timeout-time.Second || left > timeout {
			c.setDeadline(now.Add(timeout))
		}
	}
	started := false
	for parser := (requestParser{}); ; {
		complete, malformed := parser.parse(&c.request, &c.buffer)
		switch {
		case malformed != nil:
			c.refuse(malformed)
			return true
		case complete:
			c.prepareRequest()
			return true
		}
		if !started && (parser.lines > 0 || len(c.buffer.unread()) > 0) {
			started = true
			if !c.phase.CompareAndSwap(phaseNew, phaseHeader) {
				c.phase.Store(phaseServing)
			}
			c.setDeadline(time.Now().Add(c.server.HeaderTimeout)) // for the whole header
			c.wait.restart()
		}
		if err := c.readHeader(); err != nil {
			if started && errors.Is(err, os.ErrDeadlineExceeded) {
				c.refuse(errHeaderTimeout)
				return true
			}
			return false
		}
	}
}

// readHeader reads a part of a header.
func (c *conn) readHeader() error {
	_, err := c.measureRead(func() (int, error) { return 0, c.buffer.await(c.stream, c.poller) })
	return err
}

// setDeadline sets the read deadline; zero means none.
func (c *conn) setDeadline(at time.Time) {
	c.deadline = at
	_ = c.stream.SetReadDeadline(at) // fails only if the next read fails too
}

// resetRequest prepares for a request, and releases what belonged to the last one: most connections are idle most of the time.
func (c *conn) resetRequest() {
	c.request = Request{MinorVersion: 1, Fields: c.request.Fields.Reuse(), Body: &c.requestBody, Conn: c.accepted, Tunnel: c.tunnel, conn: c}
	c.request.Secure = isTLS(c.stream)
	c.body.setFraming(byLength, 0)
	c.writer = ResponseWriter{Fields: c.writer.Fields.Reuse(), conn: c, outputBuffer: outputBuffer{overTLS: c.request.Secure}}
}

// prepareRequest prepares a request whose header is complete.
func (c *conn) prepareRequest() {
	c.phase.Store(phaseServing)
	c.wait.restart()
	r := &c.request
	c.writer.closing = r.Method == http.MethodConnect || r.Fields.endsConnection(r.MinorVersion)
	switch {
	case r.Method == http.MethodConnect: // what follows is not HTTP
		r.ContentLength = 0
	case r.ContentLength < 0:
		c.body.setFraming(byChunks, 0)
	default:
		c.body.setFraming(byLength, r.ContentLength)
	}
	unread := !c.body.atEnd()
	if unread {
		c.setDeadline(time.Time{}) // a body may take as long as it likes
		c.mu.Lock()
		c.requestBody.unread = true
		c.mu.Unlock()
	}
	if c.expecting = unread && r.ExpectContinue; c.expecting || !unread {
		c.armWatch()
	}
}

// refuse makes the request a malformed one. It keeps its method: a response to HEAD has no body, whatever else is wrong.
func (c *conn) refuse(malformed *RequestError) {
	method := c.request.Method
	if len(method) > maxMalformedMethod {
		method = ""
	}
	c.resetRequest()
	c.request.Method, c.request.Malformed = method, malformed
	c.writer.closing = true
}

// endRequest completes the response. It reports whether the connection can be used for the next request.
func (c *conn) endRequest() bool {
	complete := c.writer.Finish()
	c.releaseRequest()
	switch {
	case !complete:
		return false
	case c.writer.next != nil:
		return c.writer.next()
	case c.writer.closing, c.writer.Close:
		c.linger()
		return false
	default:
		return c.discardBody()
	}
}

// maxDiscardedBody is how much is read and discarded so that the client can read the response: closing a connection with unread data
// resets it.
const maxDiscardedBody = 256 << 10

// discardBody reads the rest of the body, so that what follows it is the next request.
func (c *conn) discardBody() bool {
	if c.body.atEnd() {
		return true
	}
	c.setDeadline(time.Now().Add(c.server.HeaderTimeout))
	_, _ = io.CopyN(io.Discard, &c.body, maxDiscardedBody) // however it ends, the end counts
	if c.body.atEnd() {
		return true
	}
	c.linger()
	return false
}

// linger lets the client read the response before the connection is closed, if it may still be sending.
func (c *conn) linger() {
	c.phase.Store(phaseClosing)
	if !c.wait.reading.CompareAndSwap(0, waitLingering) {
		return
	}
	// What the client may be sending is not read any more.
	maySend := c.request.Malformed != nil || c.request.Method == http.MethodConnect || !c.body.atEnd() || len(c.buffer.unread()) > 0
	if !maySend || closeWrite(c.stream) != nil {
		return
	}
	c.setDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.CopyN(io.Discard, c.stream, maxDiscardedBody) // however it ends, the connection is closed
}

// enterTunnel continues inside the tunnel that a CONNECT has opened: with TLS, if the client begins that.
func (c *conn) enterTunnel(config *tls.Config, tunnel any) bool {
	c.tunnel = tunnel
	c.phase.Store(phaseTunnel)
	c.wait.restart()
	c.setDeadline(time.Now().Add(c.server.HeaderTimeout))
	// A client may send the first bytes of the tunnel before it has the response.
	if len(c.buffer.unread()) == 0 && c.readHeader() != nil {
		return false
	}
	const tlsHandshakeRecord = 22 // RFC 8446 section 5.1; no request begins with it
	if c.buffer.unread()[0] != tlsHandshakeRecord {
		return true
	}
	inner := &prefixedConn{c.stream, io.MultiReader(bytes.NewReader(bytes.Clone(c.buffer.unread())), c.stream)}
	c.stream = tls.Server(inner, config)
	c.buffer.release()
	c.poller = nil // it reads from the connection below
	return c.handshake()
}

// prefixedConn is a connection from which some bytes have been read already.
type prefixedConn struct {
	net.Conn
	reader io.Reader
}

// Read implements net.Conn.
func (c *prefixedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) close() {
	c.releaseRequest()
	if c.writer.err != nil && c.writer.framing == byClose {
		resetConn(c.accepted) // or else its end would make the response look complete
	}
	if c.writer.err == nil { // or else a goroutine of a handler that has panicked may still read the body into buffer
		c.buffer.release()
	}
	c.closeLayer(c.stream)
}

// evict closes the connection at once. It may be called from any goroutine.
func (c *conn) evict() { c.closeLayer(socketOf(c.accepted)) }

// closeLayer closes the connection through one of its layers. To end TLS as it should be waits for the client.
func (c *conn) closeLayer(layer net.Conn) {
	_ = layer.Close()
	c.passThrough.Load().close()
	remove(c.server, c.server.conns, c)
}

// socketOf returns the lowest layer of a connection: closing it never blocks.
func socketOf(conn net.Conn) net.Conn {
	for {
		layer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = layer.NetConn()
	}
}

// closeIdle closes the connection if Shutdown no longer waits for it. It may be called from any goroutine.
func (c *conn) closeIdle(shutdownBegan time.Duration) {
	since := c.wait.reading.Load() // before the phase: a later one has another wait
	idle, limit := c.server.now()-time.Duration(since), time.Duration(0)
	switch c.phase.Load() {
	case phaseNew, phaseTunnel: // local clients need microseconds, and one that was opened in advance must not delay the shutdown
		idle, limit = min(idle, c.server.now()-shutdownBegan), time.Second
	case phaseIdle: // on a busy connection the next request may be arriving, and would be lost
		limit = 100 * time.Millisecond
	case phasePassThrough: // an exchange that cannot be seen may be waiting for its response
		limit = 5 * time.Second
	default:
		return
	}
	if since > 0 && idle >= limit && c.wait.reading.CompareAndSwap(since, waitEvicted) {
		go c.closeLayer(c.stream)
	}
}
