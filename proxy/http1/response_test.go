package http1_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"etrusted-broker/proxy/http1"
)

// responseTo returns the bytes of the response to a request, without the Date field.
func responseTo(t *testing.T, request string, handler handlerFunc) string {
	t.Helper()
	output := playOn(t, newScript([]byte(request)), handler)
	head, rest, found := strings.Cut(output, "Date: ")
	if !found {
		return output
	}
	_, rest, _ = strings.Cut(rest, "\r\n")
	return head + rest
}

const (
	get      = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	head     = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	get10    = "GET / HTTP/1.0\r\n\r\n"
	getAlive = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
)

// Lines 7, 9 and 10 of the contract, and row C36.
func TestFramesResponses(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		handler handlerFunc
		want    string
	}{
		"length": {get, func(w *http1.ResponseWriter, _ *http1.Request) { respond(w, 200, "text") },
			"HTTP/1.1 200 Status\r\nContent-Length: 4\r\n\r\ntext"},
		"length 0": {get, func(w *http1.ResponseWriter, _ *http1.Request) { w.WriteHead(200, "", 0) },
			"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"},
		"chunks": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "text")
			_ = w.Flush()
			_, _ = io.WriteString(w, "more text")
		}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ntext\r\n9\r\nmore text\r\n0\r\n\r\n"},
		"empty chunked body": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = w.Write(nil) // it must not end the body
		}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"trailers": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "x")
			w.Trailer(http1.Fields{{Name: "a-B", Value: "1"}, {Name: "A-b", Value: ""}})
		}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\na-B: 1\r\nA-b: \r\n\r\n"},
		"finished by the handler": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "x")
			for range 2 {
				if !w.Finish() {
					t.Error("Finish: got false, want true")
				}
			}
		}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"},
		"trailers with a length": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Trailer(http1.Fields{{Name: "A", Value: "1"}})
			respond(w, 200, "x")
		}, "HTTP/1.1 200 Status\r\nContent-Length: 1\r\n\r\nx"},
		"fields in their order": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Fields = http1.Fields{{Name: "x-B", Value: "1"}, {Name: "content-length", Value: "99"}, {Name: "A", Value: "\xff"}, {Name: "Connection", Value: "x"},
				{Name: "Transfer-Encoding", Value: "gzip"}, {Name: "Content-Length", Value: "98"}, {Name: "X-b", Value: ""}}
			w.WriteHead(200, "Odd  Reason", 0)
		}, "HTTP/1.1 200 Odd  Reason\r\nx-B: 1\r\nContent-Length: 0\r\nA: \xff\r\nX-b: \r\n\r\n"},
		"own Date": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Fields.Add("date", "today")
			w.WriteHead(200, "OK", 0)
		}, "HTTP/1.1 200 OK\r\ndate: today\r\nContent-Length: 0\r\n\r\n"},
		"close": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Close = true
			respond(w, 200, "x")
		}, "HTTP/1.1 200 Status\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"},
		"HEAD with a length": {head, func(w *http1.ResponseWriter, _ *http1.Request) { respond(w, 200, "text") },
			"HTTP/1.1 200 Status\r\nContent-Length: 4\r\n\r\n"},
		"HEAD without a length": {head, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Fields.Add("Transfer-Encoding", "chunked")
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "text")
			w.Trailer(http1.Fields{{Name: "A", Value: "1"}})
		}, "HTTP/1.1 200 OK\r\n\r\n"},
		"HEAD with a length of 0": {head, func(w *http1.ResponseWriter, _ *http1.Request) { w.WriteHead(200, "OK", 0) },
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"204": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Fields.Add("Content-Length", "4")
			respond(w, 204, "text")
		}, "HTTP/1.1 204 Status\r\n\r\n"},
		"204 without a length": {get, func(w *http1.ResponseWriter, _ *http1.Request) { w.WriteHead(204, "None", -1) },
			"HTTP/1.1 204 None\r\n\r\n"},
		"304": {get, func(w *http1.ResponseWriter, _ *http1.Request) { respond(w, 304, "text") },
			"HTTP/1.1 304 Status\r\nContent-Length: 4\r\n\r\n"},
		"304 without a length": {get, func(w *http1.ResponseWriter, _ *http1.Request) { w.WriteHead(304, "Same", -1) },
			"HTTP/1.1 304 Same\r\n\r\n"},
		"HTTP/1.0 with a length": {get10, func(w *http1.ResponseWriter, _ *http1.Request) { respond(w, 200, "x") },
			"HTTP/1.0 200 Status\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"},
		"HTTP/1.0 kept alive": {getAlive, func(w *http1.ResponseWriter, _ *http1.Request) { respond(w, 200, "x") },
			"HTTP/1.0 200 Status\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx"},
		"HTTP/1.0 without a length": {getAlive, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "text")
			w.Trailer(http1.Fields{{Name: "A", Value: "1"}})
		}, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\ntext"},
		"HTTP/1.0 HEAD without a length": {strings.Replace(getAlive, "GET", "HEAD", 1), func(w *http1.ResponseWriter, _ *http1.Request) { w.WriteHead(200, "OK", -1) },
			"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"},
		"informational": {get, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.Fields.Add("B", "2")
			_ = w.WriteInformational(103, "Early Hints", http1.Fields{{Name: "Link", Value: "</a>"}})
			_ = w.WriteInformational(102, "Processing", nil)
			respond(w, 200, "x")
			_ = w.WriteInformational(103, "Too Late", nil)
		}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 Status\r\nB: 2\r\nContent-Length: 1\r\n\r\nx"},
		"informational in HTTP/1.0": {get10, func(w *http1.ResponseWriter, _ *http1.Request) {
			_ = w.WriteInformational(103, "Early Hints", nil)
			respond(w, 200, "x")
		}, "HTTP/1.0 200 Status\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := responseTo(t, test.request, test.handler); got != test.want {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
		})
	}
}

