package brokertest

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// Types of frames: RFC 9113 section 6.
const (
	DataFrame     = 0
	HeadersFrame  = 1
	ResetFrame    = 3
	settingsFrame = 4
)

// Flags of DATA and HEADERS frames.
const (
	EndStream  = 1
	EndHeaders = 4
)

// initialWindowSize is a setting: RFC 9113 section 6.5.2.
const initialWindowSize = 4

// HTTP2Stream is a request at a server of ServeRawHTTP2.
type HTTP2Stream struct {
	conn io.Writer
	id   uint32
}

// Send sends a frame. It ignores errors: the client may have closed the connection.
func (s HTTP2Stream) Send(kind, flags byte, payload string) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), s.id)
	_, _ = s.conn.Write(append(frame, payload...))
}

// HTTP2Fields returns the payload of a HEADERS frame. Names and values, in turn, are literals that are not indexed: RFC 7541
// section 6.2.2.
func HTTP2Fields(pairs ...string) (block string) {
	for pair := range slices.Chunk(pairs, 2) {
		block += "\x00" + string(rune(len(pair[0]))) + pair[0] + string(rune(len(pair[1]))) + pair[1]
	}
	return block
}

// ServeRawHTTP2 starts a server that speaks HTTP/2 only as far as reply does, which is called for each request. windows receives
// the initial window size of each connection.
func ServeRawHTTP2(t *testing.T, windows chan<- uint32, reply func(HTTP2Stream)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			defer func() { _ = c.Close() }()
			serveRawHTTP2(c, windows, reply)
		},
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func serveRawHTTP2(c io.ReadWriter, windows chan<- uint32, reply func(HTTP2Stream)) {
	_, _ = io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	HTTP2Stream{c, 0}.Send(settingsFrame, 0, "")
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
		case HeadersFrame:
			reply(HTTP2Stream{c, binary.BigEndian.Uint32(header[5:])})
		}
	}
}
