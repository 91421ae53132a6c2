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
	from  *http.Request
	whole []byte // nil if it streams, or there is none
	limit int64  // of what is kept of one that streams

	// copied is what was read so far of one that streams, while that is within the limit. The transport's goroutine
	// writes it, and it may be read once ended is true.
	copied   []byte
	ended    atomic.Bool // all of it was read, and copied
	finished atomic.Bool // nobody may read from it any more
}

// take reads the body if it is to be kept whole and its length is known. limit is how many bytes are kept at the most; 0
// if none are.
func (b *requestBody) take(limit int64) *problem {
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
	b.whole = whole
	return nil
}

// attach puts the body onto a request that is to be sent.
func (b *requestBody) attach(out *http.Request) {
	switch {
	case b.from.ContentLength == 0:
		// A nil body lets the transport repeat a GET on a connection that died idle.
	case b.whole != nil:
		delete(out.Header, "Expect") // it is here: there is nothing to be asked before it is sent
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.whole)), nil }
		out.Body, _ = out.GetBody()
	default:
		out.Trailer = announced(b.from.Trailer)
		out.Body = &streamedBody{requestBody: b, to: out}
		if b.ended.Load() { // it is sent again
			out.Body = io.NopCloser(bytes.NewReader(b.copied))
			b.trail(out)
		}
	}
}

// again reports whether the body can be sent again.
func (b *requestBody) again() bool {
	return b.from.ContentLength == 0 || b.whole != nil || b.ended.Load()
}

// finish ends all use of the server's body: reading it after the handler has returned is not allowed, and the transport
// would, when the upstream answers before it has read all.
func (b *requestBody) finish() { b.finished.Store(true) }

// keep copies what was read, as long as that is not more than is to be kept.
func (b *requestBody) keep(read []byte, end bool) {
	if b.limit == 0 {
		return
	}
	if int64(len(b.copied)+len(read)) > b.limit {
		b.limit, b.copied = 0, nil
		return
	}
	b.copied = append(b.copied, read...)
	if end {
		b.ended.Store(true)
	}
}

// trail gives a request its trailers, which the server knows only at the body's end. It may then know more than were
// announced: those do not go on.
func (b *requestBody) trail(out *http.Request) {
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
	end := errors.Is(err, io.EOF)
	s.keep(p[:n], end)
	if end {
		s.trail(s.to) // on the goroutine that sends them after this
	}
	return n, err
}

// Close ends the transport's use of the body.
func (s *streamedBody) Close() error {
	s.finish()
	return nil
}

// announced returns the trailers of a request that may go upstream, still without values.
func announced(trailer http.Header) http.Header {
	var out http.Header
	for name := range trailer {
		if mayTrail(name) {
			if out == nil {
				out = make(http.Header)
			}
			out[name] = nil
		}
	}
	return out
}

// mayTrail reports whether a trailer of that name may be passed on. One that a server may merge into the header must
// not carry what the header may not: RFC 9110 section 6.5.1.
func mayTrail(name string) bool {
	switch name {
	case "Authorization", "Host", "Content-Length", "Via":
		return false
	default:
		return !isHopByHop(name) && !isForwarding(name)
	}
}
