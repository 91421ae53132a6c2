package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/http1"
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
				app := c.dial(t)
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
			app := c.dial(t)
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
			c := newTimedContract(t, nil, nil)
			app := c.dial(t)
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
			c := newTimedContract(t, nil, func(client *http1.Client) {
				client.Dial = func(ctx context.Context) (net.Conn, error) {
					<-ctx.Done()
					close(ended)
					return nil, ctx.Err()
				}
			})
			ends(t, c, c.dial(t), brokertest.PlainRequest("GET /x"), func() { <-ended })
		})
	})
	t.Run("while the app pauses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, nil, nil)
			c.waitForToken(t)
			ends(t, c, c.dial(t), brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked")+"1\r\na\r\n", func() {
				api := <-c.api.conns
				api.head()
				api.rest()
			})
		})
	})
	t.Run("while it streams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newTimedContract(t, nil, nil)
			c.waitForToken(t)
			app := c.dial(t)
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
			c := newTimedContract(t, nil, nil)
			c.eTrusted.SetTokenFault(fakeetrusted.Hang())
			ends(t, c, c.dial(t), brokertest.PlainRequest("GET /x"), func() {
				time.Sleep(bar)
				synctest.Wait()
				if got := len(c.logs.Lines("request")); got != 1 {
					t.Errorf("got %d log lines after %v, want 1", got, bar)
				}
			})
		})
	})
}

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
				app := c.dial(t)
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
		app := c.dial(t)
		app.Send(brokertest.PlainRequest("POST /x", "Content-Length: 10") + "hello")
		_ = app.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, app.Reader)
		if got := c.api.openedConns() - opened; got != 0 {
			t.Errorf("got %d connections at the API, want 0", got)
		}
	})
}

func TestContract17PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	const count = 20
	app := c.dial(t)
	var requests strings.Builder
	for i := range count {
		requests.WriteString(post(fmt.Sprintf("/%d", i), "body"))
	}
	app.Send(requests.String() + "GET /bad HTTP/1.1\r\n\r\n" + brokertest.PlainRequest("GET /after"))
	api := c.api.accept(t)
	for i := range count {
		request, ok := api.request()
		if !ok || !strings.HasPrefix(request, fmt.Sprintf("POST /%d ", i)) {
			t.Fatalf("got %q at the API, want request %d", request, i)
		}
		if got := c.api.openedConns(); got != 1 {
			t.Fatalf("got %d connections at the API, want 1: one request at a time", got)
		}
		if i == 0 {
			app.Send("\r\n") // more bytes of the app do not cancel what is being served
		}
		text := fmt.Sprint(i)
		api.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
		checkFrom(t, app.Next("POST"), 200, text)
	}
	checkOwn(t, app.Next("GET"), 400)
	if got := app.Rest(t); len(got) > 0 {
		t.Errorf("got the further statuses %v, want the connection closed", got)
	}
}

