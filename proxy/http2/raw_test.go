package http2_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/proxy/http2"
)

// Types of frames and a setting: RFC 9113 sections 6 and 6.5.2.
const (
	dataFrame, headersFrame, resetFrame, settingsFrame = 0, 1, 3, 4
	initialWindowSize                                  = 4
)

func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload string) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), stream)
	_, _ = w.Write(append(frame, payload...))
}

// fields encodes names and values as literals that are not indexed: RFC 7541 section 6.2.2.
func fields(pairs ...string) (block string) {
	for i := 0; i < len(pairs); i += 2 {
		block += "\x00" + string(rune(len(pairs[i]))) + pairs[i] + string(rune(len(pairs[i+1]))) + pairs[i+1]
	}
	return block
}

// startRaw starts a server that speaks HTTP/2 only as far as answer does: it is called for each request. settings receives the
// initial window size of each connection.
func startRaw(t *testing.T, timeout time.Duration, windows chan<- uint32, answer func(c io.Writer, stream uint32)) *http2.Client {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			defer func() { _ = c.Close() }()
			_, _ = io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
			writeFrame(c, settingsFrame, 0, 0, "")
			for {
				var header [9]byte
				if _, err := io.ReadFull(c, header[:]); err != nil {
					return
				}
				payload := make([]byte, binary.BigEndian.Uint32(header[:])>>8)
				_, _ = io.ReadFull(c, payload)
				switch header[3] {
				case settingsFrame:
					for setting := range slices.Chunk(payload, 6) {
						if binary.BigEndian.Uint16(setting) == initialWindowSize {
							windows <- binary.BigEndian.Uint32(setting[2:])
						}
					}
				case headersFrame:
					answer(c, binary.BigEndian.Uint32(header[5:]))
				}
			}
		},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return newClient(t, s.URL, timeout, s.Client().Transport.(*http.Transport))
}

// TestChecksResponse has responses that net/http accepts or refuses, and should not.
func TestChecksResponse(t *testing.T) {
	const end, endOfHeaders = 1, 4
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
			client := startRaw(t, 5*time.Second, make(chan uint32, 9), func(c io.Writer, stream uint32) {
				writeFrame(c, headersFrame, end|endOfHeaders, stream, fields(test.fields...))
			})
			response, body, err := roundTrip(client, newRequest(t, "GET"))
			if (err == nil) != (test.status != 0) || err == nil && (response.Status != test.status || body != "") {
				t.Errorf("got %+v, %q, %v, want %d", response, body, err, test.status)
			}
		})
	}
	t.Run("101", func(t *testing.T) {
		client := startRaw(t, 5*time.Second, make(chan uint32, 9), func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endOfHeaders, stream, fields(":status", "101"))
		})
		if _, _, err := roundTrip(client, newRequest(t, "GET")); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want an error at once", err)
		}
	})
	t.Run("more data than announced", func(t *testing.T) {
		client := startRaw(t, 5*time.Second, make(chan uint32, 9), func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endOfHeaders, stream, fields(":status", "200", "content-length", "1"))
			writeFrame(c, dataFrame, end, stream, "ok")
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
	client := startRaw(t, 100*time.Millisecond, make(chan uint32, 9), func(c io.Writer, stream uint32) {
		requests.Add(1)
		writeFrame(c, resetFrame, 0, stream, refusedStream)
	})
	if _, _, err := roundTrip(client, newRequest(t, "POST")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v after %d requests, want a timeout", err, requests.Load())
	}
}

func TestWindowIsSmall(t *testing.T) {
	windows := make(chan uint32, 9)
	client := startRaw(t, 5*time.Second, windows, func(c io.Writer, stream uint32) {
		writeFrame(c, headersFrame, 5, stream, fields(":status", "200"))
	})
	if _, _, err := roundTrip(client, newRequest(t, "GET")); err != nil {
		t.Fatal(err)
	}
	if got := <-windows; got > 256<<10 {
		t.Errorf("got an initial window of %d bytes, want at most 256 KiB", got)
	}
}
