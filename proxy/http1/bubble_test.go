package http1_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/http1"
)

// The timeouts of the tests' servers, and what is beyond all of them.
const (
	headerTimeout       = 10 * time.Second
	idleUpstreamTimeout = 2 * time.Minute
	forever             = 1000 * time.Hour
)

// bubble is a server in a synctest bubble, on in-memory connections.
type bubble struct {
	t        *testing.T
	listener *fakeetrusted.Listener
	server   *http1.Server
	evicted  chan struct{}
}

// inBubble runs test with a server that may have maxConns connections.
func inBubble(t *testing.T, maxConns int, handler handlerFunc, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, listener: fakeetrusted.NewListener(), evicted: make(chan struct{}, 100)}
		b.server = &http1.Server{
			Handler: handler, MaxConns: maxConns, HeaderTimeout: headerTimeout, IdleTimeout: idleUpstreamTimeout,
			OnEvict: func() { b.evicted <- struct{}{} },
		}
		served := make(chan error, 1)
		go func() { served <- b.server.Serve(b.listener) }()
		test(t, b)
		b.server.Close()
		if err := <-served; !errors.Is(err, http1.ErrServerClosed) {
			t.Errorf("Serve: got %v, want %v", err, http1.ErrServerClosed)
		}
		time.Sleep(forever) // for handlers that nothing else ends
	})
}

// bubbleClient is the client's end of a connection to a bubble's server.
type bubbleClient struct {
	net.Conn
	t      *testing.T
	reader *bufio.Reader
}

func (b *bubble) dial() *bubbleClient {
	b.t.Helper()
	c, err := b.listener.Dial(context.Background(), "pipe", "")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	synctest.Wait()
	return &bubbleClient{Conn: c, t: b.t, reader: bufio.NewReader(c)}
}

func (c *bubbleClient) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("sending %.40q: %v", text, err)
	}
	synctest.Wait()
}

// response reads a response.
func (c *bubbleClient) response() (response *http.Response, body string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
	return response, string(text)
}

func (c *bubbleClient) status() int {
	c.t.Helper()
	response, _ := c.response()
	return response.StatusCode
}

// untilClosed reads until the connection is closed, and returns what came and how long that took.
func (c *bubbleClient) untilClosed() (text string, after time.Duration) {
	began := time.Now()
	all, _ := io.ReadAll(c.reader)
	return string(all), time.Since(began)
}

// isOpen reports whether the server has not closed the connection.
func (c *bubbleClient) isOpen() bool {
	_ = c.SetReadDeadline(time.Now()) // a Peek that would wait ends at once
	_, err := c.reader.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	var timeout net.Error
	return err == nil || errors.As(err, &timeout) && timeout.Timeout()
}

const simple = "GET /simple HTTP/1.1\r\nHost: a\r\n\r\n"

// respond answers with a status and a text.
func respond(w *http1.ResponseWriter, status int, text string) {
	w.WriteHead(status, "Status", int64(len(text)))
	_, _ = io.WriteString(w, text)
}

// ok reads the body and answers with 200, and with 422 if the body is broken.
func ok(w *http1.ResponseWriter, r *http1.Request) {
	if r.Malformed != nil {
		respond(w, r.Malformed.Status, r.Malformed.Code)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		respond(w, 422, "")
		return
	}
	respond(w, 200, "ok")
}

func path(r *http1.Request) string {
	text, _, _ := strings.Cut(r.Target, "?")
	return text
}

func decimal(n int) string     { return strconv.Itoa(n) }
func hexadecimal(n int) string { return strconv.FormatInt(int64(n), 16) }