// X4 (a).
func TestContract18ContinueFollowsTheAPI(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	const request = "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
	body := strings.Repeat("a", 100_000)
	begin := func(t *testing.T) (*brokertest.RawConn, *apiConn) {
		t.Helper()
		app := c.dial(t)
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
			c := newTimedContract(t, nil, nil)
			app := c.dial(t)
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
		app := c.dial(t)
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

// X5.
func TestContract20RequestsAreRetriedOnce(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*apiConn){"FIN": (*apiConn).finish, "RST": (*apiConn).reset} {
		t.Run("idle connections die by "+name, func(t *testing.T) {
			c, died := startContract(t, answer), make(chan struct{})
			c.api.set(okResponse, func(api *apiConn) { end(api); died <- struct{}{} })
			for range 10 {
				for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"} {
					if _, got := c.send(t, brokertest.PlainRequest(method+" /x", "Content-Length: 2")+"ab"); got.Status != 200 {
						t.Errorf("%s: got %+v, want 200", method, got)
					}
					brokertest.Receive(t, "the end of the connection", died)
				}
			}
			if got := len(c.api.take()); got != 60 {
				t.Errorf("got %d requests at the API, want 60", got)
			}
		})
	}
	const pooled = 30
	for name, row := range map[string]struct {
		request string
		times   int // at the API
	}{
		"GET":                       {brokertest.PlainRequest("GET /x"), 2},
		"HEAD":                      {brokertest.PlainRequest("HEAD /x"), 2},
		"OPTIONS":                   {brokertest.PlainRequest("OPTIONS /x"), 2},
		"POST with Idempotency-Key": {post("/x", "ab", "Idempotency-Key: 1"), 2},
		"streamed with that key":    {brokertest.PlainRequest("POST /x", "Idempotency-Key: 1", "Transfer-Encoding: chunked") + "0\r\n\r\n", 1},
		"POST":                      {post("/x", "ab"), 1},
		"PUT":                       {brokertest.PlainRequest("PUT /x", "Content-Length: 2") + "ab", 1},
		"DELETE":                    {brokertest.PlainRequest("DELETE /x"), 1},
		"PATCH":                     {brokertest.PlainRequest("PATCH /x", "Content-Length: 2") + "ab", 1},
	} {
		t.Run(name+" on a connection that dies", func(t *testing.T) {
			t.Parallel()
			gate := make(chan struct{})
			c := startContract(t, func(api *apiConn) {
				if _, ok := api.request(); ok {
					<-gate
					api.send(okResponse)
					api.request() // and the connection is closed
				}
			})
			apps := make([]*brokertest.RawConn, pooled)
			for i := range apps {
				apps[i] = c.dial(t)
				apps[i].Send(brokertest.PlainRequest("GET /fill"))
			}
			brokertest.Eventually(t, "all requests are at the API", func() bool { return c.api.openedConns() == pooled })
			close(gate)
			for _, app := range apps {
				checkFrom(t, app.Next("GET"), 200, "ok")
			}
			c.api.take()
			_, got := c.send(t, row.request)
			if row.times == 1 {
				checkOwn(t, got, 502)
			} else if got.Status != 200 {
				t.Errorf("got %+v, want 200 after a retry", got)
			}
			if got := len(c.api.take()); got != row.times {
				t.Errorf("got the request %d times at the API, want %d", got, row.times)
			}
		})
	}
	t.Run("never on fresh connections", func(t *testing.T) {
		c := startContract(t, func(api *apiConn) { api.request() })
		_, got := c.send(t, brokertest.PlainRequest("GET /x"))
		checkOwn(t, got, 502)
		c.api.takeOne(t)
	})
}

func TestContract21Timeouts(t *testing.T) {
	t.Parallel()
	took := func(t *testing.T, want time.Duration, began time.Time) {
		t.Helper()
		if got := time.Since(began); got != want {
			t.Errorf("took %v, want %v", got, want)
		}
	}
	for name, test := range map[string]func(*testing.T, *timedContract){
		"silent app": func(t *testing.T, c *timedContract) {
			app, began := c.dial(t), time.Now()
			if text, _ := io.ReadAll(app.Reader); len(text) > 0 {
				t.Errorf("got %q, want nothing", text)
			}
			took(t, 10*time.Second, began)
		},
		"part of a header": func(t *testing.T, c *timedContract) {
			app, began := c.dial(t), time.Now()
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() {
				for _, b := range "GET /x HTTP/1.1\r\n" {
					app.Send(string(b))
					time.Sleep(time.Second)
				}
			})
			checkOwn(t, app.Next("GET"), 408)
			took(t, 10*time.Second, began)
		},
		"idle app": func(t *testing.T, c *timedContract) {
			app := c.dial(t)
			app.Send(brokertest.PlainRequest("GET /x"))
			api := <-c.api.conns
			api.head()
			api.send(okResponse)
			checkFrom(t, app.Next("GET"), 200, "ok")
			began := time.Now()
			go func() {
				api.rest()
				took(t, 45*time.Second, began) // idle upstream
			}()
			if text, _ := io.ReadAll(app.Reader); len(text) > 0 {
				t.Errorf("got %q, want nothing", text)
			}
			if got := time.Since(began); got > 2*time.Minute || got < 2*time.Minute-time.Second {
				t.Errorf("closed after %v, want 2m0s, less a second at most", got)
			}
		},
		"silent API": func(t *testing.T, c *timedContract) {
			app := c.dial(t)
			for range 2 { // the app's connection is kept
				began := time.Now()
				app.Send(brokertest.PlainRequest("GET /x"))
				api := <-c.api.conns
				api.head()
				checkOwn(t, app.Next("GET"), 504)
				took(t, time.Minute, began)
			}
		},
		"the app's pauses do not count": func(t *testing.T, c *timedContract) {
			app := c.dial(t)
			app.Send(brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked"))
			api := <-c.api.conns
			api.head()
			go api.rest()
			for range 3 {
				app.Send("1\r\na\r\n")
				time.Sleep(10 * time.Minute)
			}
			app.Send("0\r\n\r\n")
			began := time.Now()
			checkOwn(t, app.Next("POST"), 504)
			took(t, time.Minute, began)
		},
		"API takes no bytes": func(t *testing.T, c *timedContract) {
			app, began := c.dial(t), time.Now()
			go app.Send(post("/x", strings.Repeat("a", 1_000_000)))
			api := <-c.api.conns
			api.head()
			checkOwn(t, app.Next("POST"), 504)
			took(t, time.Minute+100*time.Millisecond, began) // a response may have arrived, and is looked for
		},
		"bodies that move": func(t *testing.T, c *timedContract) {
			app := c.dial(t)
			app.Send(brokertest.PlainRequest("GET /x"))
			api := <-c.api.conns
			api.head()
			api.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
			go func() {
				for range 100 {
					time.Sleep(10 * time.Minute)
					api.send("a")
				}
			}()
			checkFrom(t, app.Next("GET"), 200, strings.Repeat("a", 100))
		},
		// Further rules for connections to the API.
		"maximum age of a busy connection": func(t *testing.T, c *timedContract) {
			app := c.dial(t)
			var api *apiConn
			for range 66 { // eleven minutes
				app.Send(brokertest.PlainRequest("GET /x"))
				synctest.Wait()
				select {
				case api = <-c.api.conns:
				default:
				}
				api.head()
				api.send(okResponse)
				checkFrom(t, app.Next("GET"), 200, "ok")
				time.Sleep(10 * time.Second)
			}
			if got := c.api.openedConns(); got != 3 {
				t.Errorf("got %d connections in eleven minutes, want 3: none is older than five", got)
			}
		},
		"last in, first out": func(t *testing.T, c *timedContract) {
			apps := []*brokertest.RawConn{c.dial(t), c.dial(t)}
			var apis []*apiConn
			for _, app := range apps {
				app.Send(brokertest.PlainRequest("GET /x"))
				apis = append(apis, <-c.api.conns)
			}
			for i, app := range apps {
				apis[i].head()
				apis[i].send(okResponse)
				app.Next("GET")
			}
			apps[0].Send(brokertest.PlainRequest("GET /last"))
			if head, _ := apis[1].head(); !strings.HasPrefix(head, "GET /last ") {
				t.Errorf("got %q on the connection that was used last, want the next request", head)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTimedContract(t, nil, nil)
				c.waitForToken(t)
				test(t, c)
			})
		})
	}
}

