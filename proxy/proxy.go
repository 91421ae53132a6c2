// Package proxy implements an HTTP gateway (RFC 9110 section 3.7) that authorizes requests, adds the access token, and
// forwards them to the API.
//
// ServeHTTP has all steps in their order. The standard library's ReverseProxy is not used: a request is retried after a 401
// with the body that was kept for it, an upload can end before the client has sent all of it, and ReverseProxy would add
// about 10 µs to each request.
package proxy

import (
	"cmp"
	"net/http"
	"sync/atomic"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/wire"
)

// Proxy is the handler of the app's listener. Create it with New.
type Proxy struct {
	config   Config
	base     string // Config.Upstream, as links begin with it
	inFlight atomic.Int64
}

// New returns a Proxy. It fails if the configuration is incomplete.
func New(config Config) (*Proxy, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.OnRequestEnd == nil {
		config.OnRequestEnd = func(RequestRecord) {}
	}
	if !config.Retry {
		config.RetryBuffer = 0
	}
	return &Proxy{config: config, base: config.Upstream.Scheme + "://" + config.Upstream.Host}, nil
}

// InFlight returns the number of requests that are being served.
func (p *Proxy) InFlight() int64 { return p.inFlight.Load() }

// ServeHTTP serves one request of the app.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	began := time.Now()
	record := RequestRecord{Method: r.Method, Path: r.URL.EscapedPath(), RequestID: p.requestID(r), TraceID: traceID(r.Header)}
	defer func() { // also if a broken response ends in a panic
		record.Duration = time.Since(began)
		p.config.OnRequestEnd(record)
	}()

	// What does the request ask for, and is that allowed?
	if fault := wire.ErrorFrom(r); fault != nil {
		respond(w, malformedRequest(fault), &record)
		return
	}
	route := p.parseRoute(r)
	request := p.accessRequest(r, route)
	decision := p.config.Policy.Check(&request)
	if decision.Denied != nil {
		respond(w, decision.Denied, &record)
		return
	}
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r, &record)
		return
	case route.isTokenRequest:
		p.serveToken(w, r, route, decision.HasProxyKey, &record)
		return
	}

	// Whose token does it get?
	tokens, unknown := p.tokenSource(route)
	if unknown != nil {
		respond(w, unknown, &record)
		return
	}
	record.Account = cmp.Or(route.account, DefaultAccount)

	// To the API and back.
	trip := &roundTrip{proxy: p, w: w, r: r, tokens: tokens, links: p.newLinkRewriter(r, route), body: &requestBody{from: r}, record: &record}
	defer trip.body.finish()
	response, failed := trip.do(route.apiTarget)
	if failed != nil {
		respond(w, failed, &record)
		return
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or is no longer needed
	trip.links.rewriteResponse(r.Method, response)
	relay(w, r, response, &record)
}

// tokenSource returns the tokens of the account that a request names, or else those of the default account.
func (p *Proxy) tokenSource(route parsedRoute) (TokenSource, *problem.Problem) {
	tokens, exists := p.config.Tokens(route.account)
	switch {
	case route.hasAccount && (route.account == "" || !exists):
		return nil, errUnknownAccount
	case !exists:
		return nil, errNoDefaultAccount
	default:
		return tokens, nil
	}
}
