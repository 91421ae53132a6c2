package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
)

// FuzzRawRequest sends arbitrary bytes to the broker, assembled as in the program. Only requests that strictly follow RFC 9112
// may reach the upstream, each with the one token, for the one host, and no more than were allowed. The upstream reads from a
// socket, since net/http's server would repair some of what must never be sent.
func FuzzRawRequest(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET //a%2fb;{}?%zz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer app\r\n\r\n",
		"GET http://localhost?q HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
		"GET http://elsewhere.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]\r\nConnection: Authorization, Via\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbodyGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n4\r\nbody\r\n0\r\nAuthorization: x\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
		"GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /\xc3\xa4 HTTP/1.1\nHost: localhost\nX: a\n b\n\n",
		"M-SEARCH /..\\x HTTP/1.1\r\nHost: LOCALHOST.\r\nTE: trailers\r\nVia: 1.1 x\r\n\r\n",
		// Smuggling: what one server takes for one request, and the next for two.
		"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 0\r\n\r\nbodyGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nbodyGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.0\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4;a\nb\r\nbody\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\nbody\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1;a=b\r\na\r\n0\r\nX: a\r\nAuthorization: x\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: localhost\r\nX: a\rAuthorization: x\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: localhost\r\nX: a\r\n Authorization: x\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere.example\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Authorization, Via, Host, Content-Length\r\nAuthorization: x\r\nX-Forwarded-For: x\r\n\r\n",
		"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"\r\nPOST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}

	var arrived, sent atomic.Int64 // counted at the upstream, and at the broker's transport
	wrong := make(chan string, 1)
	complain := func(format string, args ...any) {
		select {
		case wrong <- fmt.Sprintf(format, args...):
		default: // one is enough
		}
	}
	host := startRawUpstream(f, func(c net.Conn, r *bufio.Reader) {
		for {
			request, err := readStrict(r)
			switch {
			case errors.Is(err, errNotStrict):
				complain("the upstream got what is no request: %v", err)
				return
			case err != nil:
				return // a request that breaks off does not count
			}
			if n, m := arrived.Add(1), sent.Load(); n > m {
				complain("the upstream found %d requests in %d", n, m)
			}
			if what := request.fault(c.LocalAddr().String()); what != "" {
				complain("%s", what)
			}
			if _, err := io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
				return
			}
		}
	})
	const brief = 20 * time.Millisecond // a connection that waits for more bytes is closed
	config := newConfig(f, "http://"+host)
	client := newClient(config.Upstream)
	client.ResponseTimeout = time.Second
	config.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
		sent.Add(1)
		// An absolute-form target is forwarded without scheme and host, and always has a path.
		from := r.Caller.(*http1.Request).Target
		same := r.Target == from
		if from[0] != '/' {
			same = strings.HasSuffix(from, strings.TrimPrefix(r.Target, "/"))
		}
		if !same {
			complain("sent to %q for %q", r.Target, from)
		}
		return client.RoundTrip(r)
	})
	handler, err := proxy.New(config)
	if err != nil {
		f.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	front := &broker{addr: l.Addr().String(), server: startServer(f, handler, l, brief)}
	f.Cleanup(func() {
		front.server.Close()
		client.CloseIdle()
	})

	f.Fuzz(func(t *testing.T, data []byte) {
		c := front.dial(t)
		_, _ = c.Write(data) // may fail
		// Wait for the response to the first request: a request whose client closes is not forwarded. It is missing if the
		// body is not complete.
		_ = c.SetReadDeadline(time.Now().Add(5 * brief))
		for {
			response, err := http.ReadResponse(c.Reader, nil)
			if err == nil && response.StatusCode < 200 {
				continue
			}
			if err == nil {
				_ = response.Body.Close()
			}
			break
		}
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(testTimeout))
		_, _ = io.Copy(io.Discard, c.Reader)
		select {
		case what := <-wrong:
			t.Error(what)
		default:
		}
	})
}

// isToken implements RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// strictRequest is a request that arrived at the upstream.
type strictRequest struct {
	method, target  string
	header, trailer http.Header
}

