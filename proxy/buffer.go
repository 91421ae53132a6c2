package proxy

import (
	"bytes"
	"sync"
)

// maxBufferedBody is the longest body of a response that is held whole. Buffers that have grown further than twice that are not
// reused.
const maxBufferedBody = 64 << 10

var bodyBufferPool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// getBodyBuffer returns an empty buffer. It grows with what arrives: a client cannot reserve memory with a large Content-Length.
func getBodyBuffer() *bytes.Buffer { return bodyBufferPool.Get().(*bytes.Buffer) }

// putBodyBuffer takes back a buffer, or nil.
func putBodyBuffer(buffer *bytes.Buffer) {
	if buffer != nil && buffer.Cap() <= 2*maxBufferedBody {
		buffer.Reset()
		bodyBufferPool.Put(buffer)
	}
}
