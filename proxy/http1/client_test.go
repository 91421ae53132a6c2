package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/http1"
)

// caller is a Caller whose goneness is a context's.
type caller struct {
	mu       sync.Mutex
	ctx      context.Context
	cancel   context.CancelFunc
	canceler http1.Canceler
}

func newCaller(t *testing.T) *caller {
	c := &caller{}
	c.ctx, c.cancel = context.WithCancel(t.Context())
	return c
}

func (c *caller) Context() context.Context { return c.ctx }

func (c *caller) CancelWhenGone(canceler http1.Canceler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.canceler = canceler; canceler != nil && c.ctx.Err() != nil {
		canceler.Cancel()
	}
}

// goAway is what happens when the caller no longer needs a response.
func (c *caller) goAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	if c.canceler != nil {
		c.canceler.Cancel()
	}
}

// upstream is a server that does with each connection what its test wants.
type upstream struct {
	client   *http1.Client
	conns    atomic.Int32
	requests atomic.Int32
	closed   atomic.Int32 // connections of pipeUpstream that the client has closed
	serving  sync.WaitGroup
}

// upstreamConn is a connection on the upstream's side.
type upstreamConn struct {
	net.Conn
	*bufio.Reader
	upstream *upstream
	number   int32 // from 1
}

func (u *upstream) newConn(conn net.Conn) *upstreamConn {
	return &upstreamConn{conn, bufio.NewReader(conn), u, u.conns.Add(1)}
}

func (c *upstreamConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// request reads a request with its body. It returns nil at the end of the connection.
func (c *upstreamConn) request() *http.Request {
	r, err := http.ReadRequest(c.Reader)
	if err != nil {
		return nil
	}
	c.upstream.requests.Add(1)
	return r
}

func (c *upstreamConn) send(text string) { _, _ = io.WriteString(c.Conn, text) }

// reset makes the next Close a reset.
func (c *upstreamConn) reset() { _ = c.Conn.(*net.TCPConn).SetLinger(0) }

// each answers each request.
func each(answer func(c *upstreamConn, r *http.Request)) func(*upstreamConn) {
	return func(c *upstreamConn) {
		for r := c.request(); r != nil; r = c.request() {
			if _, err := readAll(r.Body); err != nil {
				return
			}
			answer(c, r)
		}
	}
}

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// startUpstream starts a server on the loopback interface. Connections are closed when handle returns.
func startUpstream(t testing.TB, handle func(*upstreamConn)) *upstream {
	t.Helper()
	u := &upstream{}
	addr := brokertest.ServeRaw(t, func(conn net.Conn) { handle(u.newConn(conn)) })
	u.client = &http1.Client{ResponseTimeout: 5 * time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
	t.Cleanup(u.client.CloseIdle) // before the server waits for the connections
	return u
}

// wrapConns makes the client use what wrap returns for each connection.
func (u *upstream) wrapConns(wrap func(net.Conn) net.Conn) {
	dial := u.client.Dial
	u.client.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return wrap(conn), nil
	}
}

// addTLS makes the client use layers of TLS, one inside the other.
func (u *upstream) addTLS(layers int, config *tls.Config) {
	for range layers {
		u.wrapConns(func(conn net.Conn) net.Conn { return http1.TLSClient(conn, config) })
	}
}

// inTLS serves what is inside layers of TLS, as handle does.
func inTLS(layers int, handle func(*upstreamConn)) func(*upstreamConn) {
	return func(c *upstreamConn) {
		conn := c.Conn
		for range layers {
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
		}
		handle(&upstreamConn{conn, bufio.NewReader(conn), c.upstream, c.number})
	}
}

// pipeUpstream returns an upstream in memory, for tests of time. Connections are closed once the client has closed them.
func pipeUpstream(timeout time.Duration, handle func(*upstreamConn)) *upstream {
	u := &upstream{}
	u.client = &http1.Client{ResponseTimeout: timeout, Dial: func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		c := u.newConn(far)
		u.serving.Go(func() {
			handle(c)
			for c.request() != nil {
			}
			u.closed.Add(1)
			_ = far.Close()
		})
		return near, nil
	}}
	return u
}

// close waits until the client has closed all connections of pipeUpstream.
func (u *upstream) close() {
	u.client.CloseIdle()
	u.serving.Wait()
}

func readAll(body io.Reader) (string, error) {
	read, err := io.ReadAll(body)
	return string(read), err
}

func newRequest(t *testing.T, method string) *http1.ClientRequest {
	return &http1.ClientRequest{
		Method:     method,
		Target:     "/reviews?count=1",
		Fields:     http1.Fields{{Name: "Host", Value: "api.example"}},
		Repeatable: method == http.MethodGet || method == http.MethodHead,
		Caller:     newCaller(t),
	}
}

// roundTrip sends a request, and returns the response with its body. After an error of the body, the response has a status.
func (u *upstream) roundTrip(r *http1.ClientRequest) (response http1.ClientResponse, body string, err error) {
	received, err := u.client.RoundTrip(r)
	if err != nil {
		return response, "", err
	}
	response = *received
	response.Fields = slices.Clone(received.Fields)
	body, err = readAll(received.Body)
	_ = received.Body.Close()
	return response, body, err
}

// mustSucceed sends a request, and fails the test unless the response is a whole 200.
func (u *upstream) mustSucceed(t *testing.T, r *http1.ClientRequest) (body string) {
	t.Helper()
	response, body, err := u.roundTrip(r)
	if err != nil || response.Status != http.StatusOK {
		t.Fatalf("got %d, %v, want 200", response.Status, err)
	}
	return body
}

// wantCounts checks how many connections and requests have reached the upstream.
func (u *upstream) wantCounts(t *testing.T, conns, requests int32) {
	t.Helper()
	if u.conns.Load() != conns || u.requests.Load() != requests {
		t.Errorf("got %d connections and %d requests, want %d and %d", u.conns.Load(), u.requests.Load(), conns, requests)
	}
}

// stream is a Stream whose bytes come from a pipe.
type stream struct {
	*io.PipeReader
	trailer http1.Fields
}

// newStream returns a Stream and what writes it.
func newStream(trailer ...http1.Field) (stream, *io.PipeWriter) {
	r, w := io.Pipe()
	return stream{r, trailer}, w
}

func (s stream) Trailer() http1.Fields { return s.trailer }
func (s stream) Interrupt()            { _ = s.CloseWithError(io.ErrClosedPipe) }
