package dialer_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/proxy/http1"
)

// A connection that died idle, or on which bytes are readable, must not be reused through any kind of proxy.
func TestChecksIdleConnectionsThroughSOCKS5(t *testing.T) {
	for name, after := range map[string]func(net.Conn){
		"closed":      func(c net.Conn) { _ = c.Close() },
		"unsolicited": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL") },
	} {
		t.Run(name, func(t *testing.T) {
			api := brokertest.ServeRaw(t, func(c net.Conn) {
				r := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					time.AfterFunc(20*time.Millisecond, func() { after(c) })
				}
			})
			for kind, proxy := range map[string]func(*http.Request) (*url.URL, error){
				"direct": nil,
				"socks5": through(parse(t, "socks5://u:p@"+brokertest.ServeRaw(t, socksProxy(t, api)))),
			} {
				d := &dialer.Dialer{Server: parse(t, "http://example.com:443"), Proxy: proxy}
				if proxy == nil {
					d.Server = parse(t, "http://"+api)
				}
				client := &http1.Client{Dial: d.Dial, ResponseTimeout: 5 * time.Second}
				for i := range 2 {
					response, err := client.RoundTrip(&http1.ClientRequest{Method: "POST", Target: "/", Fields: http1.Fields{{Name: "Host", Value: "example.com"}}, Caller: caller{t.Context()}})
					if err != nil {
						t.Errorf("%s, request %d: got %v, want a response over a new connection", kind, i, err)
						continue
					}
					body, _ := io.ReadAll(response.Body)
					_ = response.Body.Close()
					if string(body) != "ok" {
						t.Errorf("%s, request %d: got %q, which is no response to it", kind, i, body)
					}
					time.Sleep(100 * time.Millisecond)
				}
				client.CloseIdle()
			}
		})
	}
}
