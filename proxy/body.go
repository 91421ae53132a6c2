package proxy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
)

// requestBody is the body of a request to the API, and its http1.Stream. A body of known length that is short enough to be kept
// is read before it is sent, so the API never waits for the app: it usually arrived with the header. All others are streamed.
type requestBody struct {
	from  *http1.Request
	drop  connectionFieldNames
	limit int64 // in bytes; a longer body is not kept
	// kept is what has been read; nil if nothing is kept. The goroutine that sends a stream changes it, until ended is true.
	kept *bytes.Buffer

	begun       bool        // it was streamed to the API, at least in part
	ended       atomic.Bool // all of it was read
	failed      atomic.Bool // it could not be read to its end, which is the client's fault
	interrupted atomic.Bool // reading it fails, which is not
}

// isStreamed reports whether the body is read while the request is sent.
func (b *requestBody) isStreamed() bool {
	return b.from.ContentLength < 0 || b.from.ContentLength > b.limit
}

// unfinished reports whether the API has only a part of the body. The app's connection must then be closed after the response.
func (b *requestBody) unfinished() bool { return b.begun && !b.ended.Load() }

func (b *requestBody) canBeResent() bool {
	return b.from.ContentLength == 0 || (!b.isStreamed() || b.ended.Load()) && b.kept != nil
}

// read reads the body, unless it is streamed.
func (b *requestBody) read() *problem.Problem {
	if b.from.ContentLength == 0 || b.from.ContentLength > b.limit {
		return nil
	}
	b.kept = getBodyBuffer()
	if b.isStreamed() {
		return nil
	}
	switch _, err := b.kept.ReadFrom(b.from.Body); {
	case err == nil:
		return nil
	case b.from.Gone():
		return errClientClosed
	default:
		return errBrokenBody
	}
}

// attachTo sets the body of a request to the API.
func (b *requestBody) attachTo(request *http1.ClientRequest) {
	request.ContentLength = b.from.ContentLength
	request.Body, request.Stream, request.ExpectContinue = nil, nil, false
	switch {
	case b.from.ContentLength == 0:
	case !b.isStreamed():
		request.Body = b.kept.Bytes()
	case b.ended.Load(): // it is sent again
		request.Stream = replayStream{bytes.NewReader(b.kept.Bytes()), b.Trailer()}
	default:
		b.begun = true
		request.Stream, request.ExpectContinue = b, b.from.ExpectContinue
	}
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.from.Body.Read(p)
	if b.kept != nil && int64(b.kept.Len()+n) > b.limit {
		b.release()
	}
	if b.kept != nil {
		b.kept.Write(p[:n])
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		b.ended.Store(true)
	case !b.interrupted.Load():
		b.failed.Store(true)
	}
	return n, err
}

func (b *requestBody) release() {
	putBodyBuffer(b.kept)
	b.kept = nil
}

func (b *requestBody) Interrupt() {
	b.interrupted.Store(true)
	b.from.Body.Interrupt()
}

// Trailer returns the announced trailers that may be sent to the API.
func (b *requestBody) Trailer() (allowed http1.Fields) {
	trailer := b.from.Body.Trailer()
	if len(trailer) == 0 {
		return nil
	}
	announced := map[string]bool{} // thousands of names, and of fields, are possible
	for name := range b.from.Fields.Elements("Trailer") {
		announced[strings.ToLower(name)] = true
	}
	for _, field := range trailer {
		if announced[strings.ToLower(field.Name)] && b.allowsTrailer(field.Name) {
			allowed = append(allowed, field)
		}
	}
	return allowed
}

// announcedTrailers returns the value of a Trailer field for the API; empty if there is nothing to announce.
func (b *requestBody) announcedTrailers(value string) string {
	if b.from.ContentLength >= 0 {
		return ""
	}
	return filterTrailerNames(value, b.allowsTrailer)
}

func (b *requestBody) allowsTrailer(trailer string) bool {
	return allowedInTrailer(trailer) && forwardedUpstream(trailer, b.drop)
}

// replayStream is a streamed body that is sent again.
type replayStream struct {
	*bytes.Reader
	trailer http1.Fields
}

func (k replayStream) Trailer() http1.Fields { return k.trailer }

// Interrupt does nothing: Read never blocks.
func (k replayStream) Interrupt() {}

// maxBufferedResponse is the longest body of a response that is held whole. Buffers of more than twice that are not reused.
const maxBufferedResponse = 64 << 10

var bodyBufferPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// getBodyBuffer returns an empty buffer. It grows with what arrives: a client cannot reserve memory with a large Content-Length.
func getBodyBuffer() *bytes.Buffer { return bodyBufferPool.Get().(*bytes.Buffer) }

// putBodyBuffer takes back a buffer, or nil.
func putBodyBuffer(buffer *bytes.Buffer) {
	if buffer != nil && buffer.Cap() <= 2*maxBufferedResponse {
		buffer.Reset()
		bodyBufferPool.Put(buffer)
	}
}
