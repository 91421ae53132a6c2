package proxy

import (
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"
)

// outbound makes the request that goes upstream. It may be called again, for a body that can be sent again.
func (p *Proxy) outbound(r *http.Request, target *url.URL, authorization string, body *requestBody) *http.Request {
	out := &http.Request{
		Method:        r.Method,
		URL:           target,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        onward(r.Header, authorization),
		ContentLength: r.ContentLength,
		Host:          target.Host,
	}
	body.attach(out)
	return out.WithContext(r.Context())
}

// send makes one round trip, and passes informational responses on meanwhile (RFC 9110 section 15.2).
func (p *Proxy) send(w http.ResponseWriter, out *http.Request, report *Report) (*http.Response, error) {
	informational := &informational{to: w}
	defer informational.end()
	if len(out.Header["Expect"]) == 0 {
		out = out.WithContext(httptrace.WithClientTrace(out.Context(), &httptrace.ClientTrace{Got1xxResponse: informational.pass}))
	} // else the server's own "100 Continue" would be written on another goroutine at the same time
	began := time.Now()
	response, err := p.config.Transport.RoundTrip(out)
	report.Upstream += time.Since(began)
	if err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		_ = response.Body.Close()
		return nil, errSwitched
	}
	return response, err
}

// errSwitched is for an upstream that speaks something else than HTTP from here on, although nobody asked it to.
var errSwitched = errors.New("unasked switch of protocols")

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
