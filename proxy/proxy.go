// Package proxy implements an HTTP gateway (RFC 9110 section 3.7) that authorizes requests, adds the access token, and forwards
// them to the API. ServeHTTP1 has all steps in their order.
package proxy

import (
	"cmp"
	"net/http"
	"sync"
	"sync/atomic"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// Proxy is the handler of the app's listener. Create it with New.
type Proxy struct {
	config   Config
	inFlight atomic.Int64
	// upstreams are the APIs to which requests have been sent, and Config.Upstream. The map is never modified, but replaced.
	// An API that no account uses any more stays: its connections are closed once they have been idle for a while.
	upstreams   atomic.Pointer[map[origin]*upstream]
	upstreamsMu sync.Mutex
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
	p := &Proxy{config: config}
	p.upstreams.Store(&map[origin]*upstream{upstreamKeyOf(config.Upstream): p.newUpstream(config.Upstream, config.UpstreamClient)})
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
	x.parseRoute()
	decision := p.config.Policy.Check(&x.route.Request)
	x.caller, x.record.DryRun = decision.Caller, decision.DryRun
	if decision.Denied != nil {
		x.respond(decision.Denied)
		return
	}
	switch {
	case decision.Pass:
		x.passThrough()
		return
	case r.Method == http.MethodConnect:
		// RFC 9110 section 9.3.6: the tunnel ends here, and the requests that come through it are served like all others.
		x.record.Status = http.StatusOK
		w.OpenTunnel(p.config.TunnelTLS(r.Target), access.NewTunnel(&x.route.Request))
		return
	case x.route.TokenRequest:
		x.serveToken()
		return
	}

	// Whose token does it get?
	x.addressed = decision.API
	if unknown := x.selectAccount(); unknown != nil {
		x.respond(unknown)
		return
	}

	// To the API and back.
	response, failed := x.roundTrip()
	if failed != nil {
		x.respond(failed)
		return
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or is no longer needed
	x.relay(response)
}

// selectAccount takes the account that a request names, or else the first of its caller's, or else the default account. If it
// names none, but is for another API, that selects one: a request for one environment must not reach another.
func (x *exchange) selectAccount() *problem.Problem {
	account := x.route.Account
	if !x.route.HasAccount {
		account = x.caller.FirstAccount()
		if accountOf := x.proxy.config.AccountOf; accountOf != nil && x.addressed != "" {
			var ok bool
			if account, ok = accountOf(x.addressed, x.caller); !ok {
				return errNoAccountForAPI
			}
		}
	}
	tokens, exists := x.proxy.config.Tokens(account)
	switch {
	case exists && (account != "" || !x.route.HasAccount):
		x.tokens, x.record.Account = tokens, cmp.Or(account, DefaultAccount)
		return nil
	case !x.route.HasAccount:
		return errNoDefaultAccount
	default:
		return errUnknownAccount
	}
}
