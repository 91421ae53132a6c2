package server

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/proxy/http2"
)

// The lines of the contract that an API with HTTP/2 could break: 1, and X9 to X11. More rows are in proxy/http2.

// startHTTP2 starts a broker between an app and an API that replies with frames. It returns the address for the app.
func startHTTP2(t *testing.T, windows chan<- uint32, reply func(brokertest.HTTP2Stream)) (addr string) {
	t.Helper()
	api := brokertest.ServeRawHTTP2(t, windows, reply)
	transport := newHTTP2Transport(new(dialer.AddressFilteringTCPDialer), 0)
	transport.TLSClientConfig.RootCAs = api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(transport.CloseIdleConnections)
	addr, _ = serveWithSmallBuffers(t, api.URL, http2.New(parseURL(t, api.URL), transport, 300*time.Millisecond), connectionLimits{app: 100, admin: 4})
	return addr
}

// http2Head replies with a header that has these fields, and no body.
func http2Head(fields ...string) func(brokertest.HTTP2Stream) {
	return func(s brokertest.HTTP2Stream) {
		s.Send(brokertest.HeadersFrame, brokertest.EndStream|brokertest.EndHeaders, brokertest.HTTP2Fields(fields...))
	}
}

func TestContract01TargetOverHTTP2(t *testing.T) {
	t.Parallel()
	addr := startHTTP2(t, make(chan uint32, 100), http2Head(":status", "200"))
	app := brokertest.DialRaw(t, addr)
	for _, target := range []string{"/a|b", "/ü", "//a/b", "//a/%7c?|"} {
		app.Send(brokertest.PlainRequest("GET " + target))
		checkFrom(t, app.Next("GET"), 200, "")
	}
	for _, target := range []string{"//a|b", "//ü", "//a/%7c|"} {
		app := brokertest.DialRaw(t, addr)
		app.Send(brokertest.PlainRequest("GET " + target))
		got := app.Next("GET")
		if checkOwn(t, got, 400); !strings.Contains(got.Body, "request target") {
			t.Errorf("%s: got %s, want a detail about the request target", target, got.Body)
		}
	}
}

func TestContract11And12And23OverHTTP2(t *testing.T) {
	t.Parallel()
	var reply atomic.Value // func(brokertest.HTTP2Stream)
	reply.Store(http2Head(":status", "200"))
	windows := make(chan uint32, 100)
	addr := startHTTP2(t, windows, func(s brokertest.HTTP2Stream) { reply.Load().(func(brokertest.HTTP2Stream))(s) })
	if got := brokertest.Receive(t, "the settings", windows); got > 256<<10 {
		t.Errorf("got an initial window of %d bytes, want at most 256 KiB", got)
	}
	for name, row := range map[string]struct {
		reply  func(brokertest.HTTP2Stream)
		status int // an own response if it is not below 500
	}{
		"204 with a length": {http2Head(":status", "204", "content-length", "9"), 204},
		"304 with a length": {http2Head(":status", "304", "content-length", "9"), 304},
		"101": {func(s brokertest.HTTP2Stream) {
			s.Send(brokertest.HeadersFrame, brokertest.EndHeaders, brokertest.HTTP2Fields(":status", "101"))
		}, 502},
		"status 1000":    {http2Head(":status", "1000"), 502},
		"two lengths":    {http2Head(":status", "200", "content-length", "0", "content-length", "0"), 502},
		"refused stream": {func(s brokertest.HTTP2Stream) { s.Send(brokertest.ResetFrame, 0, "\x00\x00\x00\x07") }, 504},
		"silence":        {func(brokertest.HTTP2Stream) {}, 504},
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
		reply.Store(func(s brokertest.HTTP2Stream) {
			s.Send(brokertest.HeadersFrame, brokertest.EndHeaders, brokertest.HTTP2Fields(":status", "200", "content-length", "1"))
			s.Send(brokertest.DataFrame, brokertest.EndStream, "ok")
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
