package http1

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
)

// Limits for those parts of a chunked body that are not its data.
const (
	maxChunkLine = 4 << 10
	maxTrailer   = 4 << 10
	// maxChunkOverhead limits how much longer than the data the lines with the sizes may be in all: a sender must not keep the
	// recipient busy with extensions.
	maxChunkOverhead = 16 << 10
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

// bodySection is what comes next: in a chunked body (RFC 9112 section 7.1) each of these, in another one always data.
type bodySection uint8

const (
	chunkSizeSection bodySection = iota
	dataSection
	chunkEndSection
	trailerSection
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

// parse consumes from the buffer what is not content, as far as it has arrived.
func (b *body) parse() {
	for b.err == nil && b.section != dataSection {
		line, ok := b.line()
		if !ok {
			return
		}
		b.parseLine(line)
		b.buffer.consume(len(line) + len("\r\n"))
	}
}

// line returns the next line, without its CR LF, if it is complete. A control character in it or an excessive length is an error.
func (b *body) line() (line []byte, ok bool) {
	limit := [...]int{chunkSizeSection: maxChunkLine, chunkEndSection: 0, trailerSection: int(b.remaining)}[b.section] + len("\r\n")
	unread := b.buffer.unread()
	unread = unread[:min(len(unread), limit)]
	line, _, ok = bytes.Cut(unread, []byte("\r\n"))
	if !ok {
		line = bytes.TrimSuffix(unread, []byte{'\r'})
	}
	if checkText(line) != nil || !ok && len(unread) == limit {
		b.err = ErrChunk
		return nil, false
	}
	return line, ok
}

func (b *body) parseLine(line []byte) {
	switch b.section {
	case chunkSizeSection:
		size, ok := parseChunkSize(line, b.framing == byLenientChunks)
		b.overhead = max(0, b.overhead+int64(len(line))-16-2*size) // a size, with a short extension, is no overhead
		switch {
		case !ok || b.overhead > maxChunkOverhead:
			b.err = ErrChunk
		case size == 0:
			b.section, b.remaining = trailerSection, maxTrailer
		default:
			b.section, b.remaining = dataSection, size
		}
	case chunkEndSection:
		b.section = chunkSizeSection
	case trailerSection:
		if len(line) == 0 {
			b.err = io.EOF
			return
		}
		b.remaining -= int64(len(line) + len("\r\n"))
		field, ok := parseField(string(line), "")
		if b.remaining < 0 || !ok {
			b.err = ErrChunk
			return
		}
		b.trailer = append(b.trailer, field)
	}
}

// parseChunkSize parses the line before a chunk: its size, and extensions, which are ignored (RFC 9112 section 7.1.1).
func parseChunkSize(line []byte, lenient bool) (size int64, ok bool) {
	rest := bytes.TrimLeft(line, "0123456789abcdefABCDEF")
	digits := line[:len(line)-len(rest)]
	value, err := strconv.ParseUint(string(digits), 16, 62)
	if lenient {
		rest = bytes.Trim(rest, " \t")
	}
	return int64(value), err == nil && len(digits) <= 16 && (len(rest) == 0 || rest[0] == ';') // more zeros in front are not needed
}
