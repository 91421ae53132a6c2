package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// requestBody is a request's body on its way upstream: none, kept whole before it is sent, or streamed.
//
// One that is short enough to be sent again, and whose length is known, is read before the request is sent. It mostly
// came with the header anyway, and then nobody has to care which goroutine reads it when. All others stream.
type requestBody struct {
	from     *http.Request
	buffered []byte // nil if it streams, or there is none

	// limit is of what is copied of one that streams, and copied is what was read so far; 0 and nil once that is more.
	// The transport's goroutine changes both, and they may be read once ended is true.
	limit    int64
	copied   []byte
	ended    atomic.Bool // all of it was read
	failed   atomic.Bool // it could not be read to its end: the client's fault
	finished atomic.Bool // nobody may read from it any more
}

// streams reports whether the body is read while the request is sent.
func (b *requestBody) streams() bool { return b.from.ContentLength != 0 && b.buffered == nil }

// buffer reads the body if it is to be kept whole and its length is known. limit is how many bytes are kept at the most; 0
// if none are.
func (b *requestBody) buffer(limit int64) *problem {
	length := b.from.ContentLength
	if length == 0 || length > limit {
		return nil
	}
	if length < 0 {
		b.limit = limit
		return nil
	}
	whole := make([]byte, length)
	if _, err := io.ReadFull(b.from.Body, whole); err != nil {
		if b.from.Context().Err() != nil {
			return clientGone
		}
		return brokenBody
	}
	b.buffered = whole
	return nil
}

// closeIfUnread has the app's connection closed after the answer if the answer comes before the body's end. For a connection
// that it means to use again, the server would read and discard what is left of the body as soon as the response's header
// is written, under the hands of the transport that still sends it: an upload would arrive cut short, and look whole.
func (b *requestBody) closeIfUnread(header http.Header) {
	if b.streams() && !b.ended.Load() {
		header.Set("Connection", "close")
	}
}

// attachTo puts the body onto a request that is to be sent.
func (b *requestBody) attachTo(out *http.Request) {
	switch {
	case b.from.ContentLength == 0:
		// A nil body lets the transport repeat a GET on a connection that died idle.
	case b.buffered != nil:
		delete(out.Header, "Expect") // it is here: there is nothing to be asked before it is sent
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.buffered)), nil }
		out.Body, _ = out.GetBody()
	case b.replayable(): // it has streamed, and is being sent again
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

// finish ends all use of the server's body: reading it after the handler has returned is not allowed, and the transport
// would, when the upstream answers before it has read all.
func (b *requestBody) finish() { b.finished.Store(true) }

// keep copies what was read, as long as that is not more than is to be kept.
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

// copyTrailers gives a request its trailers, which the server knows only at the body's end. It may then know more than were
// announced: those do not go on.
func (b *requestBody) copyTrailers(out *http.Request) {
	for name := range out.Trailer {
		out.Trailer[name] = b.from.Trailer[name]
	}
}

// streamedBody reads a body as the transport sends it.
//
// The transport closes it on every path; but the server's body belongs to the handler, and closing it early would wait
// for a client that is itself waiting for "100 Continue". So Close does not reach the server's body.
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
		s.copyTrailers(s.to) // on the goroutine that sends them after this
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

// allowedTrailers returns the trailers of a request that may go upstream, still without values.
func allowedTrailers(request *http.Request) http.Header {
	var out http.Header
	drop := connectionOptions(request.Header["Connection"])
	for name := range request.Trailer {
		if allowedInTrailer(name) && forwardedUpstream(name, drop) {
			if out == nil {
				out = make(http.Header)
			}
			out[name] = nil
		}
	}
	return out
}
