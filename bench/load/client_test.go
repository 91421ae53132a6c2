package load

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// connCounter counts the connections that are opened.
func connCounter(count *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count.Add(1)
		}
	}
}

func TestAnswers(t *testing.T) {
	const next = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		name, answer     string
		reusable, failed bool
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", true, false},
		{"a length in lower case", "HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nbody", true, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nbo\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", true, false},
		{"the last one", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", false, false},
		{"longer than the buffer", "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), true, false},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", false, true},
		{"another status", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false, true},
		{"no HTTP", "SSH-2.0-x\r\n\r\n", false, true},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			here, there := net.Pipe()
			defer func() { _ = here.Close() }()
			go func() {
				defer func() { _ = there.Close() }()
				buffer := make([]byte, 3)
				for _, answer := range []string{c.answer, next} {
					if _, err := io.ReadFull(there, buffer); err != nil {
						return
					}
					if _, err := io.WriteString(there, answer); err != nil {
						return
					}
				}
			}()
			client := newClient(here, []byte("ask"))
			reusable, err := client.roundTrip()
			if (err != nil) != c.failed || err == nil && reusable != c.reusable {
				t.Fatalf("reusable %v, error %v", reusable, err)
			}
			if err != nil || !reusable {
				return
			}
			if _, err := client.roundTrip(); err != nil {
				t.Errorf("the next answer is not found: %v", err)
			}
		})
	}
}

func TestACutAnswerFails(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Le",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n",
	} {
		here, there := net.Pipe()
		go func() {
			_, _ = io.ReadFull(there, make([]byte, 3))
			_, _ = io.WriteString(there, answer)
			_ = there.Close()
		}()
		if _, err := newClient(here, []byte("ask")).roundTrip(); err == nil {
			t.Errorf("%q counts as an answer", answer)
		}
		_ = here.Close()
	}
}
