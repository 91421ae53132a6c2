package http1_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

const usual = "GET /reviews?channels=chl-0123456789&count=20 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: GuzzleHttp/7\r\n" +
	"Accept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\n" +
	"Connection: keep-alive\r\nX-Request-Id: 5f9c3f1e-6d0a-4f0e-9a39-0c9a5be0f3c4\r\n\r\n"

// drainer is a handler for one connection that reads the body and answers with five bytes, without an allocation.
type drainer struct{ scratch [4 << 10]byte }

func (d *drainer) serve(w *http1.ResponseWriter, r *http1.Request) {
	for {
		if _, err := r.Body.Read(d.scratch[:]); err != nil {
			break
		}
	}
	w.WriteHead(200, "OK", 5)
	_, _ = w.Write([]byte("hello"))
}

// exchange is a client that sends the same request again and again.
type exchange struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func newExchange(t testing.TB, request string) *exchange {
	s := serveOn(t, networks["tcp"], (&drainer{}).serve, nil)
	c := s.dial(t)
	_ = c.SetDeadline(time.Time{})
	return &exchange{c.Conn, c.reader, []byte(request)}
}

func (e *exchange) do() error {
	if _, err := e.conn.Write(e.request); err != nil {
		return err
	}
	for {
		line, err := e.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == len("\r\n") {
			_, err = e.reader.Discard(len("hello"))
			return err
		}
	}
}

func benchmark(b *testing.B, request string) {
	e := newExchange(b, request)
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if err := e.do(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGET(b *testing.B) { benchmark(b, usual) }

func BenchmarkBody(b *testing.B) {
	body := strings.Repeat("x", 1<<20)
	b.Run("length", func(b *testing.B) {
		benchmark(b, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n"+body)
	})
	b.Run("chunks", func(b *testing.B) {
		benchmark(b, chunkedRequest+strings.Repeat("8000\r\n"+body[:32<<10]+"\r\n", 32)+"0\r\n\r\n")
	})
}

// A request on a kept connection costs one allocation: the text of its header.
func TestRequestCostsOneAllocation(t *testing.T) { // not parallel: it counts what the whole program allocates
	if brokertest.RaceDetector {
		t.Skip("with the race detector, a sync.Pool drops a part of what it gets")
	}
	for name, request := range map[string]string{
		"GET":    usual,
		"length": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
		"chunks": chunkedRequest + "4\r\nbody\r\n0\r\n\r\n",
	} {
		e := newExchange(t, request)
		n := testing.AllocsPerRun(1000, func() {
			if err := e.do(); err != nil {
				t.Fatal(err)
			}
		})
		if n > 1 {
			t.Errorf("%s: got %v allocations, want at most 1", name, n)
		}
	}
}
