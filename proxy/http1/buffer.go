package http1

import (
	"bytes"
	"io"
	"sync"
)

// buffer holds what was read from a connection and not yet consumed. The zero value is empty, and an empty buffer has no memory:
// thousands of connections may be idle.
type buffer struct {
	bytes      []byte
	start, end int
}

// minBufferSize is the size of a buffer as long as that is enough: most headers fit.
const minBufferSize = 4 << 10

var minBuffers = sync.Pool{New: func() any { return new([minBufferSize]byte) }}

// unread returns what was read and not yet consumed. It is valid until the next call of another method.
func (b *buffer) unread() []byte { return b.bytes[b.start:b.end] }

// consume removes n bytes from the beginning. An empty buffer gives its memory back.
func (b *buffer) consume(n int) {
	if b.start += n; b.start == b.end {
		b.release()
	}
}

// cutLines removes the complete lines of a header, up to an empty one, which ends it, and returns them. Only limit bytes count.
func (b *buffer) cutLines(limit int) string {
	unread, length := b.unread(), 0
	unread = unread[:min(len(unread), limit)]
	for {
		end := bytes.IndexByte(unread[length:], '\n')
		if end < 0 {
			break
		}
		line := unread[length : length+end]
		length += end + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			break
		}
	}
	lines := string(unread[:length])
	b.consume(length)
	return lines
}

// release empties the buffer.
func (b *buffer) release() {
	if len(b.bytes) == minBufferSize {
		minBuffers.Put((*[minBufferSize]byte)(b.bytes))
	}
	*b = buffer{}
}

// fill reads once. It returns nil if it has read something.
func (b *buffer) fill(r io.Reader) error {
	switch size := len(b.bytes); {
	case size == 0:
		b.bytes = minBuffers.Get().(*[minBufferSize]byte)[:]
	case b.end < size:
	case b.start > 0:
		b.start, b.end = 0, copy(b.bytes, b.unread())
	default:
		larger := buffer{bytes: make([]byte, 2*size)}
		larger.end = copy(larger.bytes, b.unread())
		b.release()
		*b = larger
	}
	n, err := r.Read(b.bytes[b.end:])
	b.end += n
	switch {
	case n > 0:
		return nil // a connection returns its error again
	case b.start == b.end:
		b.release()
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// await is fill for a reader that may have nothing for long. With a poller of the same connection, whose step is fill, an empty buffer
// has no memory until then.
func (b *buffer) await(r io.Reader, poller *poller) error {
	if b.bytes == nil && poller != nil {
		return poller.await()
	}
	return b.fill(r)
}
