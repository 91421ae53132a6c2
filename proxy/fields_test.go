package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/access"
)

// startBytesRecorder starts an upstream that sends text, and returns the bytes of the headers that have arrived there.
func startBytesRecorder(t *testing.T, text string) (url string, headers <-chan string) {
	arrived := make(chan string, 10)
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		arrived <- (&rawConn{&brokertest.RawConn{Conn: c, Reader: r}, t}).head()
		_, _ = io.WriteString(c, text)
	})
	return "http://" + addr, arrived
}

// Fields keep their order and the case of their names, in both directions, and the reason phrase is kept.
func TestKeepsOrderAndCase(t *testing.T) {
	for _, test := range []struct{ name, sent, received string }{
		{
			"replaced in place",
			"accept: */*\r\nhOST: localhost\r\nX-b: 1\r\nAUTHORIZATION: Bearer app\r\nx-A: 2\r\nx-b: 3\r\nconnection: keep-alive\r\nUser-agent:  x\t\r\nauthorization: x\r\n",
			"accept: */*\r\nhOST: UPSTREAM\r\nX-b: 1\r\nAUTHORIZATION: " + authorization + "\r\nx-A: 2\r\nx-b: 3\r\nUser-agent: x\r\nVia: 1.1 etrusted-broker\r\n",
		},
		{
			"appended",
			"VIA: 1.0 fred\r\nHost: localhost\r\nz: 1\r\n",
			"VIA: 1.0 fred\r\nHost: UPSTREAM\r\nz: 1\r\nAuthorization: " + authorization + "\r\nVia: 1.1 etrusted-broker\r\n",
		},
	} {
		url, headers := startBytesRecorder(t, "HTTP/1.1 299 Quite Fine\r\nx-B: 1\r\nserver: edge\r\nETag: x\r\nDATE: today\r\nalt-svc: h3\r\nset-cookie: a\r\nX-a: 2\r\nset-Cookie: b\r\ncontent-LENGTH: 2\r\nz: \r\n\r\nok")
		c := start(t, url).dial(t)
		c.send("GET /x HTTP/1.1\r\n", test.sent, "\r\n")
		want := "GET /x HTTP/1.1\r\n" + strings.ReplaceAll(test.received, "UPSTREAM", strings.TrimPrefix(url, "http://")) + "\r\n"
		if got := brokertest.Receive(t, "the request", headers); got != want {
			t.Errorf("%s: upstream got\n%s\nwant\n%s", test.name, got, want)
		}
		wantResponse := "HTTP/1.1 299 Quite Fine\r\nx-B: 1\r\nserver: edge\r\nETag: x\r\nDATE: today\r\nset-cookie: a\r\nX-a: 2\r\nset-Cookie: b\r\nContent-Length: 2\r\nz: \r\n\r\n"
		if got := c.head(); got != wantResponse {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, wantResponse)
		}
	}
}

