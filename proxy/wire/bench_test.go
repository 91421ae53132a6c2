package wire_test

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/proxy/wire"
)

// loop is a connection on which the same bytes come over and over.
type loop struct {
	*script
	text string
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.text[l.at:])
	l.at = (l.at + n) % len(l.text)
	return n, nil
}

type one struct{ conn net.Conn }

func (o one) Accept() (net.Conn, error) { return o.conn, nil }
func (one) Close() error                { return nil }
func (one) Addr() net.Addr              { return &net.TCPAddr{} }

const usual = "GET /reviews?channels=chl-0123456789&count=20 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: GuzzleHttp/7\r\n" +
	"Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\n" +
	"Connection: keep-alive\r\nX-Request-Id: 5f9c3f1e-6d0a-4f0e-9a39-0c9a5be0f3c4\r\n\r\n"

// reader returns a connection of the Listener's on a connection.
func reader(inner net.Conn) net.Conn {
	c, err := wire.NewListener(one{inner}, 10, nil).Accept()
	if err != nil {
		panic(err)
	}
	return c
}

func benchmark(b *testing.B, text string, part int) {
	c := reader(&loop{script: newScript(), text: text})
	buffer := make([]byte, part)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for left := len(text); left > 0; {
			n, err := c.Read(buffer[:min(left, part)])
			if err != nil {
				b.Fatal(err)
			}
			left -= n
		}
		wire.ConnState(c, http.StateIdle)
	}
}

func BenchmarkGET(b *testing.B) { benchmark(b, usual, 4<<10) }

func BenchmarkBody(b *testing.B) {
	body := strings.Repeat("x", 1<<20)
	b.Run("length", func(b *testing.B) {
		benchmark(b, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"+body, 32<<10)
	})
	b.Run("chunks", func(b *testing.B) {
		chunk := "8000\r\n" + body[:32<<10] + "\r\n"
		benchmark(b, chunkedRequest+strings.Repeat(chunk, 32)+"0\r\n\r\n", 32<<10)
	})
}

// What every request costs must not be an allocation.
func TestNoAllocations(t *testing.T) {
	for name, text := range map[string]string{
		"GET":    usual,
		"length": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		"chunks": chunkedRequest + "4\r\nbody\r\n0\r\n\r\n",
	} {
		c := reader(&loop{script: newScript(), text: text})
		buffer := make([]byte, 4<<10)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := io.ReadFull(c, buffer[:len(text)]); err != nil {
				t.Fatal(err)
			}
			wire.ConnState(c, http.StateIdle)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A connection keeps little of what it held for a long header, and takes more than that for none that is short.
func TestSmallBuffer(t *testing.T) {
	const small = 4 << 10
	long := padded(40 << 10)
	short := []byte(strings.Repeat(simple, 1000))
	for name, pieces := range map[string][][]byte{
		"idle":         {[]byte(long), []byte(simple)},
		"half a next":  {[]byte(long), []byte(simple[:20]), []byte(simple[20:])},
		"next with it": {[]byte(long[:len(long)-1]), []byte(long[len(long)-1:] + simple[:20]), []byte(simple[20:])},
		"pipelined":    slices.Collect(slices.Chunk(short, 1000)),
	} {
		inner := newScript(pieces...)
		c := reader(inner)
		all := len(slices.Concat(pieces...))
		for read := 0; read < all; {
			n, err := c.Read(make([]byte, small))
			if err != nil {
				t.Fatal(name, err)
			}
			wire.ConnState(c, http.StateIdle)
			if read += n; read == len(long) {
				inner.asked = 0
			}
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || inner.asked > small {
			t.Errorf("%s: %v, asked for %d bytes", name, err, inner.asked)
		}
	}
}

// While a body is waited for, the long header before it is not kept.
func TestLongHeaderIsForgotten(t *testing.T) {
	header := []byte(strings.Replace(padded(60<<10), "X: ", "Content-Length: 9\r\nX: ", 1))
	before := heap()
	conns := make([]net.Conn, 100)
	for i := range conns {
		conns[i] = reader(newScript(header))
		if _, err := io.ReadAll(conns[i]); err == nil {
			t.Fatal("the body is there")
		}
	}
	if used := int64(heap()) - int64(before); used > int64(len(conns))*20<<10 {
		t.Errorf("%d bytes for each", used/int64(len(conns)))
	}
	runtime.KeepAlive(conns)
}