// Line 13 of the contract: a response that is not complete has no clean end, and nothing is added to it.
func TestIncompleteResponseHasNoCleanEnd(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, test := range map[string]struct {
		handler handlerFunc
		want    string
	}{
		"nothing":            {func(*http1.ResponseWriter, *http1.Request) {}, ""},
		"aborted before":     {func(w *http1.ResponseWriter, _ *http1.Request) { w.Abort() }, ""},
		"only informational": {func(w *http1.ResponseWriter, _ *http1.Request) { _ = w.WriteInformational(103, "", nil) }, "HTTP/1.1 103 \r\n\r\n"},
		"too short": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", 5)
			_, _ = io.WriteString(w, "text")
			_ = w.Flush()
		}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntext"},
		"too long": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", 4)
			_ = w.Flush()
			if n, err := io.WriteString(w, "text!"); err == nil {
				t.Errorf("Write: got %d, nil, want an error", n)
			}
			if err := w.Flush(); err == nil {
				t.Error("Flush: got nil, want an error")
			}
		}, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"},
		"too long, from a body": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", 4)
			if _, err := w.ReadFrom(&upstreamBody{strings.NewReader("text!"), true}); err == nil {
				t.Error("ReadFrom: got nil, want an error")
			}
		}, ""},
		"aborted": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = io.WriteString(w, "text")
			_ = w.Flush()
			_, _ = io.WriteString(w, "not sent")
			w.Trailer(http1.Fields{{Name: "A", Value: "1"}})
			w.Abort()
		}, chunked + "4\r\ntext\r\n"},
		"aborted after its length": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", 4)
			_, _ = io.WriteString(w, "text")
			w.Abort()
		}, ""},
		"broken body": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			if _, err := w.ReadFrom(&upstreamBody{Reader: io.MultiReader(strings.NewReader("text"), iotest.ErrReader(io.ErrUnexpectedEOF)), ready: true}); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("ReadFrom: got %v, want that of the body", err)
			}
			w.Abort()
		}, chunked + "4\r\ntext\r\n"},
		// X2: the header must go out before the fault.
		"broken before the first byte": {func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", 3)
			_, _ = w.ReadFrom(&upstreamBody{Reader: iotest.ErrReader(io.ErrUnexpectedEOF)})
			w.Abort()
		}, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := responseTo(t, get+get, test.handler); got != test.want {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
		})
	}
}

// upstreamBody is a response body that is ready if it says so.
type upstreamBody struct {
	io.Reader
	ready bool
}

func (b *upstreamBody) ReadReady() bool     { return b.ready }
func (*upstreamBody) Trailer() http1.Fields { return nil }
func (*upstreamBody) Close() error          { return nil }

