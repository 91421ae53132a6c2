package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// ResponseWriter sends the response to a request. Header and body leave in one write if they are there at the same time.
type ResponseWriter struct {
	// Fields are the fields of the response, in their order. They must not be changed after WriteHead. The slice is reused
	// for the next request.
	Fields Fields
	// Close means that the response is the last on its connection, and says so. If it is false, the server decides.
	Close bool

	conn      *conn
	out       []byte // what is to be sent; nil without memory
	begun     bool   // the final response has begun
	closing   bool   // the connection ends with the response
	framing   framing
	remaining int64 // of a body of known length
	bodyless  bool
	trailer   Fields
	aborted   bool
	reset     bool  // the connection is closed so that the client notices
	err       error // of the connection
	tunnel    any
	tunnelTLS *tls.Config
}

// writeBuffer is how much of a response is copied at a time, and held while the client does not read. A TLS record fits.
const writeBuffer = 16 << 10

var writeBuffers = sync.Pool{New: func() any { return new([writeBuffer]byte) }}

// errIncomplete is for a handler that sends another body than it has announced.
var errIncomplete = errors.New("the response's body does not have the length that was announced")

// WriteInformational sends an informational response (RFC 9110 section 15.2) at once, unless the client's version of HTTP has
// none. Its fields are not those of the final response.
func (w *ResponseWriter) WriteInformational(status int, reason string, fields Fields) error {
	if w.begun || w.conn.request.MinorVersion == 0 {
		return nil
	}
	w.statusLine(status, reason)
	for _, field := range fields {
		w.field(field.Name, field.Value)
	}
	w.appendString("\r\n")
	return w.Flush()
}

// WriteHead begins the final response. length is the length of the body in bytes, or -1: then it is chunked, or ends with
// the connection of an HTTP/1.0 client. A response to HEAD, 204 and 304 has no body, whatever length says; for HEAD and 304 it
// is the Content-Length, and -1 means none. Fields that frame a message (Content-Length, Transfer-Encoding) are replaced in
// their place, and Date is added if it is missing.
func (w *ResponseWriter) WriteHead(status int, reason string, length int64) {
	w.begun = true
	r := &w.conn.request
	isLast := w.conn.content.responseBegins()
	w.closing = w.closing || w.Close || isLast || w.conn.server.draining.Load() || r.ContentLength > maxDiscard && !r.Body.Complete()
	w.bodyless = r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	switch {
	case w.bodyless, length >= 0:
		w.framing, w.remaining = byLength, length
	case r.MinorVersion == 0:
		w.framing, w.closing = byClose, true
	default:
		w.framing = byChunks
	}
	w.statusLine(status, reason)
	w.header(status != http.StatusNoContent)
	w.appendString("\r\n")
}

func (w *ResponseWriter) statusLine(status int, reason string) {
	version := "HTTP/1.1 "
	if w.conn.request.MinorVersion == 0 {
		version = "HTTP/1.0 "
	}
	w.appendString(version)
	w.out = strconv.AppendInt(w.out, int64(status), 10)
	w.appendString(" ")
	w.appendString(reason)
	w.appendString("\r\n")
}

// header writes the fields, and those that are missing. framed is false for a response that must not have a Content-Length: RFC
// 9110 section 8.6.
func (w *ResponseWriter) header(framed bool) {
	framed = framed && (w.framing == byLength && w.remaining >= 0 || w.framing == byChunks)
	dated := false
	for _, field := range w.Fields {
		switch {
		case equalFold(field.Name, "Content-Length"), equalFold(field.Name, "Transfer-Encoding"):
			if framed {
				w.frame()
				framed = false
			}
			continue
		case equalFold(field.Name, "Connection"):
			continue // it is about this connection
		case equalFold(field.Name, "Date"):
			dated = true
		}
		w.field(field.Name, field.Value)
	}
	if !dated {
		w.field("Date", w.conn.server.now())
	}
	if framed {
		w.frame()
	}
	switch {
	case w.closing:
		w.field("Connection", "close")
	case w.conn.request.MinorVersion == 0:
		w.field("Connection", "keep-alive")
	}
}

// frame writes the field by which the client finds the end of the body.
func (w *ResponseWriter) frame() {
	if w.framing == byChunks {
		w.field("Transfer-Encoding", "chunked")
		return
	}
	w.appendString("Content-Length: ")
	w.out = strconv.AppendInt(w.out, w.remaining, 10)
	w.appendString("\r\n")
}

func (w *ResponseWriter) field(name, value string) {
	w.appendString(name)
	w.appendString(": ")
	w.appendString(value)
	w.appendString("\r\n")
}

func (w *ResponseWriter) appendString(text string) {
	w.ensureBuffer()
	w.out = append(w.out, text...)
}

