package http1

import (
	"errors"
	"io"
	"math"
)

// body reads the body of a message: RFC 9112 section 6.3. It never reads beyond its end, except into the buffer.
type body struct {
	from   io.Reader
	buffer *buffer
	framing
	remaining int64 // of the body, or of the current chunk or the trailer section; without a length it never ends
	section   bodySection
	overhead  int64 // of the chunks so far
	trailer   Fields
	err       error // of the next Read, once there is nothing more to read; io.EOF at the end
}

// framing is how the end of a body is found.
type framing uint8

const (
	byLength framing = iota + 1
	byChunks
	byLenientChunks // as byChunks, with whitespace after a chunk's size
	byClose
	noBody // of a response, whatever its header says
)

// ErrChunk is returned by a body whose chunks or trailer section are malformed.
var ErrChunk = errors.New("a chunk of the body is malformed")

// setFraming begins a body. length is for byLength.
func (b *body) setFraming(how framing, length int64) {
	b.framing, b.remaining, b.section, b.overhead, b.trailer, b.err = how, length, dataSection, 0, nil, nil
	switch {
	case how == byClose:
		b.remaining = math.MaxInt64
	case how != byLength:
		b.section = chunkSizeSection
	case length == 0:
		b.err = io.EOF
	}
}

// Read implements io.Reader. It returns io.EOF with the last bytes if it can. An early end is io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (n int, err error) {
	for {
		b.parse()
		switch {
		case b.err != nil:
			return 0, b.err
		case len(p) == 0:
			return 0, nil
		case b.section == dataSection && len(b.buffer.unread()) > 0:
			n = copy(p[:min(int64(len(p)), b.remaining)], b.buffer.unread())
			b.buffer.consume(n)
		case b.section == dataSection && (b.framing == byLength || b.remaining >= minBufferSize):
			n, err = b.from.Read(p[:min(int64(len(p)), b.remaining)]) // past the buffer
		default:
			err = b.buffer.fill(b.from) // the next chunk's size comes along
		}
		switch b.remaining -= int64(n); {
		case errors.Is(err, io.EOF) && b.framing != byClose:
			b.err = io.ErrUnexpectedEOF
		case err != nil:
			b.err = err
		}
		if b.section == dataSection && b.remaining == 0 {
			if b.section = chunkEndSection; b.framing == byLength {
				b.err = io.EOF
			}
		}
		if n > 0 {
			b.parse()
			if errors.Is(b.err, io.EOF) {
				return n, io.EOF
			}
			return n, nil // another error is returned next time
		}
	}
}

// ReadReady reports whether Read returns without waiting for the peer.
func (b *body) ReadReady() bool {
	b.parse()
	return b.err != nil || b.section == dataSection && len(b.buffer.unread()) > 0
}

// Trailer returns the trailer section, after io.EOF.
func (b *body) Trailer() Fields { return b.trailer }

// atEnd reports whether the body was read to its end.
func (b *body) atEnd() bool {
	b.parse()
	return errors.Is(b.err, io.EOF)
}
