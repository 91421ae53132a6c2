package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// outboundRequest makes the request that goes upstream, in ctx. It may be called again, for a body that can be sent again.
func (x *roundTrip) outboundRequest(ctx context.Context, authorization string) *http.Request {
	out := &http.Request{
		Method:        x.r.Method,
		URL:           x.target,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        outboundHeader(x.r.Header, authorization),
		ContentLength: x.r.ContentLength,
		Host:          x.target.Host,
	}
	x.links.prepareRequest(out.Header)
	x.body.attachTo(out)
	return out.WithContext(ctx)
}

// send makes one round trip, and passes informational responses on meanwhile (RFC 9110 section 15.2).
func (x *roundTrip) send(authorization string) (*http.Response, error) {
	ctx := x.r.Context()
	informational := &informationalResponses{to: x.w}
	defer informational.end()
	// HTTP/1.0 knows no 1xx; and where the app expects "100 Continue", the server's own would be written on another
	// goroutine at the same time.
	if x.r.ProtoAtLeast(1, 1) && len(x.r.Header["Expect"]) == 0 {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: informational.forward})
	}
	out := x.outboundRequest(ctx, authorization)
	began := time.Now()
	response, err := x.proxy.config.Transport.RoundTrip(out)
	x.record.Upstream += time.Since(began)
	if err == nil && response.StatusCode < 200 {
		_ = response.Body.Close()
		return nil, errNotFinal
	}
	return response, err
}

// errNotFinal is for an upstream that switches protocols although nobody asked it to, or whose status is none.
var errNotFinal = errors.New("not a final status")

// informationalResponses passes 1xx responses on to the app. The transport may still call it after RoundTrip has returned, when
// the header map belongs to the final response.
type informationalResponses struct {
	mu    sync.Mutex
	to    http.ResponseWriter
	ended bool
	count int
}

// maxInformational is far more than an API has use for. The transport leaves the counting to whoever listens to them, and
// an upstream that sends them for ever would keep a request busy for ever.
const maxInformational = 32

var errInformational = errors.New("too many informational responses")

func (i *informationalResponses) forward(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.count++; i.count > maxInformational {
		return errInformational
	}
	if i.ended || code == http.StatusContinue { // the server sends that one itself
		return nil
	}
	copyResponseHeader(i.to.Header(), http.Header(header))
	i.to.WriteHeader(code)
	clear(i.to.Header())
	return nil
}

func (i *informationalResponses) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
}
