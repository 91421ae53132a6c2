package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/fakeetrusted"
)

// The tests TestContract01 to TestContract25 are the contract of the request path, line by line: an app that sends bytes, the
// whole broker, and an API that answers with bytes.

// contract is a broker on a real listener, between such an app and such an API. It has a token, and writes an access log.
type contract struct {
	*brokertest.Broker
	addr string // of the app's listener
	api  *rawAPI
}

// startContract starts a broker, and an API whose connections serve serves. If that is nil, the test serves them: see
// rawAPI.accept.
func startContract(t *testing.T, serve func(*apiConn), environ ...string) *contract {
	t.Helper()
	login := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	c := &contract{api: startRawAPI(t, brokertest.Listen(t, "tcp", "127.0.0.1:0"), serve)}
	environ = append([]string{"ETRUSTED_API_URL=http://" + c.api.host, "BROKER_ACCESS_LOG=true"}, environ...)
	c.Broker = brokertest.Start(t, runServer, nil, brokertest.Environ(login, environ...))
	c.WaitReady()
	c.addr = strings.TrimPrefix(c.URL, "http://")
	return c
}

// runServer runs a broker with a configuration from the environment.
func runServer(ctx context.Context, _, environ []string, _, stderr io.Writer) int {
	c, problems := config.Load(environ)
	if len(problems) > 0 {
		_, _ = fmt.Fprintln(stderr, problems)
		return 2
	}
	if err := Run(ctx, c, Options{Log: stderr, OnListening: func(Listeners) {}}); err != nil {
		return 1
	}
	return 0
}

// send sends a request over a new connection, which stays open, and reads the response.
func (c *contract) send(t *testing.T, request string) (*brokertest.RawConn, brokertest.Response) {
	t.Helper()
	app := c.Dial(t)
	return app, app.RoundTrip(request)
}

// sendLast sends a request, and returns all bytes until the broker closes the connection.
func (c *contract) sendLast(t *testing.T, request string) string {
	t.Helper()
	app := c.Dial(t)
	app.Send(request)
	_, _ = io.Copy(io.Discard, app.Reader) // a reset, too, ends the response
	return app.Seen.String()
}

// waitForStatus waits for a line of the access log with that status.
func waitForStatus(t *testing.T, logs *brokertest.LogBuffer, status int) (found map[string]any) {
	t.Helper()
	brokertest.Eventually(t, fmt.Sprintf("the log has a request with status %d", status), func() bool {
		for _, line := range logs.Lines("request") {
			if line["status"] == float64(status) {
				found = line
			}
		}
		return found != nil
	})
	return found
}

// checkOwn reports a response that is not one of the broker's own with that status.
func checkOwn(t *testing.T, got brokertest.Response, status int) {
	t.Helper()
	kind, from := got.Header.Get("Content-Type"), got.Header.Get("Proxy-Status")
	if got.Err != nil || got.Status != status || kind != "application/problem+json" || !strings.HasPrefix(from, "etrusted-broker; error=") {
		t.Errorf("got %d, %v, with Content-Type %q and Proxy-Status %q, want the broker's own %d", got.Status, got.Err, kind, from, status)
	}
}

// checkFrom reports a response that is not the API's with that status and body.
func checkFrom(t *testing.T, got brokertest.Response, status int, body string) {
	t.Helper()
	if got.Err != nil || got.Status != status || got.Body != body || got.Header.Get("Proxy-Status") != "" {
		t.Errorf("got %d %q, %v, with Proxy-Status %q, want the API's %d %q", got.Status, got.Body, got.Err, got.Header.Get("Proxy-Status"), status, body)
	}
}

// checkBytes reports bytes that are not as expected.
func checkBytes(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// rawAPI is an API that parses no more of a request than where it ends.
type rawAPI struct {
	host  string
	conns chan *apiConn // those that the test serves

	mu       sync.Mutex
	opened   int      // connections
	requests []string // as they arrived
	reply    reply
}

// reply is how the API answers each request.
type reply struct {
	text string
	then func(*apiConn) // what happens after that; nil if the connection stays open
}

func startRawAPI(t *testing.T, l net.Listener, serve func(*apiConn)) *rawAPI {
	a := &rawAPI{host: l.Addr().String(), conns: make(chan *apiConn, 100)}
	brokertest.ServeRawOn(t, l, func(conn net.Conn) {
		a.mu.Lock()
		a.opened++
		a.mu.Unlock()
		c := &apiConn{Conn: conn, reader: bufio.NewReader(conn), api: a}
		if serve == nil {
			a.conns <- c
			<-t.Context().Done() // the test closes it
			return
		}
		serve(c)
	})
	return a
}

// set sets how answer answers.
func (a *rawAPI) set(text string, then func(*apiConn)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reply = reply{text, then}
}

// take returns the requests that have arrived since the last call.
func (a *rawAPI) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests := a.requests
	a.requests = nil
	return requests
}

