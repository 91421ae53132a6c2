package proxy_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// The kinds of upstream.
const (
	h1     = "HTTP/1.1"
	secure = "HTTP/1.1 over TLS"
	h2     = "HTTP/2.0"
)

// http2Upstreams has the URLs of upstreams that are used over HTTP/2.
var http2Upstreams sync.Map

// forAllKinds runs a test with an upstream of each kind.
func forAllKinds(t *testing.T, f func(t *testing.T, kind string)) {
	for _, kind := range []string{h1, secure, h2} {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}

// serve starts an upstream and returns its URL.
func serve(t testing.TB, kind string, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.DisableGeneralOptionsHandler = true
	s.Config.MaxHeaderBytes = 1 << 20
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // some handshakes fail on purpose
	// This runs last: once the port is free, another test may get it, and store its URL.
	t.Cleanup(s.Close)
	if kind != h1 {
		s.EnableHTTP2 = kind == h2
		s.StartTLS()
		if kind == h2 {
			http2Upstreams.Store(s.URL, true)
			t.Cleanup(func() { http2Upstreams.Delete(s.URL) })
		}
	} else {
		s.Start()
	}
	return s.URL
}

// recordedRequest is a request that arrived at the upstream.
type recordedRequest struct {
	method, proto, host, target string
	header, trailer             http.Header
	length                      int64
	chunked                     bool
	body                        string
	err                         error // of reading the body
}

// recorder is an upstream that records requests.
type recorder struct {
	url string
	mu  sync.Mutex
	all []recordedRequest
}

// startRecorder starts a recorder. It reads requests to their end and then calls answer, if that is not nil.
func startRecorder(t testing.TB, kind string, answer http.HandlerFunc) *recorder {
	t.Helper()
	rec := &recorder{}
	rec.url = serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		rec.mu.Lock()
		rec.all = append(rec.all, recordedRequest{
			method: r.Method, proto: r.Proto, host: r.Host, target: r.RequestURI,
			header: r.Header.Clone(), trailer: r.Trailer.Clone(),
			length: r.ContentLength, chunked: slices.Equal(r.TransferEncoding, []string{"chunked"}),
			body: string(body), err: err,
		})
		rec.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	})
	return rec
}

// requests returns the requests since its last call.
func (rec *recorder) requests() []recordedRequest {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	all := rec.all
	rec.all = nil
	return all
}

// request returns the only request since the last call of requests.
func (rec *recorder) request(t testing.TB) recordedRequest {
	t.Helper()
	all := rec.requests()
	if len(all) != 1 {
		t.Fatalf("%d requests went upstream, want 1: %+v", len(all), all)
	}
	return all[0]
}

// startRawUpstream starts an upstream that calls handle with each connection and then closes it.
func startRawUpstream(t testing.TB, handle func(c net.Conn, r *bufio.Reader)) (addr string) {
	t.Helper()
	return brokertest.ServeRaw(t, func(c net.Conn) { handle(c, bufio.NewReader(c)) })
}

// afterRequest returns a handler that reads a request's header and then sends text.
func afterRequest(text string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		if request, err := http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, request.Body)
			_, _ = io.WriteString(c, text)
		}
	}
}