// fault returns what violates the broker's contract; empty if nothing does.
func (l strictRequest) fault(host string) string {
	via, coding, length := l.header["Via"], l.header["Transfer-Encoding"], l.header["Content-Length"]
	switch {
	case !slices.Equal(l.header["Authorization"], []string{authorization}):
		return fmt.Sprintf("Authorization %q", l.header["Authorization"])
	case !slices.Equal(l.header["Host"], []string{host}):
		return fmt.Sprintf("Host %q", l.header["Host"])
	case l.method == "CONNECT", l.method == "TRACE":
		return "method " + l.method
	case l.target[0] != '/' && (l.target != "*" || l.method != "OPTIONS"):
		return "target " + l.target
	case len(via) == 0 || via[len(via)-1] != "1.1 etrusted-broker":
		return fmt.Sprintf("Via %q", via)
	case len(coding)+len(length) > 1:
		return fmt.Sprintf("framed by %q and %q", coding, length)
	}
	for _, name := range []string{"Origin", "Upgrade", "Connection", "Proxy-Authorization", "Forwarded", "X-Forwarded-For", "Etrusted-Broker-Malformed"} {
		if l.header[name] != nil {
			return fmt.Sprintf("%s %q", name, l.header[name])
		}
	}
	for _, name := range []string{"Authorization", "Host", "Content-Length", "Transfer-Encoding", "Via", "Connection"} {
		if l.trailer[name] != nil {
			return fmt.Sprintf("%s %q in the trailer", name, l.trailer[name])
		}
	}
	return ""
}

// errNotStrict is for a violation of RFC 9112. Any other error is the connection's.
var errNotStrict = errors.New("not RFC 9112")

// readStrict reads a request and tolerates nothing.
func readStrict(r *bufio.Reader) (l strictRequest, err error) {
	line, err := strictLine(r)
	if err != nil {
		return l, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" {
		return l, fmt.Errorf("%w: %q", errNotStrict, line)
	}
	l.method, l.target = parts[0], parts[1]
	if l.header, err = strictFields(r); err != nil {
		return l, err
	}
	switch coding, length := l.header["Transfer-Encoding"], l.header["Content-Length"]; {
	case len(coding) > 0 && !slices.Equal(coding, []string{"chunked"}):
		return l, fmt.Errorf("%w: Transfer-Encoding %q", errNotStrict, coding)
	case len(coding) > 0:
		l.trailer, err = strictChunks(r)
	case len(length) > 0:
		n, bad := strconv.ParseUint(length[0], 10, 62)
		if bad != nil {
			return l, fmt.Errorf("%w: Content-Length %q", errNotStrict, length)
		}
		_, err = io.CopyN(io.Discard, r, int64(n))
	}
	return l, err
}

// strictLine reads a line that ends with CR LF and has no control characters except tabs.
func strictLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, ended := strings.CutSuffix(line, "\r\n")
	if !ended || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", fmt.Errorf("%w: %q", errNotStrict, line)
	}
	return text, nil
}

func strictFields(r *bufio.Reader) (http.Header, error) {
	fields := http.Header{}
	for {
		line, err := strictLine(r)
		if err != nil || line == "" {
			return fields, err
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken(name) {
			return nil, fmt.Errorf("%w: %q", errNotStrict, line)
		}
		fields.Add(name, strings.Trim(value, " \t"))
	}
}

func strictChunks(r *bufio.Reader) (trailer http.Header, err error) {
	for {
		line, err := strictLine(r)
		if err != nil {
			return nil, err
		}
		size, bad := strconv.ParseUint(line, 16, 62)
		switch {
		case bad != nil:
			return nil, fmt.Errorf("%w: %q", errNotStrict, line)
		case size == 0:
			return strictFields(r)
		}
		if _, err := io.CopyN(io.Discard, r, int64(size)); err != nil {
			return nil, err
		}
		if end, err := strictLine(r); err != nil {
			return nil, err
		} else if end != "" {
			return nil, fmt.Errorf("%w: %q behind a chunk", errNotStrict, end)
		}
	}
}
