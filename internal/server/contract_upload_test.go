package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

func TestContract16PartialUploadsLookPartial(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	for name, row := range map[string]struct{ fields, part string }{
		"length":                   {"Content-Length: 70000", strings.Repeat("a", 60_000)},
		"between two chunks":       {"Transfer-Encoding: chunked", "5\r\nhello\r\n"},
		"within a chunk":           {"Transfer-Encoding: chunked", "5\r\nhe"},
		"before the last line end": {"Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"},
	} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reset %t", name, reset), func(t *testing.T) {
				app := c.Dial(t)
				app.Send(brokertest.PlainRequest("POST /x", row.fields) + row.part)
				api := c.api.accept(t)
				head, _ := api.head()
				if reset {
					_ = app.Conn.(*net.TCPConn).SetLinger(0)
				}
				_ = app.Close()
				if body, ok := api.body(head); ok {
					t.Errorf("got %d bytes that look complete, want a cut", len(body))
				}
			})
		}
	}
	t.Run("half of a short body", func(t *testing.T) {
		opened := c.api.openedConns()
		app := c.Dial(t)
		app.Send(brokertest.PlainRequest("POST /x", "Content-Length: 10") + "hello")
		_ = app.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, app.Reader)
		if got := c.api.openedConns() - opened; got != 0 {
			t.Errorf("got %d connections at the API, want 0", got)
		}
	})
}

// X4 (a).
func TestContract18ContinueFollowsTheAPI(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	const request = "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
	body := strings.Repeat("a", 100_000)
	begin := func(t *testing.T) (*brokertest.RawConn, *apiConn) {
		t.Helper()
		app := c.Dial(t)
		app.Send(request)
		api := c.api.accept(t)
		if head, _ := api.head(); fieldOf(head, "Expect") != "100-continue" {
			t.Errorf("got %q at the API, want Expect", head)
		}
		return app, api
	}
	t.Run("100", func(t *testing.T) {
		app, api := begin(t)
		api.send("HTTP/1.1 100 Continue\r\n\r\n")
		checkBytes(t, readHead(t, app), "HTTP/1.1 100 Continue\r\n\r\n")
		app.Send(body)
		checkBytes(t, readText(t, api, len(body)), body)
		api.send("HTTP/1.1 100 Continue\r\n\r\n" + okResponse) // the second 100 ends here
		checkFrom(t, app.Next("POST"), 200, "ok")
		if got := strings.Count(app.Seen.String(), "100 Continue"); got != 1 {
			t.Errorf("got 100 %d times, want once", got)
		}
		api.finish()
	})
	for name, row := range map[string]struct {
		reply  string
		status int
	}{
		"413 without a body": {"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", 413},
		"413 with a body":    {"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno", 413},
		"417":                {"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 417},
		"200":                {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200},
	} {
		for _, closes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closes %t", name, closes), func(t *testing.T) {
				app, api := begin(t)
				api.send(row.reply)
				if closes {
					api.finish()
				}
				got := app.Next("POST")
				if got.Status != row.status || got.Err != nil || got.Header.Get("Proxy-Status") != "" {
					t.Errorf("got %d, %v, %v, want the API's %d", got.Status, got.Err, got.Header, row.status)
				}
				if text := app.Seen.String(); strings.Contains(text, "100 Continue") || !strings.Contains(text, "Connection: close\r\n") {
					t.Errorf("got %q, want Connection: close and no 100", text)
				}
				api.finish()
			})
		}
	}
	for name, end := range map[string]func(*apiConn){"hang-up": (*apiConn).finish, "nonsense": func(api *apiConn) { api.send("nonsense\r\n\r\n") }} {
		t.Run(name, func(t *testing.T) {
			app, api := begin(t)
			end(api)
			checkOwn(t, app.Next("POST"), 502)
			if strings.Contains(app.Seen.String(), "100 Continue") {
				t.Errorf("got %q, want no 100", app.Seen.String())
			}
		})
	}
	t.Run("1 s of silence", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, func(*setup) {})
			app := c.Dial(t)
			app.Send(brokertest.PlainRequest("POST /x", "Expect: 100-continue", "Transfer-Encoding: chunked"))
			api := <-c.api.conns
			api.head()
			began := time.Now()
			checkBytes(t, readHead(t, app), "HTTP/1.1 100 Continue\r\n\r\n")
			if took := time.Since(began); took != time.Second {
				t.Errorf("got 100 after %v, want 1s", took)
			}
		})
	})
}

// X1 and X4 (b).
func TestContract19EarlyResponses(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	begin := func(t *testing.T, framing string) (*brokertest.RawConn, *apiConn) {
		t.Helper()
		app := c.Dial(t)
		app.Send(brokertest.PlainRequest("POST /x", framing))
		api := c.api.accept(t)
		api.head()
		return app, api
	}
	const length = "Content-Length: 10000000"
	for _, framing := range []string{length, "Transfer-Encoding: chunked"} {
		t.Run("the upload pauses, "+framing, func(t *testing.T) {
			app, api := begin(t, framing)
			api.send(okResponse)
			checkFrom(t, app.Next("POST"), 200, "ok")
			if !strings.Contains(app.Seen.String(), "Connection: close\r\n") {
				t.Errorf("got %q, want Connection: close", app.Seen.String())
			}
			api.finish()
		})
	}
	t.Run("the upload goes on", func(t *testing.T) {
		app, api := begin(t, "Transfer-Encoding: chunked")
		api.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		readHead(t, app)
		app.Send("5\r\nhello\r\n0\r\n\r\n")
		checkBytes(t, readText(t, api, len("5\r\nhello\r\n0\r\n\r\n")), "5\r\nhello\r\n0\r\n\r\n")
		api.send("0\r\n\r\n")
		checkBytes(t, string(readChunked(t, app)), "2\r\nok\r\n0\r\n\r\n")
		api.finish()
	})
	for name, end := range map[string]func(*apiConn){"closes": (*apiConn).finish, "resets": (*apiConn).resetAfterResponse} {
		t.Run("the API refuses and "+name, func(t *testing.T) {
			for range 10 {
				app, api := begin(t, length)
				go func() { _, _ = io.Copy(app, io.LimitReader(zeros{}, 10_000_000)) }()
				readText(t, api, 1000)
				api.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
				end(api)
				checkFrom(t, app.Next("POST"), 413, "big")
			}
		})
	}
	for name, end := range map[string]func(*apiConn){
		"closes": (*apiConn).finish, "resets": (*apiConn).reset, "sends nonsense": func(api *apiConn) { api.send("nonsense\r\n\r\n") },
	} {
		for _, framing := range []string{length, "Transfer-Encoding: chunked"} {
			t.Run("the upload pauses and the API "+name+", "+framing, func(t *testing.T) {
				app, api := begin(t, framing)
				end(api)
				checkOwn(t, app.Next("POST"), 502)
			})
		}
	}
}

// resetAfterResponse resets the connection once the response has left: the reset would overtake it.
func (c *apiConn) resetAfterResponse() {
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	time.Sleep(time.Millisecond)
	c.reset()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func readChunked(t *testing.T, app *brokertest.RawConn) []byte {
	t.Helper()
	text, err := app.Reader.ReadString('0')
	if err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, len("\r\n\r\n"))
	if _, err := io.ReadFull(app.Reader, rest); err != nil {
		t.Fatal(err)
	}
	return append([]byte(text), rest...)
}
