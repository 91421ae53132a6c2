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

// tape is an API that shares no code with what it watches: it reads a socket byte for byte, and keeps what it is sent. A
// server of net/http would mend, or refuse, some of what must never come.
type tape struct {
	host     string // what a request's Host must be
	listener net.Listener
	tokens   func() []string // those of which a request must show one
	answer   func(hit) string
	early    func(hit) string // answers before the body was read; nil, or empty, if it does not

	mu     sync.Mutex
	hits   []hit
	faults []string // with what has come
	conns  map[net.Conn]bool
}

// hit is a whole request.
type hit struct {
	raw            string // as it came
	method, target string
	fields         []field
	body           string
	trailer        []field
}

type field struct{ name, value string }

// values of all fields of a name, in lower case, in the header alone.
func (h hit) values(name string) []string { return valuesOf(h.fields, name) }

func valuesOf(fields []field, name string) (values []string) {
	for _, f := range fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// startTape serves until the test's end. What is at fault with any request fails the test then, if nobody asks before.
func startTape(t *testing.T, tokens func() []string) *tape {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tape{host: listener.Addr().String(), listener: listener, tokens: tokens, conns: map[net.Conn]bool{}}
	s.answer = func(h hit) string { return told(h.method + " " + h.target) }
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		serving.Wait()
		for _, fault := range s.found() {
			t.Error(fault)
		}
	})
	return s
}

func (s *tape) url() string { return "http://" + s.host }

// told is a response, marked as the API's own.
func told(body string, more ...string) string {
	return "HTTP/1.1 200 OK\r\nFrom-Tape: yes\r\n" + brokertest.HeaderLines(more...) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

func (s *tape) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := &reel{from: bufio.NewReader(conn), headed: func(h hit) error {
		s.mu.Lock()
		early := s.early
		s.mu.Unlock()
		if early == nil {
			return nil
		}
		_, err := io.WriteString(conn, early(h))
		return err
	}}
	for {
		h, err := r.request()
		switch {
		case errors.Is(err, errWrong):
			s.mu.Lock()
			s.faults = append(s.faults, fmt.Sprintf("the API was sent what is no request: %v in %q", err, r.raw.String()))
			s.mu.Unlock()
			return
		case err != nil:
			return // a request that was broken off on its way is none
		}
		wrong := s.wrong(h)
		s.mu.Lock()
		if wrong != "" {
			s.faults = append(s.faults, fmt.Sprintf("the API was sent %s in %q", wrong, h.raw))
		}
		s.hits = append(s.hits, h)
		answer := s.answer(h)
		if s.early != nil && s.early(h) != "" {
			answer = ""
		}
		s.mu.Unlock()
		if h.method == "HEAD" {
			head, _, _ := strings.Cut(answer, "\r\n\r\n")
			answer = head + "\r\n\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// take returns what has come since the last call.
func (s *tape) take() []hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	hits := s.hits
	s.hits = nil
	return hits
}

// found returns what was at fault with what has come since the last call.
func (s *tape) found() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := s.faults
	s.faults = nil
	return faults
}

// answering has all requests from now on answered so.
func (s *tape) answering(answer func(hit) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// neverOn are the headers that no request may have upstream, whatever the app sent.
var neverOn = []string{"connection", "proxy-authorization", "proxy-connection", "keep-alive", "upgrade", "http2-settings",
	"origin", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "client-ip", "true-client-ip", "etrusted-broker-malformed"}

// neverBehind are the trailers.
var neverBehind = []string{"authorization", "host", "content-length", "transfer-encoding", "via", "trailer",
	"x-forwarded-for", "x-real-ip", "set-cookie", "status", "x-http-method-override", "x-original-url", "x-original-method"}

// wrong says what of a request is not as the broker promises; empty if all is.
func (s *tape) wrong(h hit) string {
	authorization, via := h.values("authorization"), h.values("via")
	coding, length := h.values("transfer-encoding"), h.values("content-length")
	switch {
	case len(authorization) != 1 || !slices.Contains(s.tokens(), strings.TrimPrefix(authorization[0], "Bearer ")):
		return fmt.Sprintf("Authorization %q", authorization)
	case !slices.Equal(h.values("host"), []string{s.host}):
		return fmt.Sprintf("Host %q", h.values("host"))
	case len(via) == 0 || via[len(via)-1] != "1.1 etrusted-broker":
		return fmt.Sprintf("Via %q", via)
	case len(coding)+len(length) > 1:
		return "two framings"
	case strings.EqualFold(h.method, "CONNECT"), strings.EqualFold(h.method, "TRACE"):
		return "the method " + h.method
	case h.target[0] != '/' && (h.target != "*" || h.method != "OPTIONS"):
		return "the target " + h.target
	}
	for _, name := range neverOn {
		if len(h.values(name)) > 0 {
			return "a header " + name
		}
	}
	for _, name := range neverBehind {
		if len(valuesOf(h.trailer, name)) > 0 {
			return "a trailer " + name
		}
	}
	return ""
}

// reel reads requests by the letter of RFC 9112, and forgives nothing.
type reel struct {
	from   *bufio.Reader
	raw    strings.Builder
	headed func(hit) error // called between header and body
}

// errWrong is for what no request may be. Any other error is the connection's.
var errWrong = errors.New("not RFC 9112")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errWrong, fmt.Sprintf(format, args...))
}

