package http1_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

type handlerFunc func(*http1.ResponseWriter, *http1.Request)

func (f handlerFunc) ServeHTTP1(w *http1.ResponseWriter, r *http1.Request) { f(w, r) }

func start(t testing.TB, handler handlerFunc) (server *http1.Server, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server = &http1.Server{Handler: handler, HeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return server, l.Addr().String()
}

func hello(w *http1.ResponseWriter, r *http1.Request) {
	if r.Malformed != nil {
		w.WriteHead(r.Malformed.Status, "Bad", 0)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.Abort()
		return
	}
	w.Fields.Add("X-Echo", r.Method+" "+r.Target)
	w.WriteHead(200, "Fine", int64(5+len(body)))
	_, _ = io.WriteString(w, "hello"+string(body))
}

func TestServesRequests(t *testing.T) {
	_, addr := start(t, hello)
	for range 3 {
		response, err := http.Post("http://"+addr+"/x", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != "hellobody" || response.Status != "200 Fine" {
			t.Errorf("got %q, %v, %s", text, err, response.Status)
		}
		_ = response.Body.Close()
	}
}

func TestShutdownWaitsForRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	server, addr := start(t, func(w *http1.ResponseWriter, r *http1.Request) {
		close(entered)
		<-release
		hello(w, r)
	})
	got := make(chan *http.Response, 1)
	go func() {
		response, _ := http.Get("http://" + addr)
		got <- response
	}()
	<-entered
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(context.Background()) }()
	time.Sleep(20 * time.Millisecond)
	close(release)
	if response := <-got; response == nil || !response.Close {
		t.Errorf("got %+v", response)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkServer(b *testing.B) {
	_, addr := start(b, func(w *http1.ResponseWriter, r *http1.Request) {
		w.WriteHead(200, "OK", 5)
		_, _ = w.Write([]byte("hello"))
	})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(c)
	request := []byte("GET /reviews?count=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := r.Discard(5); err != nil {
			b.Fatal(err)
		}
	}
}