// waitForToken returns once the broker has a token.
func (c *timedContract) waitForToken(t *testing.T) {
	t.Helper()
	tokens, ok := c.broker.tokens("")
	if !ok {
		t.Fatal("there is no default account")
	}
	if _, err := tokens.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestContract22ConnectionsOutliveProblems(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer, "BROKER_UPSTREAM_TIMEOUT=100ms", "BROKER_ALLOW=GET /, POST /")
	hangs := func(*apiConn) {}
	for name, row := range map[string]struct {
		line   string
		reply  string
		then   func(*apiConn)
		status int
	}{
		"502": {"GET /x", "nonsense\r\n\r\n", hangs, 502},
		"504": {"GET /x", "HTTP/1.1 200", hangs, 504},
		"400": {"GET /a/../b", "", nil, 400},
		"403": {"PUT /x", "", nil, 403},
		"404": {"GET /@nobody/x", "", nil, 404},
		"413": {"GET /x", "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", nil, 413},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, row.then)
			app, got := c.send(t, brokertest.PlainRequest(row.line))
			if got.Status != row.status {
				t.Errorf("got %+v, want status %d", got, row.status)
			}
			c.api.set(okResponse, nil)
			app.Send(brokertest.PlainRequest("GET /next"))
			checkFrom(t, app.Next("GET"), 200, "ok")
		})
	}
	for _, fields := range [][]string{{"Content-Length: 100000"}, {"Content-Length: 300000"}, {"Transfer-Encoding: chunked"}, {"Content-Length: 100000", "Expect: 100-continue"}} {
		t.Run("the refusal does not wait for the body: "+strings.Join(fields, ", "), func(t *testing.T) {
			app, got := c.send(t, brokertest.PlainRequest("PUT /x", fields...))
			checkOwn(t, got, http.StatusForbidden)
			if strings.Contains(app.Seen.String(), "100 Continue") {
				t.Errorf("got %q, want no 100", app.Seen.String())
			}
		})
	}
	if got := c.api.take(); slices.ContainsFunc(got, func(request string) bool { return strings.HasPrefix(request, "PUT") }) {
		t.Errorf("got %q at the API, want no refused request", got)
	}
}
