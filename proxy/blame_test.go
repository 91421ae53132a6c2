package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// A broken request body is the app's fault, not the API's.
func TestBlamesTheClientForABrokenBody(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		b := start(t, startRecorder(t, kind, nil).url)
		for name, request := range map[string]string{
			"bad chunk":              "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
			"bad trailer":            "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nno colon\r\n\r\n",
			"bad trailer announced":  "Transfer-Encoding: chunked\r\nTrailer: a b\r\n\r\n0\r\n\r\n",
			"bad trailer announced2": "Transfer-Encoding: chunked\r\nTrailer: \xe9\r\n\r\n0\r\n\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				c := b.dial(t)
				c.send("POST /x HTTP/1.1\r\nHost: localhost\r\n", request)
				a := c.result("POST")
				if a.status/100 == 5 {
					t.Errorf("got %d %s, want no 5xx", a.status, a.body)
				}
				if r := b.record(t); r.ProxyError != "" && r.ProxyError != "http_request_error" {
					t.Errorf("got %+v, want the problem http_request_error or none", r)
				}
			})
		}
	})
}

// The last bytes of a Content-Length must not wait for the end of the stream.
func TestForwardsLastBytesAtOnce(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		next := make(chan struct{})
		defer close(next)
		b := start(t, serve(t, kind, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "body")
			_ = http.NewResponseController(w).Flush()
			<-next
		}))
		c := b.dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if a := c.result("GET"); a.body != "body" || a.err != nil {
			t.Errorf("got %+v, want the whole body", a)
		}
	})
}

// An upstream that switches protocols without being asked violates HTTP.
func TestRefusesUnrequestedProtocolSwitch(t *testing.T) {
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		afterRequest("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")(c, r)
		_, _ = io.Copy(io.Discard, r)
	})
	c := start(t, "http://"+addr).dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	wantProblem(t, c.result("GET"), 502, "http_protocol_error")
}
