package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/resolver"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/http2"
)

const (
	transportHandshakeTimeout = 10 * time.Second
	// transportIdleTimeout is shorter than that of most load balancers (60 s). If the other side closes a connection while a POST
	// is being written, it looks like one that broke after the POST was processed.
	transportIdleTimeout = 45 * time.Second
	// Without pings, a dead HTTP/2 connection (a NAT that has forgotten it) fails every request until a restart.
	http2PingInterval = 15 * time.Second
	http2PingTimeout  = 10 * time.Second
	// http2StreamWindow limits the part of an HTTP/2 response that is buffered while the app does not read. It limits one response
	// to 6 MB/s if the API is 20 ms away.
	http2StreamWindow          = 128 << 10
	transportMaxResponseHeader = 256 << 10 // bytes: far more than an API sends
)

// NewUpstreamDialer returns what opens the connections to the API and the login server.
func NewUpstreamDialer(c config.Config) *dialer.AddressFilteringTCPDialer {
	tcp := new(dialer.AddressFilteringTCPDialer)
	tcp.UseResolverFor(c.API.Hostname(), c.Login.Hostname())
	if c.Resolver.IsValid() {
		tcp.Resolver = resolver.New(c.Resolver)
	}
	return tcp
}

// newAPIClient returns a client for an API that keeps at most maxIdle idle connections.
func newAPIClient(api *url.URL, c config.Config, maxIdle int, tcp *dialer.AddressFilteringTCPDialer) proxy.RoundTripper {
	if c.UpstreamHTTP2 {
		return http2.New(api, newHTTP2Transport(tcp, maxIdle), c.UpstreamTimeout)
	}
	toAPI := &dialer.ServerDialer{
		Server: api,
		Proxy:  http.ProxyFromEnvironment,
		TCP:    tcp,
		TLS:    &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(0)},
	}
	return &http1.Client{Dial: toAPI.Dial, ResponseTimeout: c.UpstreamTimeout, MaxIdle: maxIdle}
}

// NewLoginTransport returns the transport to the login server. It shares no connections with the API's client, so that neither can
// starve the other.
func NewLoginTransport(tcp *dialer.AddressFilteringTCPDialer) *http.Transport {
	t := newTransport(tcp, 8) // the number of concurrent token requests
	// Requests that share an HTTP/2 connection hang together, but one that hangs must not delay the next.
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	return t
}

func newHTTP2Transport(tcp *dialer.AddressFilteringTCPDialer, maxIdle int) *http.Transport {
	t := newTransport(tcp, maxIdle)
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: http2PingInterval, PingTimeout: http2PingTimeout, MaxReceiveBufferPerStream: http2StreamWindow}
	return t
}

func newTransport(tcp *dialer.AddressFilteringTCPDialer, maxIdle int) *http.Transport {
	return &http.Transport{
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: neterr.OnProxyConnectResponse,
		DialContext:            tcp.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, VerifyConnection: neterr.VerifyServerIsNoBroker},
		TLSHandshakeTimeout:    transportHandshakeTimeout,
		IdleConnTimeout:        transportIdleTimeout,
		MaxResponseHeaderBytes: transportMaxResponseHeader,
		DisableCompression:     true, // the app negotiates compression itself
	}
}

// preloadSystemRoots parses the system's certificate authorities, once per process: the first token request would wait some 20 ms
// for it. It frees the 4 MB of garbage, which an idle broker would keep.
var preloadSystemRoots = sync.OnceFunc(func() {
	_, _ = x509.SystemCertPool() // an error comes back with each connection
	debug.FreeOSMemory()
})

// slowLoginThreshold is how long a token request is unanswered before that is logged. Its timeout comes only after half a minute.
const slowLoginThreshold = 5 * time.Second

// slowLoginLoggingTransport sends token requests, and logs if one has no answer for long: once a minute, because there is a new
// request every 5 s meanwhile. It is safe for concurrent use.
type slowLoginLoggingTransport struct {
	*http.Transport
	log    *zap.Logger
	minute oncePerMinute
}

// RoundTrip implements http.RoundTripper.
func (w *slowLoginLoggingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	timer := time.AfterFunc(slowLoginThreshold, func() {
		if w.minute.allow() {
			w.log.Warn("the login server has not answered a token request for 5 s; the broker waits up to 29 s, and asks again meanwhile if there is no token",
				zap.String("hint", "If this lasts, check the eTrusted status page and this machine's connection to the login server."))
		}
	})
	defer timer.Stop()
	return w.Transport.RoundTrip(r)
}

// NewBodylessAPITransport returns the broker's client for an API in the form of net/http. It supports requests without a body, and
// a httptrace.ClientTrace for their connections. The caller must read the body of a response to its end, or cancel the request.
func NewBodylessAPITransport(api *url.URL, c config.Config, tcp *dialer.AddressFilteringTCPDialer) http.RoundTripper {
	return bodylessAPITransport{newAPIClient(api, c, currentLimits(c).idle, tcp)}
}

type bodylessAPITransport struct{ client proxy.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t bodylessAPITransport) RoundTrip(r *http.Request) (*http.Response, error) {
	request := &http1.ClientRequest{Method: r.Method, Target: r.URL.RequestURI(), Repeatable: r.Method == http.MethodGet, Caller: &contextHTTP1Caller{ctx: r.Context()}}
	request.Fields.Add("Host", r.URL.Host)
	for name, values := range r.Header {
		for _, value := range values {
			request.Fields.Add(name, value)
		}
	}
	response, err := t.client.RoundTrip(request)
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, r.Context().Err() // a deadline, for example, of which the client knows only that it canceled the request
	case err != nil:
		return nil, err
	}
	header := http.Header{}
	for _, field := range response.Fields {
		header.Add(strings.Clone(field.Name), strings.Clone(field.Value)) // the client reuses them
	}
	return &http.Response{StatusCode: response.Status, Header: header, Body: response.Body, ContentLength: response.ContentLength, Request: r}, nil
}

// contextHTTP1Caller is an http1.Caller that waits as long as its context.
type contextHTTP1Caller struct {
	ctx  context.Context
	stop func() bool
}

// Context implements http1.Caller.
func (c *contextHTTP1Caller) Context() context.Context { return c.ctx }

// CancelWhenGone implements http1.Caller.
func (c *contextHTTP1Caller) CancelWhenGone(request http1.Canceler) {
	if c.stop != nil {
		c.stop()
	}
	if c.stop = nil; request != nil {
		c.stop = context.AfterFunc(c.ctx, request.Cancel)
	}
}
