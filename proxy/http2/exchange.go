package http2

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"sync"
	"time"

	"etrusted-broker/proxy/http1"
)

// exchange is a request and its response. It is also the streamed body that net/http reads, on another goroutine, until end.
type exchange struct {
	request *http1.ClientRequest
	cancel  context.CancelFunc
	trailer http.Header // of the request: the values are set at the end of the body
	reading sync.Mutex  // held by Read

	mu                 sync.Mutex
	timer              *time.Timer // runs while the server has something to do; nil without a timeout
	timeout            time.Duration
	expired            bool  // the timeout has passed
	answered           bool  // there is a response, or an error
	informationalErr   error // of an informational response
	informationalCount int   // of informational responses
	remaining          int64 // of the stream; negative for chunked
	streamErr          error // why nothing more is read of the stream: io.EOF at its end, http.ErrBodyReadAfterClose after Close
}

func newExchange(r *http1.ClientRequest, timeout time.Duration, cancel context.CancelFunc) *exchange {
	e := &exchange{request: r, cancel: cancel, timeout: timeout, remaining: r.ContentLength, trailer: http.Header{}}
	if r.Stream == nil || r.ContentLength == 0 {
		e.streamErr = io.EOF
	}
	if timeout > 0 {
		e.timer = time.AfterFunc(timeout, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			if !e.answered {
				e.expired = true
				e.cancel()
			}
		})
	}
	return e
}

// httpRequest returns the request for net/http.
func (e *exchange) httpRequest(u *url.URL) *http.Request {
	r := e.request
	out := &http.Request{Method: r.Method, URL: u, Host: r.Fields.Get("Host"), Header: http.Header{"User-Agent": nil}} // or net/http would send its own
	for _, field := range r.Fields {
		out.Header.Add(field.Name, field.Value)
	}
	out.Header.Del("Trailer") // net/http sends its own, and ignores Host and Content-Length here
	out.Header.Del("Transfer-Encoding")
	switch {
	case e.streamErr == nil:
		for name := range r.Fields.Elements("Trailer") {
			e.trailer[http.CanonicalHeaderKey(name)] = nil
		}
		out.Body, out.ContentLength, out.Trailer = e, r.ContentLength, e.trailer
	case len(r.Body) > 0:
		out.ContentLength = int64(len(r.Body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		out.Body, _ = out.GetBody()
	}
	return out
}

// Read implements io.Reader. The timer stops while the body waits for the app, when the server has nothing to do. At the end of
// the stream it runs: over HTTP/1.1, net/http reads beyond the Content-Length.
func (e *exchange) Read(p []byte) (int, error) {
	e.reading.Lock()
	defer e.reading.Unlock()
	timed, err := e.beginRead()
	if err != nil {
		return 0, err
	}
	n, err := e.request.Stream.Read(p)
	return n, e.endRead(n, err, timed)
}

// beginRead stops the timer, and reports whether it was running. It returns an error if nothing may be read.
func (e *exchange) beginRead() (timed bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.streamErr == nil && e.timer != nil && !e.answered && e.timer.Stop(), e.streamErr
}

// endRead starts the timer again if it was stopped, and returns the result of a Read that got n bytes of the stream and err.
func (e *exchange) endRead(n int, err error, timed bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if timed && !e.answered {
		e.timer.Reset(e.timeout)
	}
	if e.remaining >= 0 {
		if e.remaining -= int64(n); e.remaining == 0 {
			err = io.EOF
		} else if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if errors.Is(err, io.EOF) {
		for _, field := range e.request.Stream.Trailer() {
			e.trailer.Add(field.Name, field.Value)
		}
	}
	e.streamErr = cmp.Or(e.streamErr, err)
	return err
}

// Close implements io.Closer. net/http calls it when it needs no more of the body. A Read that waits for the app must end then:
// net/http waits for it, and the server may be gone.
func (e *exchange) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock() // after Interrupt: once end has returned, the stream may be that of the next request
	if e.streamErr == nil {
		e.streamErr = http.ErrBodyReadAfterClose
		e.request.Stream.Interrupt()
	}
	return nil
}

// end ends the exchange, and waits until the stream is no longer read.
func (e *exchange) end() {
	e.cancel()
	_ = e.Close()
	e.reading.Lock()
	defer e.reading.Unlock()
}

// onInformational forwards an informational response, on a goroutine of net/http, which may call it too late.
func (e *exchange) onInformational(status int, header textproto.MIMEHeader) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.informationalCount++; {
	case e.answered, e.informationalErr != nil:
	case e.informationalCount > http1.MaxInformational, status == http.StatusSwitchingProtocols:
		e.informationalErr = errors.New("there are too many informational responses, or one switches the protocol")
	case status != http.StatusContinue && e.request.OnInformational != nil:
		e.informationalErr = e.request.OnInformational.Informational(status, "", http1.FieldsOf(http.Header(header)))
	}
	return e.informationalErr
}

// stopWaiting is called once there is a response, or an error, which it returns, unless there is a better one.
func (e *exchange) stopWaiting(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.answered = true; e.timer != nil {
		e.timer.Stop()
	}
	return cmp.Or(e.informationalErr, err)
}

// cause returns the error of an exchange that has ended without a response: the cause, if net/http reports what followed.
func (e *exchange) cause(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent, closed := errors.Is(e.streamErr, io.EOF), errors.Is(e.streamErr, http.ErrBodyReadAfterClose)
	switch {
	case e.request.Caller.Context().Err() != nil:
		return fmt.Errorf("the caller has gone: %w", context.Canceled)
	case e.streamErr != nil && !sent && !closed:
		return fmt.Errorf("%w: %w", http1.ErrRequestBody, e.streamErr)
	case e.expired && !sent:
		return &net.OpError{Op: "write", Net: "tcp", Err: os.ErrDeadlineExceeded}
	case e.expired:
		return fmt.Errorf("waiting for the response: %w", os.ErrDeadlineExceeded)
	}
	return err
}
