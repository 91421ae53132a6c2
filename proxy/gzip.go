package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
)

// maxGunzipped bounds the decompressed size of a body that is held whole: a short body can become very long.
const maxGunzipped = 64 << 10

// gunzip decompresses a whole body. It returns false if that is not gzip, not complete, or longer than maxGunzipped.
func gunzip(body []byte) (plain []byte, ok bool) {
	if !hasGzipMagic(body) {
		return nil, false
	}
	plain, err := io.ReadAll(io.LimitReader(newGunzipReader(bytes.NewReader(body)), maxGunzipped+1))
	return plain, err == nil && len(plain) <= maxGunzipped
}

// hasGzipMagic reports whether a body begins as gzip does: RFC 1952 section 2.3.1.
func hasGzipMagic(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte{0x1f, 0x8b}) }

// gunzipReader decompresses a body as it arrives. It reads all gzip members, and ignores what follows the last, padding or
// noise, as most programs do. A body that is not gzip, whatever its Content-Encoding says, is returned unchanged.
type gunzipReader struct {
	body   *bufio.Reader
	plain  io.Reader    // nil before the first Read
	member *gzip.Reader // nil if the body is not gzip
}

func newGunzipReader(body io.Reader) *gunzipReader { return &gunzipReader{body: bufio.NewReader(body)} }

// Read implements io.Reader. It returns what is known as soon as it is known.
func (g *gunzipReader) Read(p []byte) (int, error) {
	if g.plain == nil {
		if err := g.begin(); err != nil {
			return 0, err
		}
	}
	for {
		n, err := g.plain.Read(p)
		switch {
		case g.member == nil || !errors.Is(err, io.EOF):
			return n, err
		case n > 0:
			return n, nil // the next Read finds the member's end again
		}
		if next, _ := g.body.Peek(2); !hasGzipMagic(next) {
			return 0, io.EOF
		}
		if err := g.member.Reset(g.body); err != nil {
			return 0, err
		}
		g.member.Multistream(false)
	}
}

// begin waits for the body's first bytes. It is not called before the response's header was forwarded.
func (g *gunzipReader) begin() error {
	g.plain = g.body
	if beginning, _ := g.body.Peek(2); !hasGzipMagic(beginning) {
		return nil
	}
	member, err := gzip.NewReader(g.body)
	if err != nil {
		return err
	}
	member.Multistream(false)
	g.member, g.plain = member, member
	return nil
}
