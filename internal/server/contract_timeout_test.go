package server

import (
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

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
			app, began := c.Dial(t), time.Now()
			if text, _ := io.ReadAll(app.Reader); len(text) > 0 {
				t.Errorf("got %q, want nothing", text)
			}
			took(t, 10*time.Second, began)
		},
		"part of a header": func(t *testing.T, c *timedContract) {
			app, began := c.Dial(t), time.Now()
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
			app := c.Dial(t)
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
			app := c.Dial(t)
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
			app := c.Dial(t)
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
			app, began := c.Dial(t), time.Now()
			go app.Send(post("/x", strings.Repeat("a", 1_000_000)))
			api := <-c.api.conns
			api.head()
			checkOwn(t, app.Next("POST"), 504)
			took(t, time.Minute+100*time.Millisecond, began) // a response may have arrived, and is looked for
		},
		"bodies that move": func(t *testing.T, c *timedContract) {
			app := c.Dial(t)
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
			app := c.Dial(t)
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
			apps := []*brokertest.RawConn{c.Dial(t), c.Dial(t)}
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
				c := newTimedContract(t, func(*setup) {})
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
	if _, _, err := tokens.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}
