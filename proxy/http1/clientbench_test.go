package http1_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// hotRoundTrip returns a function that sends a request to a trivial upstream in the same process.
func hotRoundTrip(tb testing.TB) func() {
	u := startUpstream(tb, func(c *upstreamConn) { // it answers whatever ends with an empty line, without an allocation
		_ = c.SetDeadline(time.Time{})
		response := []byte("HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\nETag: \"1\"\r\n\r\n{}")
		for request := make([]byte, 4096); ; {
			n, err := c.Conn.Read(request)
			if err != nil {
				return
			}
			if bytes.HasSuffix(request[:n], []byte("\r\n\r\n")) {
				_, _ = c.Write(response)
			}
		}
	})
	request := &http1.ClientRequest{
		Method: "GET",
		Target: "/reviews?count=10",
		Fields: http1.Fields{{Name: "Host", Value: "api.etrusted.com"}, {Name: "User-Agent", Value: "bench"}, {Name: "Accept", Value: "*/*"}, {Name: "Authorization", Value: "Bearer 0123456789abcdef"}},
		Caller: background{},
	}
	body := make([]byte, 512)
	return func() {
		response, err := u.client.RoundTrip(request)
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
