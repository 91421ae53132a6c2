package proxy_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
)

// A truncated response must never look complete to the app.
func TestTruncatedResponseLooksTruncated(t *testing.T) {
	for name, text := range map[string]string{
		"length, short":      "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"length, long":       "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000),
		"length, nothing":    "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
		"chunked":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"inside a chunk":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
		"before any chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"before the trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
		"bad chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, "http://"+startRawUpstream(t, afterRequest(text)))
			c := b.dial(t)
			c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
			a := c.result("GET")
			if a.err == nil || a.status != 200 {
				t.Errorf("got a complete response (%d, %d bytes), want a truncated one", a.status, len(a.body))
			}
			wantFromAPI(t, a)
			if got := b.record(t); got.Status != 200 || !got.Broken || got.ProxyError != "" {
				t.Errorf("got %+v, want status 200 and Broken", got)
			}
		})
	}
}

// The header goes on as soon as it has arrived, and so before it is known that none of the body does: an app that got no byte
// at all could send its request again.
func TestForwardsHeaderOfResponseWithoutItsBody(t *testing.T) {
	b := start(t, "http://"+startRawUpstream(t, afterRequest("HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n")))
	c := b.dial(t)
	c.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if got := c.result("POST"); got.status != 201 || got.err == nil {
		t.Errorf("got %d with %v, want 201 and then a cut", got.status, got.err)
	}
	if got := b.record(t); !got.Broken || got.Status != 201 {
		t.Errorf("got %+v, want status 201 and Broken", got)
	}
}

// To an HTTP/1.0 client, the end of the connection is the end of the response, so a truncated one must end otherwise.
func TestResetsTruncatedResponseToHTTP10(t *testing.T) {
	for name, text := range map[string]string{
		"chunked":   "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"rewritten": "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n[1,",
	} {
		b := start(t, "http://"+startRawUpstream(t, afterRequest("HTTP/1.1 200 OK\r\n"+text)), withLinkRewriting)
		c := b.dial(t)
		c.send("GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n")
		if got := c.result("GET"); got.status != 200 || !errors.Is(got.err, syscall.ECONNRESET) {
			t.Errorf("%s: got %d %q, then %v, want 200, then a reset", name, got.status, got.body, got.err)
		}
	}
}

// failure is one way in which the upstream fails, and the response that the app must get.
type failure struct {
	upstream func(t *testing.T) string                   // its URL
	dial     func(ctx context.Context) (net.Conn, error) // nil: the default
	timeout  time.Duration                               // of the response; 0: the default
	status   int
	kind     string
}

func rawResponse(text string) func(*testing.T) string {
	return func(t *testing.T) string { return "http://" + startRawUpstream(t, afterRequest(text)) }
}

func closedPort(t *testing.T) string { return "http://" + brokertest.ClosedPort(t) }

// startSilentUpstream accepts connections and sends nothing until the client closes them.
func startSilentUpstream(t *testing.T) string {
	return startRawUpstream(t, func(c net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, c) })
}

func failingDial(err error) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err} }
}

