package linkrewrite

import (
	"io"
	"sync"
)

// readerBufferSize has room for a TLS record, because more does not arrive at once, and for what was kept of the last one. It must
// exceed maxLookbehind and maxLookahead.
const readerBufferSize = 18 << 10

var readerBuffers = sync.Pool{New: func() any { return new([readerBufferSize]byte) }}

// Reader rewrites the links in a stream of JSON, in constant memory. Create it with Rewriter.NewReader.
type Reader struct {
	body    io.Reader
	err     error // of body, returned after all bytes
	scanner linkScanner

	buffer    []byte // nil before the first Read and after the last
	start     int    // buffer[start:] is to be returned; the bytes before it are context
	begin     int    // buffer[start:begin] is unchanged
	insert    string // replaces buffer[begin:end]
	end       int    // buffer[end:] is not known yet
	needInput bool   // it is not known without more text
}

// NewReader returns a Reader of body with its links rewritten, as JSON does.
//
// It holds back only the start of a string that may be a link, until the bytes that decide it arrive: its origin, or its end if
// it may be a key; at most 4 KiB. An error of body, io.EOF too, is returned after all bytes before it, and by every later Read.
func (r Rewriter) NewReader(body io.Reader) *Reader {
	return &Reader{body: body, scanner: linkScanner{Rewriter: r}, needInput: true}
}

// Pending reports whether Read returns without reading from the body.
func (r *Reader) Pending() bool { return r.start < r.begin || !r.needInput || r.err != nil }

// Read reads from the body only if it has nothing to return, and only once: it returns 0, nil if what it gets decides nothing.
func (r *Reader) Read(p []byte) (n int, err error) {
	for filled := false; ; filled = true {
		c := copy(p[n:], r.buffer[r.start:r.begin])
		r.start, n = r.start+c, n+c
		if r.start == r.begin {
			c = copy(p[n:], r.insert)
			r.insert, n = r.insert[c:], n+c
		}
		switch {
		case n == len(p) || r.needInput && n > 0:
			return n, nil
		case r.needInput && r.err != nil:
			if r.buffer != nil {
				readerBuffers.Put((*[readerBufferSize]byte)(r.buffer[:readerBufferSize]))
				r.buffer, r.start, r.begin, r.end = nil, 0, 0, 0
			}
			return 0, r.err
		case r.needInput && (filled || !r.fill()):
			return 0, nil
		}
		r.start = r.end
		r.begin, r.end = r.scanner.next(r.buffer, r.start, r.err != nil)
		if r.needInput = r.begin == r.end; !r.needInput {
			r.insert = r.scanner.replacement(r.buffer[r.begin:r.end])
		}
	}
}

// fill reads more text and reports whether it got any, or an error.
func (r *Reader) fill() (progress bool) {
	if r.buffer == nil {
		array, _ := readerBuffers.Get().(*[readerBufferSize]byte)
		r.buffer = array[:0]
	}
	context := max(0, r.end-maxLookbehind)
	kept := copy(r.buffer[:readerBufferSize], r.buffer[context:])
	n, err := r.body.Read(r.buffer[kept:readerBufferSize])
	r.buffer, r.err = r.buffer[:kept+n], err
	r.start, r.begin, r.end = r.end-context, r.end-context, r.end-context
	r.scanner.escape = 0
	return n > 0 || err != nil
}
