package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"etrusted-broker/proxy/links"
)

// maxUnzipped is up to what length a zipped body is unzipped whole: what is short can be made to become very long.
const maxUnzipped = 1 << 20

// unzip returns what is in a zipped body, and false if that is not zipped, not whole, or too long.
func unzip(body []byte) (plain []byte, ok bool) {
	reader, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, false
	}
	plain, err = io.ReadAll(io.LimitReader(reader, maxUnzipped+1))
	return plain, err == nil && len(plain) <= maxUnzipped
}

func zip(plain []byte) []byte {
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	_, _ = writer.Write(plain) // into memory
	_ = writer.Close()
	return zipped.Bytes()
}

// isZipped reports whether a body begins as one in gzip does: RFC 1952 section 2.3.1.
func isZipped(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte{0x1f, 0x8b}) }

// gzipBody unzips a body, rewrites the links in it, and zips it again, as it comes.
type gzipBody struct {
	from   *bufio.Reader
	way    *way
	links  io.Reader // nil before the first Read
	writer *gzip.Writer
	zipped bytes.Buffer // and not yet read
	plain  []byte
	err    error // once all that is zipped was read
}

func newGzipBody(from io.Reader, way *way) *gzipBody {
	return &gzipBody{from: bufio.NewReader(from), way: way}
}

// Read implements io.Reader. What has come is returned as soon as it has.
func (g *gzipBody) Read(p []byte) (int, error) {
	for g.zipped.Len() == 0 {
		if g.err != nil {
			return 0, g.err
		}
		if g.links == nil && !g.begin() {
			continue
		}
		if g.writer == nil {
			return g.links.Read(p)
		}
		g.more()
	}
	return g.zipped.Read(p)
}

// begin looks whether the body is what it says it is. If not, it goes on as it came.
func (g *gzipBody) begin() bool {
	if beginning, _ := g.from.Peek(2); !isZipped(beginning) {
		g.links = g.from
		return true
	}
	reader, err := gzip.NewReader(g.from)
	if err != nil {
		g.err = err
		return false
	}
	g.links = links.NewReader(reader, g.way.from, g.way.to)
	g.writer = gzip.NewWriter(&g.zipped)
	g.plain = make([]byte, bufferSize)
	return true
}

// more zips what comes next, so that it can be unzipped without what comes after it.
func (g *gzipBody) more() {
	n, err := g.links.Read(g.plain)
	_, _ = g.writer.Write(g.plain[:n]) // into memory
	g.err = err
	if errors.Is(err, io.EOF) {
		_ = g.writer.Close()
	} else {
		_ = g.writer.Flush()
	}
}