func (w *ResponseWriter) ensureBuffer() {
	if w.out == nil {
		w.out = writeBuffers.Get().(*[writeBuffer]byte)[:0]
	}
}

// date is a value of the Date field. It is shared by all responses of a second.
type date struct {
	second int64
	text   string
}

// now returns the value of the Date field: RFC 9110 section 6.6.1.
func (s *Server) now() string {
	now := time.Now()
	if last := s.date.Load(); last != nil && last.second == now.Unix() {
		return last.text
	}
	current := &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
	s.date.Store(current)
	return current.text
}

// Around the data of a chunk: the size in up to four digits and the line ends.
const (
	chunkHead = len("4000\r\n")
	chunkTail = len("\r\n")
	// minRead is less room than which is not worth a read.
	minRead = 2 << 10
)

// Write sends a part of the body. It may buffer it. For responses without a body it does nothing.
func (w *ResponseWriter) Write(p []byte) (int, error) {
	if w.bodyless {
		return len(p), nil
	}
	for written := 0; ; {
		n := copy(w.room(), p[written:])
		w.commit(n)
		if written += n; written == len(p) || w.err != nil {
			return written, w.err
		}
		if err := w.Flush(); err != nil {
			return written, err
		}
	}
}

// ReadFrom sends the rest of the body, and flushes whenever body.Read would wait. n is what was sent. err is that of the body,
// or that of the client's connection (see Request.Gone).
func (w *ResponseWriter) ReadFrom(body ResponseBody) (n int64, err error) {
	if w.bodyless {
		return 0, nil
	}
	for {
		ready := body.Ready()
		if !ready || len(w.room()) < minRead {
			if err := w.Flush(); err != nil {
				return n, err
			}
		}
		read, err := body.Read(w.room())
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

// room returns where the next part of the body can be put before commit.
func (w *ResponseWriter) room() []byte {
	w.ensureBuffer()
	free := w.out[len(w.out):cap(w.out)]
	if w.framing != byChunks {
		return free
	}
	if len(free) <= chunkHead+chunkTail {
		return nil
	}
	return free[chunkHead : len(free)-chunkTail]
}

// commit adds n bytes that were put into room.
func (w *ResponseWriter) commit(n int) {
	switch {
	case n == 0:
	case w.framing == byChunks:
		end := len(w.out)
		data := w.out[end+chunkHead : end+chunkHead+n]
		w.out = append(strconv.AppendInt(w.out, int64(n), 16), "\r\n"...)
		w.out = append(append(w.out, data...), "\r\n"...) // data moves to the left, if at all
	default:
		w.out = w.out[:len(w.out)+n]
		if w.framing == byLength {
			if w.remaining -= int64(n); w.remaining < 0 {
				w.err = errIncomplete
			}
		}
	}
}

// Flush sends what is buffered.
func (w *ResponseWriter) Flush() error {
	if w.err != nil {
		return w.err
	}
	if len(w.out) > 0 {
		_, w.err = w.conn.write(w.out)
	}
	w.releaseBuffer()
	return w.err
}

func (w *ResponseWriter) releaseBuffer() {
	if cap(w.out) == writeBuffer {
		writeBuffers.Put((*[writeBuffer]byte)(w.out[:writeBuffer]))
	}
	w.out = nil
}

// Trailer sets the trailer section of a chunked response. It must be called before the handler returns.
func (w *ResponseWriter) Trailer(fields Fields) { w.trailer = fields }

// Abort cuts the response off, so that the client cannot take it for complete: the connection is closed, and if only its end
// would end the response, it is reset.
func (w *ResponseWriter) Abort() { w.aborted = true }

// OpenTunnel answers a CONNECT with 200, and continues on the same connection with TLS inside the tunnel: the requests that
// come through it have tunnel in their field Tunnel.
func (w *ResponseWriter) OpenTunnel(config *tls.Config, tunnel any) {
	w.begun, w.closing, w.bodyless = true, false, true
	w.tunnel, w.tunnelTLS = tunnel, config
	w.appendString("HTTP/1.1 200 Connection established\r\n\r\n")
}

// end completes the response after the handler has returned. It reports false if the client cannot have received it completely.
func (w *ResponseWriter) end() bool {
	if !w.begun || w.framing == byLength && !w.bodyless && w.remaining != 0 {
		w.aborted = true
	}
	if w.aborted {
		w.reset = w.begun && w.framing == byClose
		w.releaseBuffer()
		return false
	}
	if w.framing == byChunks {
		w.appendString("0\r\n")
		for _, field := range w.trailer {
			w.field(field.Name, field.Value)
		}
		w.appendString("\r\n")
	}
	return w.Flush() == nil
}
