package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"etrusted-broker/proxy/linkrewrite"
)

// maxUnzipped is up to what length a zipped body is unzipped whole: what is short can be made to become very long.
const maxUnzipped = 1 << 20

// unzip returns what is in a zipped body, and false if that is not zipped, not whole, or too long.
func unzip(body []byte) (plain []byte, ok bool) {
	reader, err := newMembers(bufio.NewReader(bytes.NewReader(body)))
	if err != nil {
		return nil, false
	}
	plain, err = io.ReadAll(io.LimitReader(reader, maxUnzipped+1))
	return plain, err == nil && len(plain) <= maxUnzipped
}

func zip(plain []byte) []byte {
	var z zipper
	return z.end(z.add(z.begin(nil), plain))
}

// isZipped reports whether a body begins as one in gzip does: RFC 1952 section 2.3.1.
func isZipped(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte{0x1f, 0x8b}) }

// members reads what is zipped, one member after the other, and nothing of what may come after the last: padding or noise,
// which most programs pass over too.
type members struct {
	from   *bufio.Reader
	member *gzip.Reader
}

func newMembers(from *bufio.Reader) (*members, error) {
	member, err := gzip.NewReader(from)
	if err != nil {
		return nil, err
	}
	member.Multistream(false)
	return &members{from, member}, nil
}

// Read implements io.Reader.
func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.member.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, notYet(err)
		}
		if next, _ := m.from.Peek(2); !isZipped(next) {
			return 0, io.EOF
		}
		if err := m.member.Reset(m.from); err != nil {
			return 0, err
		}
		m.member.Multistream(false)
	}
}

// notYet leaves the end of a member for the next Read.
func notYet(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// zipper writes gzip (RFC 1952) that is not compressed: stored blocks of RFC 1951 section 3.2.4. The app is next door, and
// to compress for it would take the time, and most of a megabyte for each response, that a slow reader holds. The zero
// value is ready for use.
type zipper struct {
	sum, length uint32
}

func (z *zipper) begin(to []byte) []byte {
	return append(to, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff) // deflate, no name, no time, of no system in particular
}

// add appends plain to what was written so far, in blocks that can be read without what comes after them.
func (z *zipper) add(to, plain []byte) []byte {
	z.sum = crc32.Update(z.sum, crc32.IEEETable, plain)
	z.length += uint32(len(plain)) //nolint:gosec // G115: it is the length modulo 2^32 that RFC 1952 asks for.
	for len(plain) > 0 {
		block := plain[:min(len(plain), 1<<16-1)]
		length := uint16(len(block)) //nolint:gosec // G115: it has just been cut to that.
		to = binary.LittleEndian.AppendUint16(append(to, 0), length)
		to = binary.LittleEndian.AppendUint16(to, ^length)
		to = append(to, block...)
		plain = plain[len(block):]
	}
	return append(to, 0, 0, 0, 0xff, 0xff) // an empty block has a reader hand on what it has, as zlib's Z_SYNC_FLUSH does
}

func (z *zipper) end(to []byte) []byte {
	to = append(to, 1, 0, 0, 0xff, 0xff) // the last block, with nothing in it
	to = binary.LittleEndian.AppendUint32(to, z.sum)
	return binary.LittleEndian.AppendUint32(to, z.length)
}

// gzipBody unzips a body, rewrites the links in it, and zips it again, as it comes.
type gzipBody struct {
	from   *bufio.Reader
	way    *way
	links  io.Reader // nil before the first Read
	zipper *zipper   // nil if the body is not zipped, whatever it says
	plain  []byte
	zipped []byte // and of it:
	unread []byte
	err    error // once all is in zipped
}

func newGzipBody(from io.Reader, way *way) *gzipBody {
	return &gzipBody{from: bufio.NewReader(from), way: way}
}

// Read implements io.Reader. What has come is returned as soon as it has.
func (g *gzipBody) Read(p []byte) (int, error) {
	for len(g.unread) == 0 {
		switch {
		case g.err != nil:
			return 0, g.err
		case g.links == nil:
			g.begin()
		case g.zipper == nil:
			return g.links.Read(p)
		default:
			g.more()
		}
	}
	n := copy(p, g.unread)
	g.unread = g.unread[n:]
	return n, nil
}

// begin looks whether the body is what it says it is. If not, it goes on as it came.
func (g *gzipBody) begin() {
	if beginning, _ := g.from.Peek(2); !isZipped(beginning) {
		g.links = g.from
		return
	}
	reader, err := newMembers(g.from)
	if err != nil {
		g.err = err
		return
	}
	g.links = linkrewrite.NewReader(reader, g.way.from, g.way.to)
	g.zipper = new(zipper)
	g.plain = make([]byte, bufferSize)
	g.zipped = g.zipper.begin(nil)
	g.unread = g.zipped
}

func (g *gzipBody) more() {
	n, err := g.links.Read(g.plain)
	g.zipped = g.zipper.add(g.zipped[:0], g.plain[:n])
	if errors.Is(err, io.EOF) {
		g.zipped = g.zipper.end(g.zipped)
	}
	g.unread, g.err = g.zipped, err
}
