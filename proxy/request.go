package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// targetOf returns the path and query of a request as the app sent them, byte for byte, in a URL without scheme and
// host. It reports false for what cannot be sent on unchanged.
//
// url.URL re-encodes a path whose bytes it finds unusual ({, |, UTF-8), unless they stand in Opaque. But an Opaque that
// begins with two slashes is taken for an authority, so such a path has to do without.
func targetOf(r *http.Request) (url.URL, bool) {
	raw := r.RequestURI
	if r.URL.Host != "" { // absolute-form: RFC 9112 section 3.2.2
		_, rest, _ := strings.Cut(raw, "://")
		raw = "/"
		if end := strings.IndexAny(rest, "/?"); end >= 0 {
			raw = rest[end:]
		}
		if raw[0] == '?' {
			raw = "/" + raw
		}
	}
	path, query, hasQuery := strings.Cut(raw, "?")
	target := url.URL{RawQuery: query, ForceQuery: hasQuery && query == ""}
	switch {
	case strings.HasPrefix(path, "//"):
		target.Path, target.RawPath = r.URL.Path, r.URL.RawPath
		return target, target.EscapedPath() == path
	case strings.HasPrefix(path, "/"), path == "*" && r.Method == http.MethodOptions:
		target.Opaque = path
		return target, true
	default:
		return url.URL{}, false
	}
}

// outbound makes the request that goes upstream.
func (p *Proxy) outbound(r *http.Request, target url.URL, authorization string) *http.Request {
	target.Scheme, target.Host = p.config.Upstream.Scheme, p.config.Upstream.Host
	out := &http.Request{
		Method:        r.Method,
		URL:           &target,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        onward(r.Header, authorization),
		ContentLength: r.ContentLength,
		Host:          target.Host,
	}
	if r.ContentLength != 0 { // a nil body lets the transport repeat a GET on a connection that died idle
		out.Trailer = announced(r.Trailer)
		out.Body = &requestBody{from: r, to: out}
	}
	return out.WithContext(r.Context())
}

// announced returns the trailers of a request that may go upstream, still without values.
func announced(trailer http.Header) http.Header {
	var out http.Header
	for name := range trailer {
		if mayTrail(name) {
			if out == nil {
				out = make(http.Header)
			}
			out[name] = nil
		}
	}
	return out
}

// mayTrail reports whether a trailer of that name may be passed on. One that a server may merge into the header must
// not carry what the header may not: RFC 9110 section 6.5.1.
func mayTrail(name string) bool {
	switch name {
	case "Authorization", "Host", "Content-Length", "Via":
		return false
	default:
		return !isHopByHop(name) && !isForwarding(name)
	}
}

// requestBody is a request's body on its way upstream.
//
// The transport may read it after RoundTrip has returned, and closes it on every path; but the server's body belongs
// to the handler, and closing it early would wait for a client that is itself waiting for "100 Continue". So Close does
// not reach the server's body, and after finish no Read does.
type requestBody struct {
	from, to *http.Request
	finished atomic.Bool
}

var errFinished = errors.New("the request has ended")

func (b *requestBody) Read(p []byte) (int, error) {
	if b.finished.Load() {
		return 0, errFinished
	}
	n, err := b.from.Body.Read(p)
	if errors.Is(err, io.EOF) {
		// Only now the server knows the trailers, and it may know more than were announced. The transport reads
		// them on this goroutine after this.
		for name := range b.to.Trailer {
			b.to.Trailer[name] = b.from.Trailer[name]
		}
	}
	return n, err
}

// Close ends the transport's use of the body.
func (b *requestBody) Close() error {
	b.finished.Store(true)
	return nil
}

// send makes the round trip and passes informational responses on meanwhile (RFC 9110 section 15.2). The caller must
// call stop when it is done with the response.
func (p *Proxy) send(w http.ResponseWriter, out *http.Request, report *Report) (response *http.Response, stop func(), err error) {
	body := out.Body
	informational := &informational{to: w}
	out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{Got1xxResponse: informational.pass}))
	began := time.Now()
	response, err = p.config.Transport.RoundTrip(out)
	report.Upstream = time.Since(began)
	informational.end()
	return response, func() {
		if response != nil {
			_ = response.Body.Close() // read to its end, or given up
		}
		if body != nil {
			_ = body.Close()
		}
	}, err
}

// informational passes 1xx responses on to the app. The transport may still call it after RoundTrip has returned, when
// the header map belongs to the final response.
type informational struct {
	mu    sync.Mutex
	to    http.ResponseWriter
	ended bool
}

func (i *informational) pass(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended || code == http.StatusContinue { // the server sends that one itself
		return nil
	}
	backward(i.to.Header(), http.Header(header))
	i.to.WriteHeader(code)
	clear(i.to.Header())
	return nil
}

func (i *informational) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
}
