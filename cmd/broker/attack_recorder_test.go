package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// recordingAPI is an API that records the requests it receives, byte for byte. It shares no code with the broker: a net/http
// server would repair or reject some of the requests that must never arrive.
type recordingAPI struct {
	host         string          // the required Host header
	tokens       func() []string // every request must have one of these
	respond      func(rawRequest) string
	respondEarly func(rawRequest) string // response before the body is read; none if nil, or if it returns an empty string

	mu       sync.Mutex
	requests []rawRequest
	problems []string // of the requests received
}

// rawRequest is a complete request as the API received it.
type rawRequest struct {
	raw            string // all bytes of it
	method, target string
	fields         headerFields
	body           string
	trailer        headerFields
}

type headerFields []struct{ name, value string }

// values returns the values of a field.
func (h headerFields) values(name string) (values []string) {
	for _, f := range h {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// startRecordingAPI serves until the end of the test, and then fails it if a request had a problem that takeProblems has not
// returned.
func startRecordingAPI(t *testing.T, tokens func() []string) *recordingAPI {
	t.Helper()
	listener := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	s := &recordingAPI{host: listener.Addr().String(), tokens: tokens}
	s.respond = func(h rawRequest) string { return okResponse(h.method + " " + h.target) }
	t.Cleanup(func() {
		for _, problem := range s.takeProblems() {
			t.Error(problem)
		}
	})
	brokertest.ServeRawOn(t, listener, s.serve)
	return s
}

func (s *recordingAPI) url() string { return "http://" + s.host }

// okResponse is a 200 response with the header that marks the API's own responses.
func okResponse(body string, more ...string) string {
	return "HTTP/1.1 200 OK\r\nFrom-Api: yes\r\n" + brokertest.HeaderLines(more...) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

func (s *recordingAPI) serve(conn net.Conn) {
	r := &requestReader{source: bufio.NewReader(conn), onHeader: func(h rawRequest) error {
		s.mu.Lock()
		early := s.respondEarly
		s.mu.Unlock()
		if early == nil {
			return nil
		}
		_, err := io.WriteString(conn, early(h))
		return err
	}}
	for {
		h, err := r.readRequest()
		switch {
		case errors.Is(err, errMalformed):
			s.mu.Lock()
			s.problems = append(s.problems, fmt.Sprintf("got a malformed request to the API: %v in %q", err, r.raw.String()))
			s.mu.Unlock()
			return
		case err != nil:
			return // the broker has closed the connection: an incomplete request does not count
		}
		problem := s.problemWith(h)
		s.mu.Lock()
		if problem != "" {
			s.problems = append(s.problems, fmt.Sprintf("got an invalid request to the API: %s in %q", problem, h.raw))
		}
		s.requests = append(s.requests, h)
		response := s.respond(h)
		if s.respondEarly != nil && s.respondEarly(h) != "" {
			response = ""
		}
		s.mu.Unlock()
		if h.method == "HEAD" {
			head, _, _ := strings.Cut(response, "\r\n\r\n")
			response = head + "\r\n\r\n"
		}
		if _, err := io.WriteString(conn, response); err != nil {
			return
		}
	}
}

// takeRequests returns the requests received since the last call.
func (s *recordingAPI) takeRequests() []rawRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

// takeProblems returns the problems with the requests received since the last call.
func (s *recordingAPI) takeProblems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	problems := s.problems
	s.problems = nil
	return problems
}

// setResponse sets how the API responds to later requests.
func (s *recordingAPI) setResponse(respond func(rawRequest) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.respond = respond
}

// forbiddenHeaders must not reach the API, whatever the app sent.
var forbiddenHeaders = []string{"connection", "proxy-authorization", "proxy-connection", "keep-alive", "upgrade", "http2-settings",
	"origin", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "client-ip", "true-client-ip", "etrusted-broker-malformed"}

// forbiddenTrailers must not reach the API as trailers.
var forbiddenTrailers = []string{"authorization", "host", "content-length", "transfer-encoding", "via", "trailer",
	"x-forwarded-for", "x-real-ip", "set-cookie", "status", "x-http-method-override", "x-original-url", "x-original-method"}

// problemWith returns what is wrong with a request that the broker sent; empty if nothing is.
func (s *recordingAPI) problemWith(h rawRequest) string {
	authorization, via := h.fields.values("authorization"), h.fields.values("via")
	coding, length := h.fields.values("transfer-encoding"), h.fields.values("content-length")
	switch {
	case len(authorization) != 1 || !slices.Contains(s.tokens(), strings.TrimPrefix(authorization[0], "Bearer ")):
		return fmt.Sprintf("Authorization %q", authorization)
	case !slices.Equal(h.fields.values("host"), []string{s.host}):
		return fmt.Sprintf("Host %q", h.fields.values("host"))
	case len(via) == 0 || via[len(via)-1] != "1.1 etrusted-broker":
		return fmt.Sprintf("Via %q", via)
	case len(coding)+len(length) > 1:
		return "two framings"
	case strings.EqualFold(h.method, "CONNECT"), strings.EqualFold(h.method, "TRACE"):
		return "the method " + h.method
	case h.target[0] != '/' && (h.target != "*" || h.method != "OPTIONS"):
		return "the target " + h.target
	}
	for _, name := range forbiddenHeaders {
		if len(h.fields.values(name)) > 0 {
			return "a header " + name
		}
	}
	for _, name := range forbiddenTrailers {
		if len(h.trailer.values(name)) > 0 {
			return "a trailer " + name
		}
	}
	return ""
}

// requestReader reads requests strictly as RFC 9112 defines them.
type requestReader struct {
	source   *bufio.Reader
	raw      strings.Builder
	onHeader func(rawRequest) error // called between header and body
}

// errMalformed marks violations of RFC 9112. Any other error comes from the connection.
var errMalformed = errors.New("not RFC 9112")

func malformedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

func (r *requestReader) readRequest() (h rawRequest, err error) {
	r.raw.Reset()
	line, err := r.readLine()
	if err != nil {
		return h, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" {
		return h, malformedf("the request line %q", line)
	}
	h.method, h.target = parts[0], parts[1]
	if h.fields, err = r.readFields(); err != nil {
		return h, err
	}
	if err := r.onHeader(h); err != nil {
		return h, err
	}
	switch coding, length := h.fields.values("transfer-encoding"), h.fields.values("content-length"); {
	case len(coding) > 0 && !slices.Equal(coding, []string{"chunked"}):
		return h, malformedf("Transfer-Encoding %q", coding)
	case len(coding) > 0:
		h.body, h.trailer, err = r.readChunks()
	case len(length) > 0:
		n, bad := strconv.ParseUint(length[0], 10, 32)
		if bad != nil || strings.Trim(length[0], "0123456789") != "" {
			return h, malformedf("Content-Length %q", length)
		}
		h.body, err = r.readN(int(n))
	}
	h.raw = r.raw.String()
	return h, err
}

// readLine reads a line that ends with CR LF and has no other control characters except tabs.
func (r *requestReader) readLine() (string, error) {
	line, err := r.source.ReadString('\n')
	r.raw.WriteString(line)
	if err != nil {
		return "", err
	}
	text, ended := strings.CutSuffix(line, "\r\n")
	if !ended || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", malformedf("the line %q", line)
	}
	return text, nil
}

func (r *requestReader) readFields() (fields headerFields, err error) {
	for {
		line, err := r.readLine()
		if err != nil || line == "" {
			return fields, err
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken(name) {
			return nil, malformedf("the field %q", line)
		}
		fields = append(fields, struct{ name, value string }{name, strings.Trim(value, " \t")})
	}
}

func (r *requestReader) readN(n int) (string, error) {
	content := make([]byte, n)
	_, err := io.ReadFull(r.source, content)
	r.raw.Write(content)
	return string(content), err
}

func (r *requestReader) readChunks() (body string, trailer headerFields, err error) {
	for {
		line, err := r.readLine()
		if err != nil {
			return "", nil, err
		}
		size, bad := strconv.ParseUint(line, 16, 32)
		if bad != nil || strings.Trim(line, "0123456789abcdef") != "" {
			return "", nil, malformedf("the chunk size %q", line)
		}
		if size == 0 {
			trailer, err = r.readFields()
			return body, trailer, err
		}
		data, err := r.readN(int(size) + 2)
		if err != nil {
			return "", nil, err
		}
		if !strings.HasSuffix(data, "\r\n") {
			return "", nil, malformedf("the chunk %q", data)
		}
		body += data[:size]
	}
}

// isToken reports whether text is a token: RFC 9110 section 5.6.2.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
