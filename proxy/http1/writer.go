package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// ResponseWriter sends the response to a request. Header and body leave in one write if they are there at the same time.
type ResponseWriter struct {
	// Fields are the fields of the response, in their order. They must not be changed after WriteHead. The slice is reused
	// for the next request.
	Fields Fields
	// Close means that the response is the last on its connection. It says so, unless Close is set after its header was sent. If
	// Close is false, the server decides.
	Close bool

	conn         *conn
	outputBuffer      // its framing is 0 until the final response begins
	closing      bool // the connection ends with the response
	trailer      Fields
	next         func() bool // continues with the tunnel that was opened; nil without one
}

// WriteInformational sends an informational response (RFC 9110 section 15.2) at once, unless the client's version of HTTP has
// none. Its fields are not those of the final response. Those that frame a message are left out.
func (w *ResponseWriter) WriteInformational(status int, reason string, fields Fields) error {
	if w.framing != 0 || w.conn.request.MinorVersion == 0 {
		return nil
	}
	w.appendStatusLine(status, reason)
	w.out = append(appendFields(w.out, fields, omitFraming), "\r\n"...)
	w.conn.continueMu.Lock() // another goroutine may be sending "100 Continue"
	defer w.conn.continueMu.Unlock()
	return w.Flush()
}

// WriteHead begins the final response. length is the length of the body in bytes, or -1: then it is chunked, or ends with
// the connection of an HTTP/1.0 client. A response to HEAD, 204 and 304 has no body, whatever length says; for HEAD and 304 it
// is the Content-Length, and -1 means none. Fields that frame a message (Content-Length, Transfer-Encoding) are replaced in
// their place, and Date is added if it is missing.
func (w *ResponseWriter) WriteHead(status int, reason string, length int64) {
	r := &w.conn.request
	isLast := w.conn.beginResponse()
	w.closing = w.closing || w.Close || isLast || w.conn.server.draining.Load()
	framed := length
	switch {
	case status == http.StatusNoContent: // RFC 9110 section 8.6
		w.framing, framed = noBody, omitFraming
	case r.Method == http.MethodHead, status == http.StatusNotModified:
		if w.framing = noBody; length < 0 {
			framed = omitFraming
		}
	case length >= 0:
		w.framing, w.remaining = byLength, length
	case r.MinorVersion == 0:
		w.framing, w.closing, framed = byClose, true, omitFraming
		setLinger(w.conn.accepted, 0) // until Finish, whatever closes the connection must not make the response look complete
	default:
		w.framing = byChunks
	}
	w.Fields.Delete("Connection") // it is about this connection
	w.appendStatusLine(status, reason)
	if !w.Fields.Has("Date") { // RFC 9110 section 6.6.1
		w.out = append(time.Now().UTC().AppendFormat(append(w.out, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	w.out = appendFields(w.out, w.Fields, framed)
	switch {
	case w.closing:
		w.out = appendField(w.out, "Connection", "close")
	case r.MinorVersion == 0:
		w.out = appendField(w.out, "Connection", "keep-alive")
	}
	w.out = append(w.out, "\r\n"...)
}

func (w *ResponseWriter) appendStatusLine(status int, reason string) {
	version := "HTTP/1.1 "
	if w.conn.request.MinorVersion == 0 {
		version = "HTTP/1.0 "
	}
	w.out = strconv.AppendInt(append(w.memory(), version...), int64(status), 10)
	w.out = append(append(append(w.out, ' '), reason...), "\r\n"...)
}

// Write sends a part of the body. It may buffer it. For responses without a body it does nothing.
func (w *ResponseWriter) Write(p []byte) (int, error) {
	if w.framing == noBody {
		return len(p), nil
	}
	for written := 0; ; {
		n := copy(w.freeSpace(), p[written:])
		w.commit(n)
		if written += n; written == len(p) {
			return written, w.err
		}
		if err := w.Flush(); err != nil {
			return written, err
		}
	}
}

// ReadFrom sends the rest of the body, and flushes whenever body.Read would wait. n is what was sent. err is that of the body,
// or that of the client's connection (see Request.Gone).
func (w *ResponseWriter) ReadFrom(body ReadinessReader) (n int64, err error) {
	if w.framing == noBody {
		return 0, nil
	}
	const minReadSpace = 2 << 10 // less is not worth a read
	for {
		if !body.ReadReady() || len(w.freeSpace()) < minReadSpace {
			if err := w.Flush(); err != nil {
				return n, err
			}
		}
		read, err := body.Read(w.freeSpace())
		w.commit(read)
		n += int64(read)
		switch {
		case w.err != nil:
			return n, w.err
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			_ = w.Flush() // the error of the body is the first one
			return n, err
		}
	}
}

// Flush sends what is buffered.
func (w *ResponseWriter) Flush() error {
	if w.err == nil && len(w.out) > 0 {
		_, w.err = w.conn.write(w.out)
	}
	w.release()
	return w.err
}

// Trailer sets the trailer section of a chunked response. It must be called before the handler returns.
func (w *ResponseWriter) Trailer(fields Fields) { w.trailer = fields }

// Abort cuts the response off, so that the client cannot take it for complete: the connection is closed, and if only its end
// would end the response, it is reset.
func (w *ResponseWriter) Abort() { w.err = errIncomplete }

// OpenTunnel answers a CONNECT with 200, and continues on the same connection inside the tunnel, with TLS if the client begins
// that: the requests that come through it have tunnel in their field Tunnel.
func (w *ResponseWriter) OpenTunnel(config *tls.Config, tunnel any) {
	c := w.conn
	w.confirmTunnel(func() bool { return c.enterTunnel(config, tunnel) })
}

// OpenPassThrough answers a CONNECT with 200. Once the handler has returned, bytes are copied between the client and target in both
// directions, until both have ended. target is closed then, and if the client is evicted. tunnel is for Server.ClosePassThrough.
func (w *ResponseWriter) OpenPassThrough(target net.Conn, tunnel any) {
	p := &passThrough{w.conn, target, tunnel}
	w.conn.passThrough.Store(p)
	w.confirmTunnel(p.run)
}

func (w *ResponseWriter) confirmTunnel(next func() bool) {
	w.framing, w.next = noBody, next
	w.out = append(w.memory(), "HTTP/1.1 200 Connection established\r\n\r\n"...)
}

// Finish completes the response. It reports false if the client cannot have received it completely, as far as the server can
// see. The server calls it after the handler has returned; a handler that needs the result calls it last.
func (w *ResponseWriter) Finish() bool {
	switch {
	case w.framing == 0, w.framing == byLength && w.remaining != 0:
		w.Abort()
	case w.framing == byChunks && w.err == nil:
		w.out = appendLastChunk(w.memory(), w.trailer)
		w.framing = noBody // if it is called again
	}
	complete := w.Flush() == nil
	if complete && w.framing == byClose {
		setLinger(w.conn.accepted, -1)
	}
	return complete
}
