package proxy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/http2"
)

// testTimeout is how long a test waits for what must happen at once. Only failing tests wait.
const testTimeout = 10 * time.Second

// broker is a Proxy on a real listener.
type broker struct {
	*proxy.Proxy
	server  *server
	addr    string
	client  *http.Client // does not decompress or follow redirects
	records chan proxy.RequestRecord
}

// server serves a Proxy.
type server struct {
	*http1.Server
	URL    string
	served chan error
}

// setup is what a test can change before the broker starts.
type setup struct {
	proxy.Config
	// client is the initial Config.UpstreamClient.
	client *http1.Client
	// listener is the app's listener.
	listener net.Listener
}

// fakeTokens returns the tokens of the default account.
func (s *setup) fakeTokens() *fakeTokens {
	tokens, _ := s.Tokens("")
	return tokens.(*fakeTokens)
}

// start starts a Proxy for an upstream, with a token, on a server like the program's.
func start(t testing.TB, upstream string, changes ...func(*setup)) *broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{records: make(chan proxy.RequestRecord, 100), addr: l.Addr().String()}
	s := setup{Config: newConfig(t, upstream), listener: l}
	s.client = newClient(s.Upstream)
	s.UpstreamClient = s.client
	if _, ok := http2Upstreams.Load(upstream); ok {
		client := http2.New(s.Upstream, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: testRoots()}}, testTimeout)
		t.Cleanup(client.CloseIdle)
		s.UpstreamClient = client
	}
	s.OnRequestEnd = func(r proxy.RequestRecord) {
		select {
		case b.records <- r:
		default: // a benchmark, a fuzz test
		}
	}
	for _, change := range changes {
		change(&s)
	}
	if b.Proxy, err = proxy.New(s.Config); err != nil {
		t.Fatal(err)
	}
	b.server = startServer(t, b.Proxy, s.listener, testTimeout)
	toBroker := &http.Transport{DisableCompression: true, ExpectContinueTimeout: testTimeout}
	b.client = &http.Client{
		Transport:     toBroker,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       testTimeout,
	}
	t.Cleanup(func() {
		toBroker.CloseIdleConnections()
		b.server.Close()
		s.client.CloseIdle()
	})
	return b
}

func startServer(t testing.TB, handler http1.Handler, l net.Listener, timeout time.Duration) *server {
	s := &server{
		Server: &http1.Server{
			Handler: handler, HeaderTimeout: timeout, IdleTimeout: timeout,
			OnPanic: func(reason any) { t.Errorf("the handler panicked: %v\n%s", reason, debug.Stack()) },
		},
		URL:    "http://" + l.Addr().String(),
		served: make(chan error, 1),
	}
	go func() { s.served <- s.Serve(l) }()
	return s
}

// Close waits for the handlers, and closes the connections.
func (s *server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	_ = s.Shutdown(ctx)
	s.Server.Close()
}

// newConfig returns a configuration for an upstream, without UpstreamClient.
func newConfig(t testing.TB, upstream string) proxy.Config {
	t.Helper()
	at, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	return proxy.Config{
		Upstream:  at,
		Tokens:    accounts{"": validToken()}.tokens,
		TokenWait: testTimeout,
		Policy:    &access.Policy{APIAndLoginHosts: access.NewAPIAndLoginHosts([]string{at.Host}, nil)},
	}
}

// newClient returns a client like the program's that trusts the servers of httptest.
func newClient(upstream *url.URL) *http1.Client {
	return &http1.Client{ResponseTimeout: testTimeout, Dial: func(ctx context.Context) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", upstream.Host)
		if err != nil || upstream.Scheme == "http" {
			return conn, err
		}
		secure := http1.TLSClient(conn, &tls.Config{RootCAs: testRoots(), ServerName: upstream.Hostname()})
		return secure, secure.HandshakeContext(ctx)
	}}
}

var testRoots = sync.OnceValue(func() *x509.CertPool {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
})

// record waits for the end of a request and returns its record.
func (b *broker) record(t testing.TB) proxy.RequestRecord {
	t.Helper()
	return brokertest.Receive(t, "the end of the request", b.records)
}

// result is a response that was read to its end, or to the point where it broke off.
type result struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	err     error // of reading the body
	chunked bool
	length  int64
	closes  bool // whether it closes the connection
}

func readResult(response *http.Response) result {
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return result{
		status: response.StatusCode, header: response.Header, trailer: response.Trailer,
		body: string(body), err: err,
		chunked: len(response.TransferEncoding) > 0, length: response.ContentLength, closes: response.Close,
	}
}

// request makes a request to the broker.
func (b *broker) request(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, b.server.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// do sends a request and reads the response, which must be complete.
func (b *broker) do(t testing.TB, r *http.Request) result {
	t.Helper()
	response, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	a := readResult(response)
	if a.err != nil {
		t.Fatalf("the body broke off: %v", a.err)
	}
	return a
}

func (b *broker) get(t testing.TB, target string) result {
	t.Helper()
	return b.do(t, b.request(t, "GET", target, nil))
}

// rawConn is a connection on which a test sends arbitrary bytes.
type rawConn struct {
	*brokertest.RawConn
	t testing.TB
}

func (b *broker) dial(t testing.TB) *rawConn {
	t.Helper()
	return &rawConn{brokertest.DialRaw(t, b.addr), t}
}

func (c *rawConn) send(parts ...string) { c.Send(strings.Join(parts, "")) }

// head reads lines up to the empty one.
func (c *rawConn) head() string {
	c.t.Helper()
	var head strings.Builder
	for {
		line, err := c.Reader.ReadString('\n')
		if err != nil {
			c.t.Fatalf("the header broke off: %v", err)
		}
		head.WriteString(line)
		if line == "\r\n" {
			return head.String()
		}
	}
}

func (c *rawConn) result(method string) result {
	c.t.Helper()
	response, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	return readResult(response)
}

// wantProblem checks that a response is a problem of the broker, and returns its detail.
func wantProblem(t testing.TB, a result, status int, errorType string) string {
	t.Helper()
	if a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s: %s; want a problem of status %d", a.status, a.header.Get("Content-Type"), a.body, status)
	}
	if got := a.header["Proxy-Status"]; len(got) != 1 || !strings.HasPrefix(got[0], "etrusted-broker; error="+errorType+"; details=\"") {
		t.Errorf("Proxy-Status %q, want error=%s", got, errorType)
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	kind, _ := members["type"].(string)
	title, _ := members["title"].(string)
	detail, _ := members["detail"].(string)
	if !strings.HasPrefix(kind, "urn:etrusted-broker:problem:") || title == "" || strings.TrimSpace(detail) == "" || members["status"] != float64(status) || len(members) != 4 {
		t.Errorf("problem %s", a.body)
	}
	if whole := fmt.Sprint(a.header, a.body); strings.Contains(whole, canary) {
		t.Errorf("the token is in %s", whole)
	}
	return detail
}

// wantFromAPI checks that a response does not look as if the broker had made it.
func wantFromAPI(t testing.TB, a result) {
	t.Helper()
	if a.header.Get("Content-Type") == "application/problem+json" || a.header["Proxy-Status"] != nil {
		t.Errorf("the broker answered itself: %d %v %s", a.status, a.header, a.body)
	}
}
