package proxy

import (
	"bytes"
	"sync"
)

// maxBuffered is the longest body of a response that is held whole. Buffers that have grown further than twice that are not
// reused.
const maxBuffered = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// getBuffer returns an empty buffer. It grows with what arrives: a client cannot reserve memory with a large Content-Length.
func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

// putBuffer takes back a buffer, or nil.
func putBuffer(buffer *bytes.Buffer) {
	if buffer != nil && buffer.Cap() <= 2*maxBuffered {
		buffer.Reset()
		buffers.Put(buffer)
	}
}
