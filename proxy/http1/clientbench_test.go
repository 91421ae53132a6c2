package http1_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// staysCaller is a Caller that never goes away. It costs nothing.
type staysCaller struct{}

func (staysCaller) Context() context.Context      { return context.Background() }
func (staysCaller) CancelWhenGone(http1.Canceler) {}

// answerAll answers whatever ends with an empty line.
func answerAll(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	response := []byte("HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\nETag: \"1\"\r\n\r\n{}")
	for request := make([]byte, 4096); ; {
		n, err := conn.Read(request)
		if err != nil {
			return
		}
		if bytes.HasSuffix(request[:n], []byte("\r\n\r\n")) {
			_, _ = conn.Write(response)
		}
	}
}

// hotRoundTrip returns a function that sends a request to a trivial upstream in the same process.
func hotRoundTrip(tb testing.TB) func() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(conn)
		}
	}()
	client := &http1.Client{ResponseTimeout: time.Minute, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	tb.Cleanup(client.CloseIdle)
	request := &http1.ClientRequest{
		Method: "GET",
		Target: "/reviews?count=10",
		Fields: http1.Fields{{Name: "Host", Value: "api.etrusted.com"}, {Name: "User-Agent", Value: "bench"}, {Name: "Accept", Value: "*/*"}, {Name: "Authorization", Value: "Bearer 0123456789abcdef"}},
		Caller: staysCaller{},
	}
	body := make([]byte, 512)
	return func() {
		response, err := client.RoundTrip(request)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, body[:2]); err != nil {
			tb.Fatal(err)
		}
		_ = response.Body.Close()
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	roundTrip := hotRoundTrip(b)
	b.ReportAllocs()
	for b.Loop() {
		roundTrip()
	}
}

// The header of the response is the one allocation.
func TestRoundTripAllocatesOnce(t *testing.T) { // not parallel: it counts what the whole program allocates
	if brokertest.RaceDetector {
		t.Skip("with the race detector, a sync.Pool drops a part of what it gets")
	}
	if got := testing.AllocsPerRun(100, hotRoundTrip(t)); got > 1 {
		t.Errorf("got %v allocations, want 1", got)
	}
}
