package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

func TestContract17PipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	const count = 20
	app := c.Dial(t)
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
				apps[i] = c.Dial(t)
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
