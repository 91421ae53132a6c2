package links

import "io"

// Reader rewrites the links in a stream of JSON. It needs the same memory for a body of any size.
//
// It returns what it knows as soon as it knows it. What it keeps back is at most the beginning of a string that may yet
// turn out to be a link, in all its escapes no more than six times as long as the base and some bytes, and only until
// the bytes that decide it arrive.
type Reader struct {
	inner io.Reader
	err   error // inner's, which comes once all else was returned
	links scanner

	to      string
	base    replacement // of to, once it is needed
	changed bool

	buffer []byte
	full   bool   // buffer was filled to its end
	text   []byte // what is left in buffer

	// What is to be returned next, in this order.
	pass     int    // the first bytes of text
	length   int    // the bytes behind them are the base of a link, if not 0
	slashed  bool   // they spell a slash as \/
	insert   string // what has come into the place of such a base
	starving bool   // nothing, before more than text is known
}

// Most bodies are short, and the buffer for them is. It doubles while the inner reader fills it, up to a TLS record.
const (
	firstBuffer = 4 << 10
	lastBuffer  = 16 << 10
)

// NewReader returns a Reader that replaces the base URL from by to in the links of what it reads from r. Neither has a
// final slash. from is ASCII without quotes and backslashes, as a URL is; if it is empty, nothing is rewritten. A link that
// spells a slash of its base as \/ gets to in that spelling, and all else in to that JSON wants escaped is.
//
// An error of r, io.EOF included, is returned after all that was read before it, and from then on.
func NewReader(r io.Reader, from, to string) *Reader {
	return &Reader{
		inner:    r,
		links:    scanner{from: from},
		to:       to,
		buffer:   make([]byte, firstBuffer+longest(from)),
		starving: true,
	}
}

// Changed reports whether anything was rewritten in what was read so far.
func (r *Reader) Changed() bool { return r.changed }

// Read implements io.Reader. It waits for the inner reader only when it has nothing to return.
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
		case !r.starving:
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

// scan finds out what is to be returned next.
func (r *Reader) scan() {
	r.pass, r.length, r.slashed = r.links.next(r.text, r.err != nil)
	r.starving = r.pass == 0 && r.length == 0
}

// replace puts the other base into the place of the one that text begins with.
func (r *Reader) replace() {
	if !r.changed {
		r.changed = true
		r.base = newReplacement(r.to)
	}
	r.insert = r.base.spelled(r.slashed)
	r.text, r.length = r.text[r.length:], 0
}

// fill reads more text, and reports whether there is news: some text or an error.
func (r *Reader) fill() bool {
	if r.full && len(r.buffer) < lastBuffer {
		r.buffer = make([]byte, 2*len(r.buffer))
	}
	kept := copy(r.buffer, r.text)
	n, err := r.inner.Read(r.buffer[kept:])
	r.text, r.err = r.buffer[:kept+n], err
	r.full = kept+n == len(r.buffer)
	r.starving = n == 0 && err == nil
	return !r.starving
}