// Bodies of all sizes and in all portions arrive as they are, through Write and through ReadFrom.
func TestBodiesArriveAsTheyAre(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 10<<10)
	for _, length := range []int{0, 1, 100, 4 << 10, 16<<10 - 200, 16<<10 - 1, 16 << 10, 16<<10 + 1, 40000, len(text)} {
		for _, portion := range []int{1000, 16 << 10, 50000} {
			for _, known := range []bool{true, false} {
				for _, request := range []string{get, getAlive} {
					for how, write := range map[string]func(w *http1.ResponseWriter, body string) error{
						"Write": func(w *http1.ResponseWriter, body string) error {
							for _, part := range cut([]byte(body), byte(portion%255)) {
								if n, err := w.Write(part); err != nil || n != len(part) {
									return fmt.Errorf("got %d, %w", n, err)
								}
							}
							return nil
						},
						"ReadFrom": func(w *http1.ResponseWriter, body string) error {
							n, err := w.ReadFrom(&upstreamBody{&portions{body, portion}, portion != 1000})
							if n != int64(len(body)) {
								return fmt.Errorf("got %d, %w", n, err)
							}
							return err
						},
					} {
						p := &played{requests: make([]seenRequest, 0)}
						p.output = playOn(t, newScript([]byte(request)), func(w *http1.ResponseWriter, _ *http1.Request) {
							announced := int64(-1)
							if known {
								announced = int64(length)
							}
							w.WriteHead(200, "OK", announced)
							if err := write(w, text[:length]); err != nil {
								t.Errorf("%s: %v", how, err)
							}
						})
						responses := p.responses(t)
						if len(responses) != 1 || responses[0].body != text[:length] {
							t.Errorf("%s of %d bytes, %d at a time, known=%t, to %.20q: another body arrived", how, length, portion, known, request)
						}
					}
				}
			}
		}
	}
}

// What arrives at a time, a TLS record, leaves in one write: each costs both sides a system call.
func TestSendsEachRecordInOneWrite(t *testing.T) {
	record := strings.Repeat("x", 16<<10)
	for _, length := range []int64{int64(3 * len(record)), -1} {
		inBubble(t, 0, func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", length)
			_, _ = w.ReadFrom(&upstreamBody{Reader: io.MultiReader(strings.NewReader(record), strings.NewReader(record), strings.NewReader(record))})
		}, func(t *testing.T, b *bubble) {
			c := b.dial()
			c.send(get)
			var writes []int
			for buffer := make([]byte, 64<<10); ; { // one read of an in-memory connection gets one write
				n, err := c.Read(buffer)
				if err != nil {
					break
				}
				writes = append(writes, n)
			}
			records := writes[min(len(writes), 1):min(len(writes), 4)]
			if len(records) < 3 || slices.Min(records) < len(record) || len(writes) > 5 {
				t.Errorf("length %d: got writes of %v bytes, want the header, three records, and perhaps the last chunk", length, writes)
			}
		})
	}
}

// A handler that sends a part of the body before the header has made a mistake: what it sent must not become a response.
func TestWriteBeforeHeadCutsConnection(t *testing.T) {
	output := playOn(t, newScript([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), func(w *http1.ResponseWriter, _ *http1.Request) {
		_, _ = w.Write([]byte("early"))
		w.WriteHead(200, "OK", 0)
	})
	if len(output) > 0 {
		t.Errorf("got %q, want nothing", output)
	}
}

// portions returns a text in portions.
type portions struct {
	text string
	size int
}

func (p *portions) Read(b []byte) (int, error) {
	n := copy(b[:min(p.size, len(b))], p.text)
	if p.text = p.text[n:]; p.text == "" {
		return n, io.EOF
	}
	return n, nil
}

// Line 8 of the contract: what has arrived of a body is sent before the next Read that would wait.
func TestFlushesBeforeWaiting(t *testing.T) {
	body, next := io.Pipe()
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		w.WriteHead(200, "OK", -1)
		_, _ = w.ReadFrom(&upstreamBody{Reader: body})
	}, nil)
	c := s.dial(t)
	c.send(get)
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" { // the header is there before the first byte of the body
			break
		}
	}
	for _, part := range []string{"one", "two", "three"} {
		_, _ = io.WriteString(next, part)
		want := hexadecimal(len(part)) + "\r\n" + part + "\r\n"
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.reader, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	_ = next.Close()
	if end, _ := io.ReadAll(io.LimitReader(c.reader, 5)); string(end) != "0\r\n\r\n" {
		t.Errorf("got %q, want the end of the body", end)
	}
}

