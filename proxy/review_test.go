package proxy_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// With -race: the API rejects the token while a chunked upload that has become too long to be kept is still being sent. The
// goroutine that sends drops what was kept, while the request's goroutine asks whether it was.
func TestEarly401DuringUpload(t *testing.T) {
	up := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, r)
	})
	slowly := func(s *setup) {
		s.Retry, s.RetryBuffer = true, 1000
		s.fakeTokens().invalidate = func(string) bool {
			time.Sleep(100 * time.Millisecond) // the upload goes on
			return true
		}
	}
	for range 3 {
		b := start(t, "http://"+up, slowly)
		c := b.dial(t)
		c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		go func() {
			for range 40 {
				time.Sleep(3 * time.Millisecond)
				_, _ = io.WriteString(c, "64\r\n"+strings.Repeat("x", 100)+"\r\n")
			}
		}()
		if got := c.result("POST"); got.status != 401 {
			t.Errorf("got %d, want 401", got.status)
		}
	}
}
