package wire_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"etrusted-broker/proxy/wire"
)

// script is a connection that has its client's bytes from the start, cut as the test wants. After the last of them the
// client is silent, and times out at once.
type script struct {
	mu     sync.Mutex
	pieces [][]byte
	read   []byte // what was delivered
	asked  int    // the most that was asked for at once since the test set it to 0
	output bytes.Buffer
	closed chan struct{}
	once   sync.Once
	log    record // of the requests on it
}

// record is what a handler saw.
type record struct {
	mu       sync.Mutex
	requests []request
}

// request is one request as it reached the handler. Its fields are comparable.
type request struct {
	method, target, host, header, body, trailer string
	broken                                      bool // the body could not be read to its end
	fault                                       string
}

func newScript(pieces ...[]byte) *script {
	return &script{pieces: pieces, closed: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = max(s.asked, len(p))
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, os.ErrDeadlineExceeded
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

func (*script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr           { return scriptAddr{s} }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// scriptAddr takes the script to the handler.
type scriptAddr struct{ *script }

func (scriptAddr) Network() string  { return "script" }
func (a scriptAddr) String() string { return fmt.Sprintf("%p", a.script) }

// stage is a server for scripts.
type stage struct {
	conns   chan net.Conn
	scripts sync.Map // by address
}

func (s *stage) Accept() (net.Conn, error) {
	c, ok := <-s.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (s *stage) Close() error   { return nil }
func (s *stage) Addr() net.Addr { return &net.TCPAddr{} }

// tapped is the outer side of a connection: what net/http reads is recorded in its script.
type tapped struct {
	net.Conn
	s *script
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.s.mu.Lock()
	t.s.read = append(t.s.read, p[:n]...)
	t.s.mu.Unlock()
	return n, err
}

type tap struct {
	net.Listener
	stage *stage
}

func (t tap) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s, _ := t.stage.scripts.Load(c.RemoteAddr().String())
	return &tapped{c, s.(*script)}, nil
}

// newStage starts a server, with wire's Listener or without.
func newStage(t testing.TB, strict bool) *stage {
	s := &stage{conns: make(chan net.Conn)}
	server := &http.Server{
		Handler:                      http.HandlerFunc(s.serve),
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               64 << 10,
		ErrorLog:                     log.New(io.Discard, "", 0),
	}
	var listener net.Listener = s
	if strict {
		listener = wire.NewListener(s, 0, nil)
		server.ConnState = func(c net.Conn, state http.ConnState) { wire.ConnState(c.(*tapped).Conn, state) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(tap{listener, s})
	}()
	t.Cleanup(func() {
		close(s.conns)
		<-done
	})
	return s
}

// serve records a request, and answers with a summary of it.
func (s *stage) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Date"] = nil // the one thing that is not the same each time
	header.Set("By-Handler", "yes")
	found, _ := s.scripts.Load(r.RemoteAddr)
	played := found.(*script)
	played.log.mu.Lock()
	defer played.log.mu.Unlock()
	if fault := wire.ErrorFrom(r); fault != nil {
		played.log.requests = append(played.log.requests, request{method: r.Method, fault: fault.Detail})
		w.WriteHeader(fault.Status)
		_, _ = io.WriteString(w, fault.Detail)
		return
	}
	body, err := io.ReadAll(r.Body)
	played.log.requests = append(played.log.requests, request{
		method: r.Method, target: r.RequestURI, host: r.Host, body: string(body), broken: err != nil,
		header: fmt.Sprint(r.Header), trailer: fmt.Sprint(r.Trailer),
	})
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	_, _ = fmt.Fprintf(w, "%s %d", r.RequestURI, len(body))
}

// play serves a script to its end, and returns it.
func (s *stage) play(t testing.TB, pieces ...[]byte) *script {
	played := newScript(pieces...)
	address := played.RemoteAddr().String()
	s.scripts.Store(address, played)
	defer s.scripts.Delete(address)
	s.conns <- played
	select {
	case <-played.closed:
	case <-time.After(10 * time.Second):
		t.Fatalf("the connection stays open after %q", pieces)
	}
	return played
}

// answer is a response on a script.
type answer struct {
	status    int
	body      string
	byHandler bool
	close     bool
}

func (s *script) answers(t testing.TB) (answers []answer) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return parseAnswers(t, s.output.Bytes(), &s.log)
}

func parseAnswers(t testing.TB, output []byte, seen *record) (answers []answer) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(output))
	for {
		if _, err := reader.Peek(1); err != nil {
			return answers
		}
		method := "GET"
		if seen != nil && len(answers) < len(seen.requests) {
			method = seen.requests[len(answers)].method
		}
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%v in %q", err, output)
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatalf("%v in %q", err, output)
		}
		answers = append(answers, answer{
			status: response.StatusCode, body: string(body),
			byHandler: response.Header.Get("By-Handler") != "", close: response.Close,
		})
	}
}
