package proxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
)

// testTimeout is how long a test waits for what must happen at once. Only failing tests wait.
const testTimeout = 10 * time.Second

// broker is a Proxy on a real listener.
type broker struct {
	*proxy.Proxy
	server  *httptest.Server
	addr    string
	client  *http.Client // does not decompress or follow redirects
	records chan proxy.RequestRecord
}

// setup is what a test can change before the broker starts.
type setup struct {
	proxy.Config
	// transport is the initial Config.Transport.
	transport *http.Transport
	// wrap returns the server's handler, given the Proxy.
	wrap func(http.Handler) http.Handler
	// server must log nothing, unless its ErrorLog is changed.
	server *http.Server
}

// fakeTokens returns the tokens of the default account.
func (s *setup) fakeTokens() *fakeTokens {
	tokens, _ := s.Tokens("")
	return tokens.(*fakeTokens)
}

// start starts a Proxy for an upstream, with a token, on a server like the program's.
func start(t testing.TB, upstream string, changes ...func(*setup)) *broker {
	t.Helper()
	b := &broker{records: make(chan proxy.RequestRecord, 100)}
	b.server = httptest.NewUnstartedServer(nil)
	s := setup{
		Config:    newConfig(t, upstream),
		transport: newTransport(),
		wrap:      func(h http.Handler) http.Handler { return h },
		server:    b.server.Config,
	}
	s.Transport = s.transport
	s.OnRequestEnd = func(r proxy.RequestRecord) {
		select {
		case b.records <- r:
		default: // a benchmark, a fuzz test
		}
	}
	configureServer(s.server)
	s.server.ErrorLog = log.New(failOnLog{t}, "", 0)
	for _, change := range changes {
		change(&s)
	}
	var err error
	if b.Proxy, err = proxy.New(s.Config); err != nil {
		t.Fatal(err)
	}
	b.server.Config.Handler = s.wrap(b.Proxy)
	b.server.Start()
	b.addr = b.server.Listener.Addr().String()
	toBroker := &http.Transport{DisableCompression: true, ExpectContinueTimeout: testTimeout}
	b.client = &http.Client{
		Transport:     toBroker,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       testTimeout,
	}
	t.Cleanup(func() {
		toBroker.CloseIdleConnections()
		b.server.Close()
		s.transport.CloseIdleConnections()
	})
	return b
}

// newConfig returns a configuration for an upstream, without Transport.
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
		Policy:    access.New(access.Config{UpstreamHost: at.Host}),
	}
}

// configureServer configures a server like the program's.
func configureServer(s *http.Server) {
	s.DisableGeneralOptionsHandler = true
	s.MaxHeaderBytes = 64 << 10
	s.ReadHeaderTimeout = testTimeout
}

// newTransport returns a transport like the program's that trusts the servers of httptest.
func newTransport() *http.Transport {
	return &http.Transport{
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
		ExpectContinueTimeout: testTimeout,
		TLSClientConfig:       &tls.Config{RootCAs: testRoots()},
	}
}

var testRoots = sync.OnceValue(func() *x509.CertPool {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
})

// failOnLog fails the test if net/http's server logs something, such as a panic or a superfluous WriteHeader.
type failOnLog struct{ t testing.TB }

func (c failOnLog) Write(p []byte) (int, error) {
	c.t.Errorf("the server logged: %s", p)
	return len(p), nil
}

// record waits for the end of a request and returns its record.
func (b *broker) record(t testing.TB) proxy.RequestRecord {
	t.Helper()
	return receive(t, b.records, "the end of the request")
}

// receive waits for a value, or for the channel to be closed.
func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(testTimeout):
		t.Fatalf("got no %s in time", what)
		panic("not reached")
	}
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
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (b *broker) dial(t testing.TB) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &rawConn{Conn: c, t: t, r: bufio.NewReader(c)}
}

func (c *rawConn) send(parts ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, strings.Join(parts, "")); err != nil {
		c.t.Fatal(err)
	}
}

// head reads lines up to the empty one.
func (c *rawConn) head() string {
	c.t.Helper()
	var head strings.Builder
	for {
		line, err := c.r.ReadString('\n')
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
	response, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	return readResult(response)
}

// finalResult returns the final response to a POST with Expect: 100-continue. It sends the body if it is asked to.
func (c *rawConn) finalResult(body string) (a result, continued bool) {
	c.t.Helper()
	if a = c.result("POST"); a.status != http.StatusContinue {
		return a, false
	}
	go func() { _, _ = io.WriteString(c.Conn, body) }() // may fail: it does not have to be read
	return c.result("POST"), true
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
