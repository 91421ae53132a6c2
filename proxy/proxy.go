// Package proxy implements an HTTP gateway (RFC 9110 section 3.7) that authorizes requests, adds the access token, and
// forwards them to the API.
//
// ServeHTTP1 has all steps in their order.
package proxy

import (
	"cmp"
	"net/http"
	"sync/atomic"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

// Proxy is the handler of the app's listener. Create it with New.
type Proxy struct {
	config   Config
	base     string            // Config.Upstream, as links begin with it
	links    *linkrewrite.Base // nil if links are not rewritten
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
	p := &Proxy{config: config, base: config.Upstream.Scheme + "://" + config.Upstream.Host}
	if config.RewriteLinks {
		p.links = linkrewrite.NewBase(p.base)
	}
	return p, nil
}

// InFlight returns the number of requests that are being served.
func (p *Proxy) InFlight() int64 { return p.inFlight.Load() }

// ServeHTTP1 implements http1.Handler: it serves one request of the app.
func (p *Proxy) ServeHTTP1(w *http1.ResponseWriter, r *http1.Request) {
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	x := p.newExchange(w, r)
	defer x.end()

	// What does the request ask for, and is that allowed?
	if r.Malformed != nil {
		x.respond(describeMalformed(r.Malformed))
		return
	}
	x.route = p.parseRoute(r)
	request := x.accessRequest()
	decision := p.config.Policy.Check(&request)
	if decision.Denied != nil {
		x.respond(decision.Denied)
		return
	}
	switch {
	case decision.Pass:
		x.passThrough()
		return
	case r.Method == http.MethodConnect:
		x.openTunnel()
		return
	case x.route.isTokenRequest:
		x.serveToken(decision.HasProxyKey)
		return
	}

	// Whose token does it get?
	tokens, unknown := p.tokenSource(&x.route)
	if unknown != nil {
		x.respond(unknown)
		return
	}
	x.tokens = tokens
	x.record.Account = cmp.Or(x.route.account, DefaultAccount)

	// To the API and back.
	x.links = p.newLinkRewriter(r, &x.route)
	response, failed := x.roundTrip()
	if failed != nil {
		x.respond(failed)
		return
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or is no longer needed
	x.relay(response)
}

// tokenSource returns the tokens of the account that a request names, or else those of the default account.
func (p *Proxy) tokenSource(route *parsedRoute) (TokenSource, *problem.Problem) {
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
