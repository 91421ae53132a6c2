package linkrewrite

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"sync"
)

// maxGunzipped bounds the decompressed size of a body that is held whole: a short body can become very long.
const maxGunzipped = 64 << 10

// GunzipSmall decompresses a whole body. It returns false if that is not gzip, not complete, or longer than 64 KiB.
func GunzipSmall(body []byte) (plain []byte, ok bool) {
	if !hasGzipMagic(body) {
		return nil, false
	}
	r := NewLenientGunzipReader(bytes.NewReader(body))
	defer func() { _ = r.Close() }()
	out := bytes.NewBuffer(make([]byte, 0, min(8*len(body), maxGunzipped)+bytes.MinRead)) // gzip shortens JSON to about an eighth
	n, err := out.ReadFrom(io.LimitReader(r, maxGunzipped+1))
	return out.Bytes(), err == nil && n <= maxGunzipped
}

// hasGzipMagic reports whether a body begins as gzip does: RFC 1952 section 2.3.1.
func hasGzipMagic(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte{0x1f, 0x8b}) }

// gzipDecoder is what a lenientGunzipReader needs while it reads: 45 KiB.
type gzipDecoder struct {
	body   *bufio.Reader
	member gzip.Reader
}

var gzipDecoders = sync.Pool{New: func() any { return &gzipDecoder{body: bufio.NewReader(nil)} }}

type lenientGunzipReader struct {
	*gzipDecoder           // nil after Close
	plain        io.Reader // the current member, or the body if that is not gzip; nil before it is known
	unzipped     bool      // a whole member
}

// NewLenientGunzipReader returns a reader that decompresses a body as it arrives. It reads all gzip members, and ignores what
// follows the last, padding or noise, as most programs do. A body that is not gzip, whatever its Content-Encoding says, is
// returned unchanged. Close makes its memory available to other readers, and does not close the body.
func NewLenientGunzipReader(body io.Reader) io.ReadCloser {
	state, _ := gzipDecoders.Get().(*gzipDecoder)
	state.body.Reset(body)
	return &lenientGunzipReader{gzipDecoder: state}
}

// Read returns what is known as soon as it is known.
func (g *lenientGunzipReader) Read(p []byte) (int, error) {
	if g.gzipDecoder == nil {
		return 0, fs.ErrClosed
	}
	for {
		if g.plain == nil {
			g.plain = g.body
			if next, err := g.body.Peek(2); hasGzipMagic(next) {
				_ = g.member.Reset(g.body) // Read returns its error
				g.member.Multistream(false)
				g.plain = &g.member
			} else if g.unzipped {
				return 0, cmp.Or(err, io.EOF)
			}
		}
		n, err := g.plain.Read(p)
		switch {
		case g.plain == g.body || !errors.Is(err, io.EOF):
			return n, err
		case n > 0:
			return n, nil // the next Read finds the member's end again
		}
		g.plain, g.unzipped = nil, true
	}
}

func (g *lenientGunzipReader) Close() error {
	if g.gzipDecoder != nil {
		g.body.Reset(nil) // free the body
		gzipDecoders.Put(g.gzipDecoder)
		g.gzipDecoder, g.plain = nil, nil
	}
	return nil
}