// takeOne is take for a single request.
func (a *rawAPI) takeOne(t *testing.T) string {
	t.Helper()
	requests := a.take()
	if len(requests) != 1 {
		t.Fatalf("got %d requests at the API, want 1: %q", len(requests), requests)
	}
	return requests[0]
}

// openedConns returns how many connections the broker has opened.
func (a *rawAPI) openedConns() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.opened
}

// accept returns the next connection, if the test serves them.
func (a *rawAPI) accept(t *testing.T) *apiConn {
	t.Helper()
	return brokertest.Receive(t, "a connection to the API", a.conns)
}

// apiConn is a connection at the API.
type apiConn struct {
	net.Conn
	reader *bufio.Reader
	api    *rawAPI
}

// okResponse is the answer of an API to which nothing else matters.
const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// answer serves a connection: each request gets the reply that rawAPI.set has set, at first okResponse.
func answer(c *apiConn) {
	for {
		if _, ok := c.request(); !ok {
			return
		}
		c.api.mu.Lock()
		reply := c.api.reply
		c.api.mu.Unlock()
		if reply.text == "" {
			reply.text = okResponse
		}
		c.send(reply.text)
		if reply.then != nil {
			reply.then(c)
		}
	}
}

// send ignores errors: the broker may have closed the connection.
func (c *apiConn) send(text string) { _, _ = io.WriteString(c, text) }

// finish closes the connection.
func (c *apiConn) finish() { _ = c.Close() }

// reset closes the connection with a RST.
func (c *apiConn) reset() {
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// request reads and records a request, byte for byte. It reports false if the connection ends before.
func (c *apiConn) request() (string, bool) {
	head, ok := c.head()
	if !ok {
		return "", false
	}
	text, ok := c.body(head)
	c.api.mu.Lock()
	defer c.api.mu.Unlock()
	if ok {
		c.api.requests = append(c.api.requests, head+text)
	}
	return head + text, ok
}

// head reads a header with its empty line, or trailers.
func (c *apiConn) head() (string, bool) {
	for text := ""; ; {
		line, err := c.reader.ReadString('\n')
		text += line
		if err != nil {
			return text, false
		}
		if line == "\r\n" {
			return text, true
		}
	}
}

// body reads a body with its framing.
func (c *apiConn) body(head string) (string, bool) {
	if strings.Contains(head, "\r\nTransfer-Encoding: chunked\r\n") {
		for text := ""; ; {
			line, err := c.reader.ReadString('\n')
			if err != nil {
				return text + line, false
			}
			text += line
			size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
			switch {
			case err != nil:
				return text, false
			case size == 0:
				rest, ok := c.head()
				return text + rest, ok
			}
			part, ok := c.bytes(int(size) + len("\r\n"))
			if text += part; !ok {
				return text, false
			}
		}
	}
	length, _ := strconv.Atoi(fieldOf(head, "Content-Length"))
	return c.bytes(length)
}

func (c *apiConn) bytes(n int) (string, bool) {
	text := make([]byte, n)
	read, err := io.ReadFull(c.reader, text)
	return string(text[:read]), err == nil
}

// rest reads until the connection ends.
func (c *apiConn) rest() string {
	text, _ := io.ReadAll(c.reader)
	return string(text)
}

// fieldOf returns the value of a field in a header; empty if it is not there.
func fieldOf(head, name string) string {
	_, after, _ := strings.Cut(head, "\r\n"+name+": ")
	value, _, _ := strings.Cut(after, "\r\n")
	return value
}

// parseRequest parses a request that the API has received.
func parseRequest(t *testing.T, text string) (r *http.Request, body string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(content)
}

// post returns a POST request with a body of known length.
func post(target, body string, more ...string) string {
	return brokertest.PlainRequest("POST "+target, append(slices.Clip(more), "Content-Length: "+strconv.Itoa(len(body)))...) + body
}

// timedContract is a contract in a synctest bubble: time is fake.
type timedContract struct {
	*bubble
	api *rawAPI
}

// newTimedContract starts a broker that has no token yet. An API request may take a minute. The test serves the connections to the
// API.
func newTimedContract(t *testing.T, change func(*setup)) *timedContract {
	t.Helper()
	c := &timedContract{}
	c.bubble = newBubbleWith(t, fakeetrusted.Options{Lifetime: time.Hour}, func(s *setup) {
		s.config.AccessLog = true
		s.serveAPI = func(l net.Listener) { c.api = startRawAPI(t, l, nil) }
		change(s)
	})
	return c
}

// Dial opens a connection of an app.
func (b *bubble) Dial(t *testing.T) *brokertest.RawConn {
	t.Helper()
	conn, err := b.app.Dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return brokertest.NewRawConn(conn)
}