// X3 and line 10 of the contract: if only the end of the connection ends a response, a broken one ends in a reset, and on TLS
// without close_notify. A complete one ends cleanly.
func TestBrokenCloseDelimitedResponseEndsInReset(t *testing.T) {
	for _, name := range []string{"tcp", "tls"} {
		for _, broken := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s broken=%t", name, broken), func(t *testing.T) {
				s := serveOn(t, networks[name], func(w *http1.ResponseWriter, _ *http1.Request) {
					w.WriteHead(200, "OK", -1)
					_, _ = io.WriteString(w, "part")
					_ = w.Flush()
					time.Sleep(30 * time.Millisecond)
					if broken {
						w.Abort()
					}
				}, nil)
				c := s.dial(t)
				c.send(get10)
				text, err := io.ReadAll(c.reader)
				if !strings.HasSuffix(string(text), "\r\n\r\npart") {
					t.Errorf("got %q, want the part that was flushed", text)
				}
				if isReset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF); isReset != broken || (err != nil) != broken {
					t.Errorf("got %v, broken=%t", err, broken)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				if err := s.Shutdown(ctx); err != nil { // the server must not count the connection any more
					t.Errorf("Shutdown: got %v, want nil", err)
				}
			})
		}
	}
}

// A broken response with a length or chunks ends without the rest, on all networks.
func TestBrokenResponseIsCutOff(t *testing.T) {
	for name, network := range networks {
		for _, length := range []int64{10, -1} {
			s := serveOn(t, network, func(w *http1.ResponseWriter, _ *http1.Request) {
				w.WriteHead(200, "OK", length)
				_, _ = io.WriteString(w, "part")
				_ = w.Flush()
				w.Abort()
			}, nil)
			c := s.dial(t)
			c.send(get)
			text, err := io.ReadAll(c.reader) // a reset could discard what was sent
			if !bytes.Contains(text, []byte("part")) || bytes.HasSuffix(text, []byte("0\r\n\r\n")) || err != nil {
				t.Errorf("%s, length %d: got %q, %v, want a part and no reset", name, length, text, err)
			}
		}
	}
}

// On TLS a small response leaves in one record, and a connection ends with close_notify.
func TestResponseIsOneTLSRecord(t *testing.T) {
	for end, handler := range map[string]handlerFunc{
		"\r\n\r\nok": ok,
		"\r\n\r\n2\r\nok\r\n0\r\n\r\n": func(w *http1.ResponseWriter, _ *http1.Request) {
			w.WriteHead(200, "OK", -1)
			_, _ = w.ReadFrom(&upstreamBody{strings.NewReader("ok"), true})
		},
	} {
		s := serveOn(t, networks["tls"], handler, nil)
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		buffer := make([]byte, 4<<10)
		n, err := c.Conn.(*tls.Conn).Read(buffer)
		if err != nil || !bytes.HasPrefix(buffer[:n], []byte("HTTP/1.1 200")) || !bytes.HasSuffix(buffer[:n], []byte(end)) {
			t.Errorf("the first record is %q, %v, want the whole response", buffer[:n], err)
		}
		c.expectEnd()
	}
}

// Many small reads and chunks would cost more than one more write.
func TestReadsBodyInLargeParts(t *testing.T) {
	smallest, left := 1<<20, 100
	playOn(t, newScript([]byte(get)), func(w *http1.ResponseWriter, _ *http1.Request) {
		w.WriteHead(200, "OK", -1)
		_, _ = w.ReadFrom(&upstreamBody{readerFunc(func(p []byte) (int, error) {
			smallest = min(smallest, len(p))
			if left--; left == 0 {
				return 0, io.EOF
			}
			return min(len(p), 999), nil
		}), true})
	})
	if smallest < 2<<10 {
		t.Errorf("a part of the body was read into %d bytes, want at least 2 KiB", smallest)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A Date that the server adds is the time at which the response begins.
func TestAddsCurrentDate(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		c := b.dial()
		for range 3 {
			c.send(simple)
			response, _ := c.response("GET")
			if got, want := response.Header.Get("Date"), time.Now().UTC().Format(http.TimeFormat); got != want {
				t.Errorf("got the Date %q, want %q", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// A chunk must arrive as it was written, however large the header before it is.
func TestLargeHeaderDoesNotCorruptFirstChunk(t *testing.T) {
	const length = 100_000
	for lines := 250; lines < 330; lines++ {
		s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, _ *http1.Request) {
			for range lines {
				w.Fields.Add("X", strings.Repeat("v", 1000))
			}
			w.WriteHead(200, "OK", -1)
			_, _ = w.Write([]byte(strings.Repeat("b", length)))
		}, nil)
		c := s.dial(t)
		c.send(simple)
		if _, body := c.response("GET"); body != strings.Repeat("b", length) {
			t.Fatalf("%d lines: got %d bytes, %.20q, want %d times b", lines, len(body), body, length)
		}
	}
}
