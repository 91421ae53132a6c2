package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkRequest measures one small request and its response over two open connections, between a client and an upstream
// that do next to nothing, without and with link rewriting.
func BenchmarkRequest(b *testing.B) {
	for name, changes := range map[string][]func(*setup){"links off": nil, "links on": {withLinkRewriting}} {
		b.Run(name, func(b *testing.B) {
			var response []byte
			addr := startRawUpstream(b, func(c net.Conn, r *bufio.Reader) {
				for skipHeader(r) == nil {
					if _, err := c.Write(response); err != nil {
						return
					}
				}
			})
			item := `{"id":"rev-1","rating":5,"comment":"` + strings.Repeat("good ", 80) + `","url":"http://` + addr + `/reviews/rev-1"}`
			body := `{"items":[` + item + `,` + item + `]}`
			response = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\nETag: \"v1\"\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			c := start(b, "http://"+addr, changes...).dial(b)
			reader := bufio.NewReader(c.Conn) // and not c.Reader, which keeps everything
			request := []byte("GET /reviews?count=10 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: app/1\r\nAccept: application/json\r\nConnection: keep-alive\r\nAuthorization: Bearer placeholder\r\n\r\n")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				if err := skipResponse(reader); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// skipHeader reads up to the empty line.
func skipHeader(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) == len("\r\n") {
			return err
		}
	}
}

// skipResponse reads a response with a Content-Length.
func skipResponse(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case len(line) == len("\r\n"):
			_, err := r.Discard(length)
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, digit := range bytes.TrimSpace(value) {
				length = length*10 + int(digit-'0')
			}
		}
	}
}

// BenchmarkLinks measures the same requests with and without rewriting, alternating, and reports the ratio of their times.
func BenchmarkLinks(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			item := `{"id":"rev-1","rating":5,"comment":"all \"good\"","url":"BASE/reviews/rev-1"},`
			up := startUpstream(b, 200, "["+strings.Repeat(item, size/len(item))+"{}]", "Content-Type: application/json")
			without, with := start(b, up), start(b, up, withLinkRewriting)
			took := func(through *broker) time.Duration {
				began := time.Now()
				response, err := through.client.Get(through.server.URL + "/reviews")
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				return time.Since(began)
			}
			var plain, rewritten time.Duration
			b.ReportAllocs()
			for b.Loop() {
				plain += took(without)
				rewritten += took(with)
			}
			b.ReportMetric(float64(rewritten)/float64(plain), "times")
		})
	}
}
