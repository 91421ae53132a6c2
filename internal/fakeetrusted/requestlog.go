package fakeetrusted

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// The bounds of what is recorded. The demo runs for days, so memory must not grow with the number of requests.
const (
	maxRequests = 1000     // of each kind
	maxBodies   = 16       // of API requests that had one
	maxKeptBody = 1 << 20  // bytes of each
	maxBody     = 64 << 20 // bytes read of an API request
	maxForm     = 64 << 10 // bytes read of a token request; all of it is kept
)

// TokenRequest is a request to the token endpoint as it arrived. It holds the client's secret.
type TokenRequest struct {
	At         time.Time // of arrival
	Method     string
	Host       string
	RequestURI string     // the request target as sent
	Form       url.Values // of the body only; nil if it is not a form or was not read completely yet
	Header     http.Header
	Status     int // of the response; 0 until there is one, and if the connection was closed instead
}

// APIRequest is a request to the API as it arrived. It holds the token.
type APIRequest struct {
	At               time.Time // of arrival
	Method           string
	Host             string
	RequestURI       string // the request target as sent
	Proto            string // "HTTP/1.1", "HTTP/2.0"
	Header           http.Header
	ContentLength    int64    // -1 if unknown
	TransferEncoding []string // outermost first; empty over HTTP/2
	Body             []byte   // the first 1 MiB; nil if there was none, it has not been read yet, or 16 newer ones are kept
	BodyBytes        int64    // the number of bytes read, including those not kept
	Trailer          http.Header
	Status           int // of the response; 0 until there is one, and if the connection was closed instead
}

// requestLog holds the recorded requests of both kinds.
type requestLog struct {
	token ring[TokenRequest]
	api   ring[APIRequest]

	bodies   [maxBodies]*APIRequest // guarded by api.mu
	nextBody int
}

func newRequestLog() *requestLog { return &requestLog{} }

// ring holds the last entries. An entry is added when its request arrives and completed later, under the same lock.
// Completing an entry that has been evicted is harmless.
type ring[T any] struct {
	mu      sync.Mutex
	entries []*T // at most maxRequests
	total   int  // added so far; entries[total % maxRequests] is evicted next
}

func (g *ring[T]) add(e *T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.entries) < maxRequests {
		g.entries = append(g.entries, e)
	} else {
		g.entries[g.total%maxRequests] = e
	}
	g.total++
}

func (g *ring[T]) complete(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *ring[T]) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total
}

// list returns shallow copies, oldest first.
func (g *ring[T]) list() []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]T, 0, len(g.entries))
	oldest := 0
	if len(g.entries) == maxRequests {
		oldest = g.total % maxRequests
	}
	for i := range g.entries {
		out = append(out, *g.entries[(oldest+i)%len(g.entries)])
	}
	return out
}

// The values that entries point to are never modified, so they can be copied outside the lock.

func (l *requestLog) tokenRequests() []TokenRequest {
	out := l.token.list()
	for i := range out {
		out[i].Header = out[i].Header.Clone()
		out[i].Form = cloneForm(out[i].Form)
	}
	return out
}

func (l *requestLog) apiRequests() []APIRequest {
	out := l.api.list()
	for i := range out {
		out[i].Header = out[i].Header.Clone()
		out[i].Trailer = out[i].Trailer.Clone()
		out[i].TransferEncoding = slices.Clone(out[i].TransferEncoding)
	}
	return out
}

func cloneForm(f url.Values) url.Values {
	f = maps.Clone(f)
	for k, v := range f {
		f[k] = slices.Clone(v)
	}
	return f
}

// tokenArrived records r and returns the entry to be completed.
func (l *requestLog) tokenArrived(r *http.Request) *TokenRequest {
	e := &TokenRequest{
		At:         time.Now(),
		Method:     r.Method,
		Host:       r.Host,
		RequestURI: r.RequestURI,
		Header:     r.Header.Clone(),
	}
	l.token.add(e)
	return e
}

// apiArrived records r and returns the entry to be completed.
func (l *requestLog) apiArrived(r *http.Request) *APIRequest {
	e := &APIRequest{
		At:               time.Now(),
		Method:           r.Method,
		Host:             r.Host,
		RequestURI:       r.RequestURI,
		Proto:            r.Proto,
		Header:           r.Header.Clone(),
		ContentLength:    r.ContentLength,
		TransferEncoding: slices.Clone(r.TransferEncoding),
	}
	l.api.add(e)
	return e
}

// apiBody completes e with the body and the trailers, and drops the oldest body.
func (l *requestLog) apiBody(e *APIRequest, body []byte, trailer http.Header) {
	kept := body
	if len(kept) > maxKeptBody {
		kept = slices.Clone(kept[:maxKeptBody]) // a subslice would keep the whole array alive
	}
	trailer = trailer.Clone()
	l.api.complete(func() {
		e.BodyBytes = int64(len(body))
		e.Trailer = trailer
		if len(kept) == 0 {
			return
		}
		e.Body = kept
		if old := l.bodies[l.nextBody]; old != nil {
			old.Body = nil
		}
		l.bodies[l.nextBody] = e
		l.nextBody = (l.nextBody + 1) % maxBodies
	})
}

// readBody reads r's body, which also lets net/http detect a disconnect during a delay. It makes the body readable
// again, and returns what it has read even with an error.
func readBody(w *statusWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(min(r.ContentLength, maxKeptBody)) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w.ResponseWriter, r.Body, limit))
	r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
	return buf.Bytes(), err
}

// answerUnreadableBody answers a request whose body could not be read: 413 if it was too long, 400 if it was truncated.
func answerUnreadableBody(w http.ResponseWriter, err error) {
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		answerError(w, http.StatusRequestEntityTooLarge, "the body is too long")
		return
	}
	answerError(w, http.StatusBadRequest, "the body broke off")
}

// statusWriter reports the final status before the first byte of the response can reach the client, so that a test that
// has its response finds the status recorded. It keeps the capabilities of the underlying writer for fault handlers.
type statusWriter struct {
	http.ResponseWriter
	report func(status int)
	done   bool
}

func (w *statusWriter) WriteHeader(status int) {
	// 1xx responses precede the final one; 101 is final.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.final(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.final(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// final reports the status if none was reported yet. ServeHTTP calls it once more when a handler returns without having
// written anything, which net/http turns into a 200.
func (w *statusWriter) final(status int) {
	if !w.done {
		w.done = true
		w.report(status)
	}
}

// Flush, like Hijack and Unwrap, is for fault handlers: some assert the interface, others use a ResponseController.
func (w *statusWriter) Flush() {
	w.final(http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker. The recorded status stays 0.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.done = true
	}
	return conn, rw, err
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
