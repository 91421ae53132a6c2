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

// The bounds of what is remembered. The demo runs for days, so nothing here may grow with the number of requests.
const (
	keepRequests = 1000     // of each kind
	keepBodies   = 16       // of API requests that had one
	keepBody     = 1 << 20  // bytes of each
	maxBody      = 64 << 20 // bytes read of an API request
	maxForm      = 64 << 10 // bytes read of a token request; all of it is kept
)

// TokenRequest is a request to the token endpoint as it arrived. It holds the client's secret.
type TokenRequest struct {
	At         time.Time // of arrival
	Method     string
	Host       string
	RequestURI string     // the target as it was sent
	Form       url.Values // of the body alone; nil if the body is not a form, or has not been read to its end yet
	Header     http.Header
	Status     int // of the answer; 0 while there is none, and forever if the connection was broken instead
}

// APIRequest is a request to the API as it arrived. It holds the token.
type APIRequest struct {
	At               time.Time // of arrival
	Method           string
	Host             string
	RequestURI       string // the target as it was sent, byte for byte
	Proto            string // "HTTP/1.1", "HTTP/2.0"
	Header           http.Header
	ContentLength    int64    // as announced; -1 if it was not
	TransferEncoding []string // outermost first; empty over HTTP/2
	Body             []byte   // the first 1 MiB; nil if there was none, it has not been read yet, or 16 newer ones are kept
	BodyBytes        int64    // how many bytes were read, those not kept included
	Trailer          http.Header
	Status           int // of the answer; 0 while there is none, and forever if the connection was broken instead
}

// record is the memory of both kinds of requests.
type record struct {
	token ring[TokenRequest]
	api   ring[APIRequest]

	bodies   [keepBodies]*APIRequest // guarded by api.mu
	nextBody int
}

func newRecord() *record { return &record{} }

// ring keeps the last entries. An entry is added when its request arrives and is completed later, under the same lock;
// completing one that has been pushed out meanwhile is harmless.
type ring[T any] struct {
	mu      sync.Mutex
	entries []*T // at most keepRequests
	total   int  // ever added; entries[total % keepRequests] is the next to go
}

func (g *ring[T]) add(e *T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.entries) < keepRequests {
		g.entries = append(g.entries, e)
	} else {
		g.entries[g.total%keepRequests] = e
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
	if len(g.entries) == keepRequests {
		oldest = g.total % keepRequests
	}
	for i := range g.entries {
		out = append(out, *g.entries[(oldest+i)%len(g.entries)])
	}
	return out
}

// What entries point to is never changed once it is there, so it can be copied for the caller outside the lock.

func (l *record) tokenRequests() []TokenRequest {
	out := l.token.list()
	for i := range out {
		out[i].Header = out[i].Header.Clone()
		out[i].Form = cloneForm(out[i].Form)
	}
	return out
}

func (l *record) apiRequests() []APIRequest {
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
func (l *record) tokenArrived(r *http.Request) *TokenRequest {
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
func (l *record) apiArrived(r *http.Request) *APIRequest {
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

// apiBody completes e with the body and what came after it, and drops the oldest body kept.
func (l *record) apiBody(e *APIRequest, body []byte, trailer http.Header) {
	kept := body
	if len(kept) > keepBody {
		kept = slices.Clone(kept[:keepBody]) // a slice of the whole would keep the whole alive
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
		l.nextBody = (l.nextBody + 1) % keepBodies
	})
}

// readBody reads r's body to its end, which is also what lets net/http notice that a client went away during a delay.
// Whoever handles r next finds the body unread again. It returns what it read on an error, too.
func readBody(w *statusWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(min(r.ContentLength, keepBody)) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w.ResponseWriter, r.Body, limit))
	r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
	return buf.Bytes(), err
}

// answerUnread answers a request whose body readBody could not read: 413 if it was too long, 400 if it broke off.
func answerUnread(w http.ResponseWriter, err error) {
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		answerError(w, http.StatusRequestEntityTooLarge, "the body is too long")
		return
	}
	answerError(w, http.StatusBadRequest, "the body broke off")
}

// statusWriter reports the final status of an answer before the first byte of it can reach the client, so that a test
// which has its response finds the status recorded. It keeps what the underlying writer can do, for faults' sake.
type statusWriter struct {
	http.ResponseWriter
	report func(status int)
	done   bool
}

func (w *statusWriter) WriteHeader(status int) {
	// 1xx answers come before the final one; 101 is final.
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

// Flush, like Hijack and Unwrap, is here for faults: some assert the interface, some use a ResponseController.
func (w *statusWriter) Flush() {
	w.final(http.StatusOK)
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack hands the connection over; the answer's status is then unknown, and stays 0.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.done = true
	}
	return conn, rw, err
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
