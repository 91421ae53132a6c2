package http1

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
)

// outputBuffer holds a part of a message that is to be sent.
type outputBuffer struct {
	out       []byte                  // nil without memory
	array     *[outputBufferSize]byte // the memory of out, unless that has grown
	overTLS   bool                    // out is not longer than a TLS record
	framing   framing
	remaining int64 // of a body of known length
	err       error // of the connection, or errIncomplete
}

// errIncomplete is for a body that was aborted, or that does not have the length that was announced.
var errIncomplete = errors.New("the body was aborted, or does not have the length that was announced")

// outputBufferSize is how much of a message is held while the peer does not read: a usual header, and what arrives of a body at a time,
// which is at most a TLS record. So it leaves in one write.
const outputBufferSize = maxTLSRecord + 2<<10

// maxTLSRecord is how much a TLS record holds: RFC 8446 section 5.1. More would be sent in two records, and in two writes.
const maxTLSRecord = 16 << 10

var outputBuffers = sync.Pool{New: func() any { return new([outputBufferSize]byte) }}

// memory returns out, with memory.
func (b *outputBuffer) memory() []byte {
	if b.out == nil {
		b.array = outputBuffers.Get().(*[outputBufferSize]byte)
		if b.out = b.array[:0]; b.overTLS {
			b.out = b.array[:0:maxTLSRecord]
		}
	}
	return b.out
}

// release gives the memory back.
func (b *outputBuffer) release() {
	if b.array != nil {
		outputBuffers.Put(b.array)
	}
	b.out, b.array = nil, nil
}

// freeSpace returns where the next part of the body can be put before commit.
func (b *outputBuffer) freeSpace() []byte {
	if b.framing == byChunks {
		return chunkDataSpace(b.memory())
	}
	return b.memory()[len(b.out):cap(b.out)]
}

// commit adds n bytes that were put into freeSpace.
func (b *outputBuffer) commit(n int) {
	if b.framing == byChunks {
		b.out = appendChunk(b.out, n)
		return
	}
	b.out = b.out[:len(b.out)+n]
	if b.remaining -= int64(n); b.remaining < 0 && (b.framing == byLength || b.framing == 0) { // 0 before the header
		b.err = errIncomplete
	}
}

// omitFraming is the length of a message without a field that frames it.
const omitFraming = -2

// appendRequest appends the header of a request: RFC 9112 sections 2.1 and 3.
func appendRequest(b []byte, r *ClientRequest) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	length := r.ContentLength
	if r.Stream == nil {
		length = int64(len(r.Body))
	}
	if length == 0 && r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch &&
		!r.Fields.Has("Content-Length") && !r.Fields.Has("Transfer-Encoding") {
		length = omitFraming // a length of 0 is not expected
	}
	return append(appendFields(b, r.Fields, length), "\r\n"...)
}

// appendFields appends field lines. Those that frame the body (RFC 9112 section 6) are replaced by one for its length, or for -1
// by that for chunks, in the place of the first of them, or last.
func appendFields(b []byte, fields Fields, length int64) []byte {
	framed := length == omitFraming
	for i := range fields {
		switch field := &fields[i]; {
		case !EqualFold(field.Name, "Content-Length") && !EqualFold(field.Name, "Transfer-Encoding"):
			b = appendField(b, field.Name, field.Value)
		case !framed:
			b, framed = appendFraming(b, length), true
		}
	}
	if !framed {
		b = appendFraming(b, length)
	}
	return b
}

func appendFraming(b []byte, length int64) []byte {
	if length < 0 {
		return appendField(b, "Transfer-Encoding", "chunked")
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, length, 10)
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// Around the data of a chunk: the size in up to four digits and the line ends.
const (
	chunkHead    = len("ffff\r\n")
	chunkTail    = len("\r\n")
	maxChunkData = 0xffff
)

// chunkDataSpace returns where in the free capacity of b the data of a chunk can be put before appendChunk.
func chunkDataSpace(b []byte) []byte {
	free := b[len(b):cap(b)]
	free = free[:min(len(free), chunkHead+maxChunkData+chunkTail)] // behind a large header there may be more
	if len(free) <= chunkHead+chunkTail {
		return nil
	}
	return free[chunkHead : len(free)-chunkTail]
}

// appendChunk appends a chunk of the n bytes that were put into chunkDataSpace: RFC 9112 section 7.1.
func appendChunk(b []byte, n int) []byte {
	if n == 0 {
		return b // it would be the last one
	}
	data := b[len(b)+chunkHead : len(b)+chunkHead+n]
	b = append(strconv.AppendInt(b, int64(n), 16), "\r\n"...)
	return append(append(b, data...), "\r\n"...) // data moves to the left, if at all
}

// appendLastChunk appends the last chunk, and the trailer section.
func appendLastChunk(b []byte, trailer Fields) []byte {
	b = append(b, "0\r\n"...)
	return append(appendFields(b, trailer, omitFraming), "\r\n"...)
}
