package server

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/proxy/http2"
)

// The lines of the contract that an API with HTTP/2 could break: X9 to X11. More rows are in proxy/http2.

// Types of frames, flags and a setting: RFC 9113 sections 6 and 6.5.2.
const (
	dataFrame, headersFrame, resetFrame, settingsFrame = 0, 1, 3, 4
	endStream, endHeaders                              = 1, 4
	initialWindowSize                                  = 4
)

func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload string) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), stream)
	_, _ = w.Write(append(frame, payload...))
}

// literalFields encodes names and values as literals that are not indexed: RFC 7541 section 6.2.2.
func literalFields(pairs ...string) (block string) {
	for _, text := range pairs {
		block += string(rune(len(text))) + text
	}
	return block
}

// serveHTTP2 serves a connection with HTTP/2 only as far as reply does, which is called for each request. windows receives the
// initial window size.
func serveHTTP2(c *tls.Conn, windows chan<- uint32, reply func(c io.Writer, stream uint32)) {
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
			reply(c, binary.BigEndian.Uint32(header[5:]))
		}
	}
}

func TestContract11And12And23OverHTTP2(t *testing.T) {
	t.Parallel()
	status := func(status string) string { return "\x00\x07:status" + literalFields(status) }
	length := func(length string) string { return "\x00\x0econtent-length" + literalFields(length) }
	var reply atomic.Value // func(io.Writer, uint32)
	windows := make(chan uint32, 100)
	api := httptest.NewUnstartedServer(nil)
	api.TLS = &tls.Config{NextProtos: []string{"h2"}}
	api.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			serveHTTP2(c, windows, func(c io.Writer, stream uint32) { reply.Load().(func(io.Writer, uint32))(c, stream) })
		},
	}
	api.StartTLS()
	t.Cleanup(api.Close)
	reply.Store(func(c io.Writer, stream uint32) {
		writeFrame(c, headersFrame, endStream|endHeaders, stream, status("200"))
	})
	transport := newHTTP2Transport(new(dialer.Network))
	transport.TLSClientConfig.RootCAs = api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(transport.CloseIdleConnections)
	addr, _ := serveWithSmallBuffers(t, api.URL, http2.New(configFor(t, api.URL).API, transport, 300*time.Millisecond), limits{app: 100, admin: 4})
	if got := brokertest.Receive(t, "the settings", windows); got > 256<<10 {
		t.Errorf("got an initial window of %d bytes, want at most 256 KiB", got)
	}
	for name, row := range map[string]struct {
		reply  func(c io.Writer, stream uint32)
		status int // an own response if it is not below 500
	}{
		"204 with a length": {func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endStream|endHeaders, stream, status("204")+length("9"))
		}, 204},
		"304 with a length": {func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endStream|endHeaders, stream, status("304")+length("9"))
		}, 304},
		"101": {func(c io.Writer, stream uint32) { writeFrame(c, headersFrame, endHeaders, stream, status("101")) }, 502},
		"status 1000": {func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endStream|endHeaders, stream, status("1000"))
		}, 502},
		"two lengths": {func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endStream|endHeaders, stream, status("200")+length("0")+length("0"))
		}, 502},
		"refused stream": {func(c io.Writer, stream uint32) { writeFrame(c, resetFrame, 0, stream, "\x00\x00\x00\x07") }, 504},
		"silence":        {func(io.Writer, uint32) {}, 504},
	} {
		t.Run(name, func(t *testing.T) {
			reply.Store(row.reply)
			app := brokertest.DialRaw(t, addr)
			app.Send(brokertest.PlainRequest("GET /x"))
			got := app.Next("GET")
			if row.status >= 500 {
				checkOwn(t, got, row.status)
			} else {
				checkFrom(t, got, row.status, "")
			}
		})
	}
	t.Run("more DATA than its length", func(t *testing.T) {
		reply.Store(func(c io.Writer, stream uint32) {
			writeFrame(c, headersFrame, endHeaders, stream, status("200")+length("1"))
			writeFrame(c, dataFrame, endStream, stream, "ok")
		})
		app := brokertest.DialRaw(t, addr)
		app.Send(brokertest.PlainRequest("GET /x"))
		if got := app.Next("GET"); got.Err == nil && got.Status != 502 {
			t.Errorf("got %+v, want 502 or a cut", got)
		}
		if len(app.Seen.String()) == 0 {
			t.Error("got no byte, want 502 or a cut")
		}
	})
}
