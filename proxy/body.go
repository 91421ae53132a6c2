package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"

	"etrusted-broker/internal/problem"
)

// requestBody is the body of a request to the API: none, buffered before it is sent, or streamed.
//
// A body of known length that is short enough to be sent twice is buffered. It usually arrived with the header, and nothing
// depends on which goroutine reads it when. All others are streamed.
type requestBody struct {
	from     *http.Request
	buffered []byte // nil if the body is streamed or empty

	// copied is the prefix of a streamed body that is kept for a retry, and limit bounds it. Both are zeroed once the body
	// exceeds the limit. The transport's goroutine changes them; others may read them once ended is true.
	limit    int64
	copied   []byte
	ended    atomic.Bool // all of it was read
	failed   atomic.Bool // it could not be read to its end, which is the client's fault
	finished atomic.Bool // it must not be read any more
}

// streams reports whether the body is read while the request is sent.
func (b *requestBody) streams() bool { return b.from.ContentLength != 0 && b.buffered == nil }

// buffer reads a body of known length that is not longer than limit. limit also bounds what is kept of a streamed body; 0
// keeps nothing.
func (b *requestBody) buffer(limit int64) *problem.Problem {
	length := b.from.ContentLength
	if length == 0 || length > limit {
		return nil
	}
	if length < 0 {
		b.limit = limit
		return nil
	}
	buffered := make([]byte, length)
	if _, err := io.ReadFull(b.from.Body, buffered); err != nil {
		if b.from.Context().Err() != nil {
			return errClientClosed
		}
		return errBrokenBody
	}
	b.buffered = buffered
	return nil
}

// closeIfUnread closes the app's connection after a response that comes before the end of the body. To use the connection
// again, the server would read and discard the rest of the body as soon as the response's header is written, while the
// transport still sends it: an upload would be truncated, and look complete.
func (b *requestBody) closeIfUnread(header http.Header) {
	if b.streams() && !b.ended.Load() {
		header.Set("Connection", "close")
	}
}

// attachTo sets the body of a request to the API.
func (b *requestBody) attachTo(out *http.Request) {
	switch {
	case b.from.ContentLength == 0:
		// With a nil body, the transport can repeat a GET on a connection that died idle.
	case b.buffered != nil:
		delete(out.Header, "Expect") // the body is here, so there is nothing to wait for
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.buffered)), nil }
		out.Body, _ = out.GetBody()
	case b.replayable(): // it was streamed, and is sent again
		out.Trailer = allowedTrailers(b.from)
		out.Body = io.NopCloser(bytes.NewReader(b.copied))
		b.copyTrailers(out)
	default:
		out.Trailer = allowedTrailers(b.from)
		out.Body = &streamedBody{requestBody: b, to: out}
	}
}

// replayable reports whether the body can be sent again.
func (b *requestBody) replayable() bool {
	return !b.streams() || b.ended.Load() && b.limit > 0
}

// finish ends all reading. After the handler has returned, the server's body must not be read; but if the API answers
// before it has read everything, the transport would.
func (b *requestBody) finish() { b.finished.Store(true) }

// keep copies what was read, up to the limit.
func (b *requestBody) keep(read []byte) {
	if b.limit == 0 {
		return
	}
	if int64(len(b.copied)+len(read)) > b.limit {
		b.limit, b.copied = 0, nil
		return
	}
	b.copied = append(b.copied, read...)
}

// copyTrailers copies the values of the allowed trailers, which are known only at the end of the body.
func (b *requestBody) copyTrailers(out *http.Request) {
	for name := range out.Trailer {
		out.Trailer[name] = b.from.Trailer[name]
	}
}

// streamedBody reads the app's body while the transport sends it.
//
// The transport closes it in every case. But the server's body belongs to the handler, and closing it early would wait for
// a client that itself waits for "100 Continue". So Close does not close the server's body.
type streamedBody struct {
	*requestBody
	to *http.Request
}

var errFinished = errors.New("the request has ended")

func (s *streamedBody) Read(p []byte) (int, error) {
	if s.finished.Load() {
		return 0, errFinished
	}
	n, err := s.from.Body.Read(p)
	s.keep(p[:n])
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		s.copyTrailers(s.to) // on the goroutine that sends them next
		s.ended.Store(true)
	default:
		s.failed.Store(true)
	}
	return n, err
}

// Close ends the transport's use of the body.
func (s *streamedBody) Close() error {
	s.finish()
	return nil
}

// allowedTrailers returns the announced trailers of a request that may be sent to the API, still without values.
func allowedTrailers(r *http.Request) http.Header {
	var trailers http.Header
	drop := connectionOptions(r.Header["Connection"])
	for name := range r.Trailer {
		if allowedInTrailer(name) && forwardedUpstream(name, drop) {
			if trailers == nil {
				trailers = make(http.Header)
			}
			trailers[name] = nil
		}
	}
	return trailers
}