func TestReportsUpstreamFailures(t *testing.T) {
	const brief = 20 * time.Millisecond
	anywhere := func(*testing.T) string { return "http://api.example" }
	for name, f := range map[string]failure{
		"refused":            {upstream: closedPort, status: 502, kind: "connection_refused"},
		"no such host":       {upstream: anywhere, dial: failingDial(&net.DNSError{Err: "no such host", Name: "api.example", IsNotFound: true}), status: 502, kind: "dns_error"},
		"name server slow":   {upstream: anywhere, dial: failingDial(&net.DNSError{Err: "i/o timeout", Name: "api.example", IsTimeout: true}), status: 504, kind: "dns_timeout"},
		"no route":           {upstream: anywhere, dial: failingDial(syscall.EHOSTUNREACH), status: 502, kind: "destination_ip_unroutable"},
		"too many files":     {upstream: anywhere, dial: failingDial(syscall.EMFILE), status: 502, kind: "destination_unavailable"},
		"dial slow":          {upstream: anywhere, dial: failingDial(context.DeadlineExceeded), status: 504, kind: "connection_timeout"},
		"closes at once":     {upstream: func(t *testing.T) string { return "http://" + startRawUpstream(t, func(net.Conn, *bufio.Reader) {}) }, status: 502, kind: "connection_terminated"},
		"closes unanswered":  {upstream: rawResponse(""), status: 502, kind: "connection_terminated"},
		"breaks in the line": {upstream: rawResponse("HTTP/1.1 20"), status: 502, kind: "connection_terminated"},
		"breaks in a header": {upstream: rawResponse("HTTP/1.1 200 OK\r\nContent-"), status: 502, kind: "connection_terminated"},
		"no HTTP":            {upstream: rawResponse("SSH-2.0-OpenSSH_9.9\r\n"), status: 502, kind: "http_protocol_error"},
		"bad status":         {upstream: rawResponse("HTTP/1.1 2x0 OK\r\n\r\n"), status: 502, kind: "http_protocol_error"},
		"bad header":         {upstream: rawResponse("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), status: 502, kind: "http_protocol_error"},
		"bad length":         {upstream: rawResponse("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"), status: 502, kind: "http_protocol_error"},
		"two lengths":        {upstream: rawResponse("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), status: 502, kind: "http_protocol_error"},
		"endless header":     {upstream: rawResponse("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 256<<10)), status: 502, kind: "http_protocol_error"},
		"unknown authority":  {upstream: anywhere, dial: failingDial(x509.UnknownAuthorityError{}), status: 502, kind: "tls_certificate_error"},
		"no TLS": {upstream: func(t *testing.T) string { return strings.Replace(serve(t, h1, nil), "http:", "https:", 1) },
			status: 502, kind: "tls_protocol_error"},
		"slow": {upstream: func(t *testing.T) string { return "http://" + startSilentUpstream(t) }, status: 504, kind: "http_response_timeout", timeout: brief},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, f.upstream(t), func(s *setup) {
				if f.dial != nil {
					s.client.Dial = f.dial
				}
				if f.timeout != 0 {
					s.client.ResponseTimeout = f.timeout
				}
			})
			for _, method := range []string{"GET", "POST"} {
				a := b.do(t, b.request(t, method, "/x?secret=query", nil))
				detail := wantProblem(t, a, f.status, f.kind)
				if strings.Contains(detail, "query") || !strings.Contains(detail, ". ") {
					t.Errorf("got detail %q, want a hint in it, and not the query", detail)
				}
				if got := b.record(t); got.Status != f.status || got.ProxyError != f.kind || got.Broken || got.Path != "/x" || got.Upstream <= 0 {
					t.Errorf("got %+v, want the failure, the path, and the time it took", got)
				}
			}
		})
	}
}

// The upstream knows the token, so its texts must not reach the app.
func TestNeverQuotesTheUpstream(t *testing.T) {
	echo := func(format string) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, r *bufio.Reader) {
			if request, err := http.ReadRequest(r); err == nil {
				_, _ = fmt.Fprintf(c, format, request.Header.Get("Authorization"))
			}
		}
	}
	for name, format := range map[string]string{
		"as status line":        "%s\r\n\r\n",
		"as version":            "%s 200 OK\r\n\r\n",
		"as status":             "HTTP/1.1 %s\r\n\r\n",
		"as header without end": "HTTP/1.1 200 OK\r\n%s",
		"as header":             "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"as header name":        "HTTP/1.1 200 OK\r\n%s: x\r\n\r\n",
		"as length":             "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"as encoding":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"as trailer":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, %s\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, "http://"+startRawUpstream(t, echo(format)))
			c := b.dial(t)
			c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			whole, err := io.ReadAll(c.Reader)
			if err != nil {
				t.Fatal(err)
			}
			// An invalid name in Trailer is dropped.
			if !strings.HasPrefix(string(whole), "HTTP/1.1 502 ") && name != "as trailer" || strings.Contains(string(whole), canary) {
				t.Errorf("got %s, want 502 without the token", whole)
			}
			if got := fmt.Sprintf("%+v", b.record(t)); strings.Contains(got, canary) {
				t.Errorf("got %s, want no token in it", got)
			}
		})
	}
}

// An app must not lose a GET because the upstream has closed an idle connection.
func TestSurvivesIdleConnectionClosedByUpstream(t *testing.T) {
	closed := make(chan struct{}, 10)
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		afterRequest("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c, r)
		_ = c.Close()
		closed <- struct{}{}
	})
	b := start(t, "http://"+addr)
	for range 20 {
		if a := b.get(t, "/x"); a.status != 200 {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
		brokertest.Receive(t, "the connection's end", closed)
	}
}

// A failure is the upstream's fault only if the client stayed until the end.
func TestReportsClosedClientInsteadOfError(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	b := start(t, "http://api.example", func(s *setup) {
		s.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
			leave()
			<-r.Caller.Context().Done()
			return nil, errors.New("something else")
		})
	})
	response, err := b.client.Do(b.request(t, "GET", "/x", nil).WithContext(ctx))
	if err == nil {
		_ = response.Body.Close()
		t.Errorf("got status %d, want no response", response.StatusCode)
	}
	if got := b.record(t); got.Status != proxy.StatusClientClosedRequest {
		t.Errorf("got %+v, want StatusClientClosedRequest", got)
	}
}

type roundTripperFunc func(*http1.ClientRequest) (*http1.ClientResponse, error)

func (f roundTripperFunc) RoundTrip(r *http1.ClientRequest) (*http1.ClientResponse, error) {
	return f(r)
}
