package server

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestContract15ExchangeEndsWithTheApp(t *testing.T) {
	t.Parallel()
	leaving := map[string]func(*brokertest.RawConn){
		"FIN":        func(app *brokertest.RawConn) { _ = app.Close() },
		"RST":        func(app *brokertest.RawConn) { _ = app.Conn.(*net.TCPConn).SetLinger(0); _ = app.Close() },
		"half-close": func(app *brokertest.RawConn) { _ = app.Conn.(*net.TCPConn).CloseWrite() },
	}
	c := startContract(t, nil)
	for how, leave := range leaving {
		for request, text := range map[string]string{
			"GET":         brokertest.PlainRequest("GET /x"),
			"POST":        post("/x", "hello"),
			"chunked":     brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\n\r\n",
			"100 kB":      post("/x", strings.Repeat("a", 100_000)),
			"HTTP/1.0":    "GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n",
			"CRLF behind": post("/x", "hello") + "\r\n",
		} {
			t.Run(how+" after "+request, func(t *testing.T) {
				before := len(c.Logs.Lines("request"))
				app := c.Dial(t)
				app.Send(text)
				api := c.api.accept(t)
				if _, ok := api.request(); !ok {
					t.Fatal("got no request at the API")
				}
				leave(app)
				if got := api.rest(); got != "" {
					t.Errorf("got %q at the API, want the end", got)
				}
				brokertest.Eventually(t, "the log has the request", func() bool { return len(c.Logs.Lines("request")) > before })
				if line := c.Logs.Lines("request")[before]; line["status"] != 499.0 {
					t.Errorf("got status %v in the log, want 499", line["status"])
				}
				if rest, _ := io.ReadAll(app.Reader); len(rest) > 0 { // one that has only half-closed must not believe that it was answered
					t.Errorf("the app got %q, want nothing", rest)
				}
			})
		}
		t.Run(how+" during the response", func(t *testing.T) {
			before := len(c.Logs.Lines("request"))
			app := c.Dial(t)
			app.Send(brokertest.PlainRequest("GET /x"))
			api := c.api.accept(t)
			api.head()
			api.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
			readHead(t, app)
			leave(app)
			if got := api.rest(); got != "" {
				t.Errorf("got %q at the API, want the end", got)
			}
			brokertest.Eventually(t, "the log has the request", func() bool { return len(c.Logs.Lines("request")) > before })
			if line := c.Logs.Lines("request")[before]; line["broken"] != true {
				t.Errorf("got the log line %v, want broken", line)
			}
		})
	}
}

// The times that line 15 gives: nothing that a request waits for may delay the end of its exchange.
func TestContract15ExchangeEndsWithin50Milliseconds(t *testing.T) {
	t.Parallel()
	const bar = 50 * time.Millisecond
	ends := func(t *testing.T, c *timedContract, app *brokertest.RawConn, request string, ended func()) {
		t.Helper()
		app.Send(request)
		time.Sleep(time.Second)
		synctest.Wait()
		began := time.Now()
		_ = app.Close()
		ended()
		if took := time.Since(began); took > bar {
			t.Errorf("the exchange ended after %v, want at most %v", took, bar)
		}
		synctest.Wait()
		if line := waitForStatus(t, c.logs, 499); line["status"] != 499.0 {
			t.Errorf("got the log line %v, want status 499", line)
		}
	}
	t.Run("while the API thinks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, func(*setup) {})
			app := c.Dial(t)
			ends(t, c, app, brokertest.PlainRequest("GET /x"), func() {
				api := <-c.api.conns
				api.head()
				api.rest()
			})
		})
	})
	t.Run("while the broker connects", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan struct{})
			c := newTimedContract(t, func(s *setup) {
				s.toAPI.Dial = func(ctx context.Context) (net.Conn, error) {
					<-ctx.Done()
					close(ended)
					return nil, ctx.Err()
				}
			})
			ends(t, c, c.Dial(t), brokertest.PlainRequest("GET /x"), func() { <-ended })
		})
	})
	t.Run("while the app pauses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, func(*setup) {})
			c.waitForToken(t)
			ends(t, c, c.Dial(t), brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked")+"1\r\na\r\n", func() {
				api := <-c.api.conns
				api.head()
				api.rest()
			})
		})
	})
	t.Run("while it streams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, func(*setup) {})
			c.waitForToken(t)
			app := c.Dial(t)
			app.Send(brokertest.PlainRequest("GET /x"))
			api := <-c.api.conns
			api.head()
			api.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
			readHead(t, app)
			_, _ = app.Reader.ReadString('k')
			_, _ = app.Reader.ReadString('\n')
			time.Sleep(time.Second)
			began := time.Now()
			_ = app.Close()
			api.rest()
			if took := time.Since(began); took > bar {
				t.Errorf("the exchange ended after %v, want at most %v", took, bar)
			}
		})
	})
	t.Run("while it waits for a token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, func(*setup) {})
			c.eTrusted.SetTokenFault(fakeetrusted.Hang())
			ends(t, c, c.Dial(t), brokertest.PlainRequest("GET /x"), func() {
				time.Sleep(bar)
				synctest.Wait()
				if got := len(c.logs.Lines("request")); got != 1 {
					t.Errorf("got %d log lines after %v, want 1", got, bar)
				}
			})
		})
	})
}
