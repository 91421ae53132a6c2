package http1_test

import (
	"context"
	"io"
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
		b := &bubble{t: t, listener: fakeetrusted.NewListener(), server: newServer(handler), evicted: make(chan struct{}, 100)}
		b.server.MaxConns, b.server.OnEvict = maxConns, func() { b.evicted <- struct{}{} }
		stop := serve(t, b.server, b.listener)
		test(t, b)
		stop()
		time.Sleep(forever) // for handlers that nothing else ends
	})
}

func (b *bubble) dial() *clientConn {
	b.t.Helper()
	return b.dialOn(b.listener)
}

// dialOn connects to another listener of the server.
func (b *bubble) dialOn(l *fakeetrusted.Listener) *clientConn {
	b.t.Helper()
	c, err := l.Dial(context.Background(), "pipe", "")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	synctest.Wait()
	return newClientConn(b.t, c, synctest.Wait)
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
