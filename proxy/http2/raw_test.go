package http2_test

import (
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http2"
)

// startRaw starts a server that replies with frames, and returns a client for it.
func startRaw(t *testing.T, timeout time.Duration, windows chan<- uint32, reply func(brokertest.HTTP2Stream)) *http2.Client {
	t.Helper()
	s := brokertest.ServeRawHTTP2(t, windows, reply)
	return newClient(t, s.URL, timeout, s.Client().Transport.(*http.Transport))
}

// TestChecksResponse has responses that net/http accepts or refuses, and should not.
func TestChecksResponse(t *testing.T) {
	for name, test := range map[string]struct {
		fields []string
		status int // 0 means an error
	}{
		"zeros before the length": {[]string{":status", "200", "content-length", "000"}, 200},
		"two lengths":             {[]string{":status", "200", "content-length", "0", "content-length", "0"}, 0},
		"no number":               {[]string{":status", "200", "content-length", "+0"}, 0},
		"204 with a length":       {[]string{":status", "204", "content-length", "9"}, 204},
		"304 with a length":       {[]string{":status", "304", "content-length", "9"}, 304},
		"status 1000":             {[]string{":status", "1000"}, 0},
		"status 0":                {[]string{":status", "0"}, 0},
		"status 999":              {[]string{":status", "999"}, 999},
	} {
		t.Run(name, func(t *testing.T) {
			client := startRaw(t, 5*time.Second, make(chan uint32, 9), func(s brokertest.HTTP2Stream) {
				s.Send(brokertest.HeadersFrame, brokertest.EndStream|brokertest.EndHeaders, brokertest.HTTP2Fields(test.fields...))
			})
			response, body, err := roundTrip(client, newRequest(t, "GET"))
			if (err == nil) != (test.status != 0) || err == nil && (response.Status != test.status || body != "") {
				t.Errorf("got %+v, %q, %v, want %d", response, body, err, test.status)
			}
		})
	}
	t.Run("101", func(t *testing.T) {
		client := startRaw(t, 5*time.Second, make(chan uint32, 9), func(s brokertest.HTTP2Stream) {
			s.Send(brokertest.HeadersFrame, brokertest.EndHeaders, brokertest.HTTP2Fields(":status", "101"))
		})
		if _, _, err := roundTrip(client, newRequest(t, "GET")); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want an error at once", err)
		}
	})
	t.Run("more data than announced", func(t *testing.T) {
		client := startRaw(t, 5*time.Second, make(chan uint32, 9), func(s brokertest.HTTP2Stream) {
			s.Send(brokertest.HeadersFrame, brokertest.EndHeaders, brokertest.HTTP2Fields(":status", "200", "content-length", "1"))
			s.Send(brokertest.DataFrame, brokertest.EndStream, "ok")
		})
		if response, _, err := roundTrip(client, newRequest(t, "GET")); err == nil {
			t.Errorf("got %+v, want an error", response)
		}
	})
}

// net/http sends a request again, several times with pauses, if the server refuses the stream.
func TestTimeoutBoundsRefusedStreams(t *testing.T) {
	const refusedStream = "\x00\x00\x00\x07"
	var requests atomic.Int32
	client := startRaw(t, 100*time.Millisecond, make(chan uint32, 9), func(s brokertest.HTTP2Stream) {
		requests.Add(1)
		s.Send(brokertest.ResetFrame, 0, refusedStream)
	})
	if _, _, err := roundTrip(client, newRequest(t, "POST")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v after %d requests, want a timeout", err, requests.Load())
	}
}

func TestWindowIsSmall(t *testing.T) {
	windows := make(chan uint32, 9)
	client := startRaw(t, 5*time.Second, windows, func(s brokertest.HTTP2Stream) {
		s.Send(brokertest.HeadersFrame, brokertest.EndStream|brokertest.EndHeaders, brokertest.HTTP2Fields(":status", "200"))
	})
	if _, _, err := roundTrip(client, newRequest(t, "GET")); err != nil {
		t.Fatal(err)
	}
	if got := <-windows; got > 256<<10 {
		t.Errorf("got an initial window of %d bytes, want at most 256 KiB", got)
	}
}
