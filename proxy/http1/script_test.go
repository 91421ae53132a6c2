package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// script is a connection whose client sends its bytes in the given pieces and then closes its side.
type script struct {
	net.Conn // whose other methods do nothing
	mu       sync.Mutex
	pieces   [][]byte
	asked    int // the largest read since the test set it to 0
	output   bytes.Buffer
	closed   chan struct{}
	once     sync.Once
}

func newScript(pieces ...[]byte) *script {
	unused, _ := net.Pipe()
	return &script{Conn: unused, pieces: pieces, closed: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = max(s.asked, len(p))
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.Write(p)
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// listenerFunc is a listener that only accepts.
type listenerFunc func() (net.Conn, error)

func (f listenerFunc) Accept() (net.Conn, error) { return f() }
func (listenerFunc) Close() error                { return nil }
func (listenerFunc) Addr() net.Addr              { return &net.TCPAddr{} }

// listenerOf returns a listener of the given connections.
func listenerOf(conns ...net.Conn) listenerFunc {
	return func() (net.Conn, error) {
		if len(conns) == 0 {
			return nil, net.ErrClosed
		}
		next := conns[0]
		conns = conns[1:]
		return next, nil
	}
}

// seenRequest is a request as the handler saw it. Requests are comparable.
type seenRequest struct {
	method, target, host, fields, body, trailer string
	minorVersion                                int
	contentLength                               int64
	broken                                      bool // the body could not be read to its end
	malformed                                   string
}

// seenResponse is a response as the client saw it.
type seenResponse struct {
	status int
	body   string
	close  bool
}

// played is what came of a script.
type played struct {
	requests []seenRequest
	output   string
}

// serve records a request and answers with a summary of it. A body that is broken is answered with 422.
func (p *played) serve(w *http1.ResponseWriter, r *http1.Request) {
	seen := seenRequest{method: r.Method, target: r.Target, host: r.Host, minorVersion: r.MinorVersion, contentLength: r.ContentLength}
	if r.Malformed != nil {
		p.requests = append(p.requests, seenRequest{method: r.Method, malformed: r.Malformed.Code})
		respond(w, r.Malformed.Status, r.Malformed.Error())
		return
	}
	seen.fields = fmt.Sprintf("%q", r.Fields)
	body, err := io.ReadAll(r.Body)
	seen.body, seen.broken = string(body), err != nil
	if trailer := r.Body.Trailer(); len(trailer) > 0 {
		seen.trailer = fmt.Sprintf("%q", trailer)
	}
	p.requests = append(p.requests, seen)
	status := 200
	if err != nil {
		status = 422
	}
	respond(w, status, fmt.Sprintf("%s %d", r.Target, len(body)))
}

// play serves a script to its end.
func play(t testing.TB, pieces ...[]byte) *played {
	t.Helper()
	p := &played{}
	p.output = playOn(t, newScript(pieces...), p.serve)
	return p
}

func playOn(t testing.TB, client *script, handler handlerFunc) (output string) {
	t.Helper()
	_ = newServer(handler).Serve(listenerOf(client)) // net.ErrClosed
	select {
	case <-client.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection is still open after 10 s")
	}
	client.mu.Lock()
	defer client.mu.Unlock()
	return client.output.String()
}

// responses parses what a script's client has received.
func (p *played) responses(t testing.TB) (responses []seenResponse) {
	t.Helper()
	reader := bufio.NewReader(strings.NewReader(p.output))
	for {
		if _, err := reader.Peek(1); err != nil {
			return responses
		}
		method := "GET"
		if len(responses) < len(p.requests) {
			method = p.requests[len(responses)].method
		}
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%v in %q", err, p.output)
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%v in %q", err, p.output)
		}
		responses = append(responses, seenResponse{response.StatusCode, string(body), response.Close})
	}
}

// cut cuts input into pieces of the lengths that lengths says, over and over.
func cut(input []byte, lengths ...byte) (pieces [][]byte) {
	for i := 0; len(input) > 0; i++ {
		n := len(input)
		if len(lengths) > 0 {
			n = min(n, 1+int(lengths[i%len(lengths)]))
		}
		pieces = append(pieces, slices.Clone(input[:n]))
		input = input[n:]
	}
	return pieces
}

// expectSameWhenCut plays text byte by byte and in two pieces that are cut at each position from begin on: the result must be
// the same.
func expectSameWhenCut(t *testing.T, begin int, text string, want *played) {
	t.Helper()
	wantResponses := want.responses(t)
	check := func(how string, at int, pieces ...[]byte) {
		t.Helper()
		got := play(t, pieces...)
		if !slices.Equal(got.requests, want.requests) {
			t.Fatalf("%s %d: the handler saw %+v, want %+v", how, at, got.requests, want.requests)
		}
		if responses := got.responses(t); !slices.Equal(responses, wantResponses) {
			t.Fatalf("%s %d: the client saw %v, want %v", how, at, responses, wantResponses)
		}
	}
	step := 1
	if len(text) > 1000 {
		step = len(text) / 16 // such a text is long only for a limit's sake
	} else {
		check("byte by byte", 0, cut([]byte(text), 0)...)
	}
	for at := begin; at < len(text); at += step {
		check("cut at", at, []byte(text[:at]), []byte(text[at:]))
	}
}
