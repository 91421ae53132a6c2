package proxy_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// A response is rewritten while it arrives: nothing waits for its end.
func TestRewritesStreamedLinks(t *testing.T) {
	for _, coding := range []string{"identity", "gzip"} {
		t.Run(coding, func(t *testing.T) {
			more := make(chan string, 4)
			end := sync.OnceFunc(func() { close(more) })
			defer end() // or a failing test would hang
			up := serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				var to io.Writer = w
				zip := gzip.NewWriter(w)
				if coding == "gzip" {
					w.Header().Set("Content-Encoding", coding)
					to = zip
				}
				for text := range more {
					_, _ = io.WriteString(to, text)
					if coding == "gzip" {
						_ = zip.Flush()
					}
					_ = http.NewResponseController(w).Flush()
				}
				if coding == "gzip" {
					_ = zip.Close()
				}
			})
			b := start(t, up, withLinkRewriting)
			more <- `["`
			r := b.request(t, "GET", "/x", nil)
			r.Header.Set("Accept-Encoding", coding)
			response, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			if got := response.Header.Get("Content-Encoding"); got != "" {
				t.Errorf("Content-Encoding: %s, want none", got)
			}
			body := response.Body
			expect := func(want string) {
				t.Helper()
				got := make([]byte, len(want))
				if _, err := io.ReadFull(body, got); err != nil || string(got) != want {
					t.Fatalf("%q %v, want %q", got, err, want)
				}
			}
			more <- up + `/a"`
			expect(`["` + b.server.URL + `/a"`)
			more <- `,"b"`
			expect(`,"b"`)
			more <- `]`
			end()
			expect(`]`)
			if _, err := body.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("got %v at the end, want EOF", err)
			}
		})
	}
}

// What arrived before a response broke off is forwarded, unless nothing has been sent yet.
func TestTruncatedRewrittenBodyLooksTruncated(t *testing.T) {
	for _, headers := range []string{"Content-Length: 100000\r\n\r\n[\"x\"", "Transfer-Encoding: chunked\r\n\r\n4\r\n[\"x\"\r\n"} {
		at := "http://" + startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+headers))
		b := start(t, at, withLinkRewriting)
		c := b.dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got := c.result("GET"); got.err == nil || got.status != 200 || got.body != `["x"` {
			t.Errorf("%q: got %d %q, %v, want 200 and what has arrived, truncated", headers, got.status, got.body, got.err)
		}
		if record := b.record(t); !record.Broken {
			t.Errorf("got %+v, want Broken", record)
		}
	}
}

func TestReportsBufferedBodyThatBreaksOff(t *testing.T) {
	at := "http://" + startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: x\r\nContent-Length: 1000\r\n\r\n[\"x\""))
	b := start(t, at, withLinkRewriting)
	got := b.get(t, "/x")
	wantProblem(t, got, 502, "connection_terminated")
	if got.header["Etag"] != nil {
		t.Errorf("got %v, want no field of the API", got.header)
	}
	if record := b.record(t); record.Status != 502 || record.Broken {
		t.Errorf("got %+v, want status 502, not broken", record)
	}
}

// A buffered response is sent in one piece with its header: each write costs both sides a system call.
func TestSendsShortResponseInOneWrite(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]string{"plain": nil, "gzip": {"Content-Encoding: gzip"}} {
		for _, test := range []struct {
			name, body string
			one        bool
		}{
			{"short", pageWithLinks("BASE"), true},
			{"without a link", `{"a":1}`, true},
			{"long", "[" + pageWithLinks("BASE") + `,"` + randomBytes(300<<10) + `"]`, false},
		} {
			t.Run(name+", "+test.name, func(t *testing.T) {
				t.Parallel()
				up := startUpstream(t, 200, test.body, append(headers, "Content-Type: application/json")...)
				var writes atomic.Int64
				b := start(t, up, withLinkRewriting, func(s *setup) { s.listener = countingListener{s.listener, &writes} })
				r := b.request(t, "GET", "/reviews", nil)
				r.Header.Set("Accept-Encoding", "gzip")
				b.do(t, r)
				if n := writes.Load(); (n == 1) != test.one {
					t.Errorf("got %d writes, want one: %v", n, test.one)
				}
			})
		}
	}
}

// Over HTTP/2 it is not known whether the first bytes of a body have come with the header: those of a short one are awaited, and of
// one whose length is unknown, such as a stream of events, they are not.
func TestSendsShortResponseOfHTTP2InOneWrite(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	up := serve(t, h2, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			w.Header().Set("Content-Length", "4")
		}
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/stream" {
			<-proceed
		}
		_, _ = io.WriteString(w, "text")
	})
	var writes atomic.Int64
	b := start(t, up, func(s *setup) { s.listener = countingListener{s.listener, &writes} })
	if got := b.get(t, "/short"); got.body != "text" || writes.Load() != 1 {
		t.Errorf("got %q in %d writes, want text in one", got.body, writes.Load())
	}
	c := b.dial(t)
	c.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
	c.head() // before there is a body
	close(proceed)
}

// A gzipped response that has arrived as a whole leaves in as few writes as a plain one. The API does not know the length of what it
// compresses, so that even short ones are chunked.
func TestSendsGunzippedResponseInFewWrites(t *testing.T) {
	for length, most := range map[int]int64{1 << 10: 1, 100 << 10: 8} {
		for name, gzipped := range map[string]bool{"plain": false, "gzip": true} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, length), func(t *testing.T) {
				text := `["` + strings.Repeat("0123456789abcde ", length/16) + `"]`
				body, coding := text, ""
				if gzipped {
					body, coding = brokertest.Gzipped(text), "Content-Encoding: gzip\r\n"
				}
				up := startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+coding+"Transfer-Encoding: chunked\r\n\r\n"+chunked(body)))
				var writes atomic.Int64
				b := start(t, "http://"+up, withLinkRewriting, func(s *setup) { s.listener = countingListener{s.listener, &writes} })
				if got := b.get(t, "/x"); got.body != text {
					t.Fatalf("got %.40q, want the text", got.body)
				}
				if n := writes.Load(); n > most {
					t.Errorf("got %d writes, want at most %d", n, most)
				}
			})
		}
	}
}

// countingListener counts the writes of its connections.
type countingListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, l.writes}, nil
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}
