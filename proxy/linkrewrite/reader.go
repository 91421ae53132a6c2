package linkrewrite

import "io"

// Reader rewrites the links in a stream of JSON, in constant memory.
//
// It returns bytes as soon as they are decided. It holds back at most the start of a string that may be a link (with
// escapes, up to six times the length of the base and some bytes), until the bytes that decide it arrive.
type Reader struct {
	inner   io.Reader
	err     error // of inner, returned after all bytes
	scanner scanner

	to      string
	base    replacement // made from to when first needed
	changed bool

	buffer       []byte
	bufferFilled bool   // by the last Read of inner
	text         []byte // the unread part of buffer

	// What Read returns next, in this order.
	pass      int    // the first bytes of text
	length    int    // if not 0, the bytes after them are the base of a link
	slashed   bool   // they contain a slash written as \/
	insert    string // the replacement of such a base
	needInput bool   // nothing until more text was read
}

// Most bodies are short, so the buffer starts small. It doubles while inner fills it, up to the size of a TLS record.
const (
	minBufferSize = 4 << 10
	maxBufferSize = 16 << 10
)

// NewReader returns a Reader that replaces the base URL from by to in the links read from r. Neither may end with a
// slash. from must be ASCII without quotes and backslashes, as URLs are; if it is empty, nothing is rewritten. If a
// link contains a slash written as \/ in its base, so does the replacement. Characters in to that JSON requires to be
// escaped are.
//
// An error of r, including io.EOF, is returned after all bytes that were read before it, and by every later Read.
func NewReader(r io.Reader, from, to string) *Reader {
	return &Reader{
		inner:     r,
		scanner:   scanner{from: from},
		to:        to,
		buffer:    make([]byte, minBufferSize+maxMatchLen(from)),
		needInput: true,
	}
}

// Changed reports whether a link was rewritten in the bytes returned so far.
func (r *Reader) Changed() bool { return r.changed }

// Read implements io.Reader. It reads from the inner reader only if it has nothing to return.
func (r *Reader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		switch {
		case r.pass > 0:
			c := copy(p[n:], r.text[:r.pass])
			r.text, r.pass, n = r.text[c:], r.pass-c, n+c
		case r.length > 0:
			r.replace()
		case r.insert != "":
			c := copy(p[n:], r.insert)
			r.insert, n = r.insert[c:], n+c
		case !r.needInput:
			r.scan()
		case n > 0:
			return n, nil
		case r.err != nil:
			return 0, r.err
		default:
			if !r.fill() {
				return 0, r.err
			}
		}
	}
	return n, nil
}

// scan determines what Read returns next.
func (r *Reader) scan() {
	r.pass, r.length, r.slashed = r.scanner.next(r.text, r.err != nil)
	r.needInput = r.pass == 0 && r.length == 0
}

// replace replaces the base at the start of text.
func (r *Reader) replace() {
	if !r.changed {
		r.changed = true
		r.base = newReplacement(r.to)
	}
	r.insert = r.base.text(r.slashed)
	r.text, r.length = r.text[r.length:], 0
}

// fill reads more text and reports whether it got any, or an error.
func (r *Reader) fill() bool {
	if r.bufferFilled && len(r.buffer) < maxBufferSize {
		r.buffer = make([]byte, 2*len(r.buffer))
	}
	kept := copy(r.buffer, r.text)
	n, err := r.inner.Read(r.buffer[kept:])
	r.text, r.err = r.buffer[:kept+n], err
	r.bufferFilled = kept+n == len(r.buffer)
	r.needInput = n == 0 && err == nil
	return !r.needInput
}