func (r *reel) request() (h hit, err error) {
	r.raw.Reset()
	line, err := r.line()
	if err != nil {
		return h, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !isName(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" {
		return h, wrong("the request line %q", line)
	}
	h.method, h.target = parts[0], parts[1]
	if h.fields, err = r.fields(); err != nil {
		return h, err
	}
	if err := r.headed(h); err != nil {
		return h, err
	}
	switch coding, length := h.values("transfer-encoding"), h.values("content-length"); {
	case len(coding) > 0 && !slices.Equal(coding, []string{"chunked"}):
		return h, wrong("Transfer-Encoding %q", coding)
	case len(coding) > 0:
		h.body, h.trailer, err = r.chunks()
	case len(length) > 0:
		n, bad := strconv.ParseUint(length[0], 10, 32)
		if bad != nil || strings.Trim(length[0], "0123456789") != "" {
			return h, wrong("Content-Length %q", length)
		}
		h.body, err = r.exactly(int(n))
	}
	h.raw = r.raw.String()
	return h, err
}

// line reads one that ends with CR LF and has neither anywhere else, nor any other control character.
func (r *reel) line() (string, error) {
	line, err := r.from.ReadString('\n')
	r.raw.WriteString(line)
	if err != nil {
		return "", err
	}
	text, ended := strings.CutSuffix(line, "\r\n")
	if !ended || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", wrong("the line %q", line)
	}
	return text, nil
}

func (r *reel) fields() (fields []field, err error) {
	for {
		line, err := r.line()
		if err != nil || line == "" {
			return fields, err
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isName(name) {
			return nil, wrong("the field %q", line)
		}
		fields = append(fields, field{name, strings.Trim(value, " \t")})
	}
}

func (r *reel) exactly(n int) (string, error) {
	content := make([]byte, n)
	_, err := io.ReadFull(r.from, content)
	r.raw.Write(content)
	return string(content), err
}

func (r *reel) chunks() (body string, trailer []field, err error) {
	for {
		line, err := r.line()
		if err != nil {
			return "", nil, err
		}
		size, bad := strconv.ParseUint(line, 16, 32)
		if bad != nil || strings.Trim(line, "0123456789abcdef") != "" {
			return "", nil, wrong("the chunk size %q", line)
		}
		if size == 0 {
			trailer, err = r.fields()
			return body, trailer, err
		}
		data, err := r.exactly(int(size) + 2)
		if err != nil {
			return "", nil, err
		}
		if !strings.HasSuffix(data, "\r\n") {
			return "", nil, wrong("the chunk %q", data)
		}
		body += data[:size]
	}
}

// isName is RFC 9110 section 5.6.2.
func isName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