// Fields that Connection lists are dropped, also if it lists close: RFC 9110 section 7.6.1.
func TestDropsFieldsOfTheConnectionThatCloses(t *testing.T) {
	url, headers := startBytesRecorder(t, "HTTP/1.1 103 Early\r\nConnection: close, X-N\r\nX-N: 1\r\nX-Y: 1\r\nContent-Length: 5\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close, X-N\r\nX-N: 1\r\nx_n: 1\r\nContent-Length: 0\r\n\r\n")
	c := start(t, url).dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close, X-N\r\nX-N: 1\r\n\r\n")
	if got := brokertest.Receive(t, "the request", headers); strings.Contains(got, "X-N") || strings.Contains(got, "Connection") {
		t.Errorf("got %q upstream, want neither X-N nor Connection", got)
	}
	if got := c.head(); got != "HTTP/1.1 103 Early\r\nX-Y: 1\r\n\r\n" {
		t.Errorf("got %q, want 103 with X-Y only", got)
	}
	if got, want := c.head(), "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeepsLengthOf304(t *testing.T) {
	url, _ := startBytesRecorder(t, "HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 77\r\n\r\n")
	c := start(t, url).dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if got, want := c.head(), "HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 77\r\n\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A malformed request gets a problem that says what is wrong, and is counted.
func TestAnswersMalformedRequests(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url)
	for _, test := range []struct {
		request, kind string
		status        int
	}{
		{"GET /x HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", "malformed-folding", 400},
		{"GET /x HTTP/1.1\r\n\r\n", "malformed-host", 400},
		{"GET /x HTTP/2.0\r\n\r\n", "malformed-version", 505},
		{"POST /x HTTP/1.1\r\nHost: localhost\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed-trailer", 400},
		{"POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\n", "malformed-expectation", 417},
		{"GET /x HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10), "malformed-too-long", 431},
	} {
		c := b.dial(t)
		c.send(test.request)
		got := c.result("GET")
		wantProblem(t, got, test.status, "http_request_error")
		if !strings.Contains(got.body, ":"+test.kind+`"`) || !got.closes {
			t.Errorf("got %s, closes %v, want %s, and the connection closed", got.body, got.closes, test.kind)
		}
		if record := b.record(t); record.Denied != access.ReasonMalformed || record.Status != test.status || record.Path != "" {
			t.Errorf("%s: got %+v, want the reason malformed, and no path", test.kind, record)
		}
	}
	if got := up.requests(); len(got) != 0 {
		t.Errorf("got %+v upstream, want nothing", got)
	}
}

// The path in records is plain ASCII, so that it can stand in a log line.
func TestRecordsPathInASCII(t *testing.T) {
	up := startRecorder(t, h1, nil)
	b := start(t, up.url)
	for target, want := range map[string]string{
		"/a?b": "/a", "/@x/a": "/@x/a", "http://localhost?secret": "/", "http://localhost/a/b?secret": "/a/b",
		"/ä\"{}%2f": "/%C3%A4%22%7B%7D/", "/x?a=http://y/": "/x",
	} {
		c := b.dial(t)
		c.send("GET ", target, " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		c.result("GET")
		if got := b.record(t); got.Path != want {
			t.Errorf("%s: got path %q, want %q", target, got.Path, want)
		}
	}
}

// A Unix socket has no name that a browser could resolve.
func TestServesAnyHostOnUnixSocket(t *testing.T) {
	up := startRecorder(t, h1, nil)
	var path string
	b := start(t, up.url, func(s *setup) {
		_ = s.listener.Close()
		path = t.TempDir() + "/s"
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s.listener = l
	})
	for _, host := range []string{"docker", ""} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c := &rawConn{brokertest.NewRawConn(conn), t}
		c.send("GET /x HTTP/1.1\r\nHost: ", host, "\r\nConnection: close\r\n\r\n")
		if got := c.result("GET"); got.status != 200 {
			t.Errorf("Host %q: got %d %s, want 200", host, got.status, got.body)
		}
		_ = conn.Close()
		b.record(t)
	}
}

// A request that waits for a token holds no long body: the app is asked for it only then.
func TestReadsBodyOnceTokenIsThere(t *testing.T) {
	tokens := &fakeTokens{waiting: make(chan struct{})}
	arrive := make(chan struct{})
	tokens.wait = func(ctx context.Context) (string, error) {
		<-arrive
		return authorization, nil
	}
	up := startRecorder(t, h1, nil)
	b := start(t, up.url, func(s *setup) {
		s.Tokens, s.Retry, s.RetryBuffer = accounts{"": tokens}.tokens, true, 300_000
	})
	c := b.dial(t)
	c.send(expectContinue, "Content-Length: 300000\r\n\r\n")
	brokertest.Receive(t, "the request to wait", tokens.waiting)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if line, err := c.Reader.Peek(1); err == nil {
		t.Fatalf("got %q without a token, want nothing", line)
	}
	if err := c.SetReadDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	go func() { brokertest.Receive(t, "the second wait", tokens.waiting) }()
	close(arrive)
	if got := c.head(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("got %q, want 100", got)
	}
	c.send(long)
	if got := c.result("POST"); got.status != 200 {
		t.Errorf("got %d, want 200", got.status)
	}
	if got := up.request(t); got.body != long || got.header["Expect"] != nil {
		t.Errorf("got %+v, want the body without Expect", got)
	}
}
