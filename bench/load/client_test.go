package load

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// countConnections counts the connections that are opened.
func countConnections(count *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count.Add(1)
		}
	}
}

func TestRoundTripFindsTheEndOfTheResponse(t *testing.T) {
	const next = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		name, response   string
		reusable, failed bool
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", true, false},
		{"a length in lower case", "HTTP/1.1 200 OK\r\ncontent-length:4\r\n\r\nbody", true, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nbo\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", true, false},
		{"connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", false, false},
		{"longer than the buffer", "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), true, false},
		{"no length", "HTTP/1.1 200 OK\r\n\r\n", false, true},
		{"another status", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false, true},
		{"no HTTP", "SSH-2.0-x\r\n\r\n", false, true},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			connection, server := net.Pipe()
			defer func() { _ = connection.Close() }()
			go func() {
				defer func() { _ = server.Close() }()
				buffer := make([]byte, 3)
				for _, response := range []string{c.response, next} {
					if _, err := io.ReadFull(server, buffer); err != nil {
						return
					}
					if _, err := io.WriteString(server, response); err != nil {
						return
					}
				}
			}()
			testClient := newClient(connection, []byte("GET"))
			reusable, err := testClient.roundTrip()
			if (err != nil) != c.failed || err == nil && reusable != c.reusable {
				t.Fatalf("got reusable %v, error %v; want %v, an error: %v", reusable, err, c.reusable, c.failed)
			}
			if err != nil || !reusable {
				return
			}
			if _, err := testClient.roundTrip(); err != nil {
				t.Errorf("next response: got error %v, want none", err)
			}
		})
	}
}

func TestRoundTripFailsOnATruncatedResponse(t *testing.T) {
	for _, response := range []string{
		"HTTP/1.1 200 OK\r\nContent-Le",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbo",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n",
	} {
		connection, server := net.Pipe()
		go func() {
			_, _ = io.ReadFull(server, make([]byte, 3))
			_, _ = io.WriteString(server, response)
			_ = server.Close()
		}()
		if _, err := newClient(connection, []byte("GET")).roundTrip(); err == nil {
			t.Errorf("%q: got no error, want one", response)
		}
		_ = connection.Close()
	}
}
