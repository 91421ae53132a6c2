package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"
)

// send sends the request once, and forwards informational responses meanwhile (RFC 9110 section 15.2).
func (t *roundTrip) send(authorization string) (*http.Response, error) {
	ctx := t.r.Context()
	forwarder := &informationalForwarder{w: t.w}
	defer forwarder.end()
	// HTTP/1.0 has no 1xx. If the app expects "100 Continue", the server may write its own on another goroutine at the same
	// time.
	if t.r.ProtoAtLeast(1, 1) && len(t.r.Header["Expect"]) == 0 {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: forwarder.forward})
	}
	out := t.outboundRequest(ctx, authorization)
	began := time.Now()
	response, err := t.proxy.config.Transport.RoundTrip(out)
	t.record.Upstream += time.Since(began)
	if err == nil && response.StatusCode < 200 {
		_ = response.Body.Close()
		return nil, errNotFinal
	}
	return response, err
}

// outboundRequest returns the request to the API.
func (t *roundTrip) outboundRequest(ctx context.Context, authorization string) *http.Request {
	out := &http.Request{
		Method:        t.r.Method,
		URL:           t.url,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        outboundHeader(t.r.Header, authorization),
		ContentLength: t.r.ContentLength,
		Host:          t.url.Host,
	}
	t.links.prepareRequest(out.Header)
	t.body.attachTo(out)
	return out.WithContext(ctx)
}

// upstreamURL returns the API's URL for a target, without changing a byte of it. It reports false if that is impossible.
//
// url.URL re-encodes a path with unusual bytes ({, |, UTF-8), unless it is in Opaque. But an Opaque that begins with two
// slashes is taken for an authority, so such a path cannot be there.
func (p *Proxy) upstreamURL(target string) (*url.URL, bool) {
	path, query, hasQuery := strings.Cut(target, "?")
	upstream := &url.URL{
		Scheme:     p.config.Upstream.Scheme,
		Host:       p.config.Upstream.Host,
		RawQuery:   query,
		ForceQuery: hasQuery && query == "",
	}
	if !strings.HasPrefix(path, "//") {
		upstream.Opaque = path
		return upstream, true
	}
	parsed, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, false
	}
	upstream.Path, upstream.RawPath = parsed.Path, parsed.RawPath
	return upstream, upstream.EscapedPath() == path
}

// errNotFinal is for an upstream that switches protocols without being asked, or sends an invalid status.
var errNotFinal = errors.New("not a final status")

// informationalForwarder forwards 1xx responses to the app. The transport may call it after RoundTrip has returned, when
// the header map belongs to the final response.
type informationalForwarder struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	ended bool
	count int
}

// maxInformational is far more than an API needs. The transport does not limit them for those who receive them, and an
// upstream that sends them forever would keep a request busy forever.
const maxInformational = 32

var errInformational = errors.New("too many informational responses")

func (f *informationalForwarder) forward(code int, header textproto.MIMEHeader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count++; f.count > maxInformational {
		return errInformational
	}
	if f.ended || code == http.StatusContinue { // the server sends that one itself
		return nil
	}
	copyResponseHeader(f.w.Header(), http.Header(header))
	f.w.WriteHeader(code)
	clear(f.w.Header())
	return nil
}

func (f *informationalForwarder) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
}
