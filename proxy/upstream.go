package proxy

import (
	"maps"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/linkrewrite"
)

// upstream is an API, with its own client and so its own connections.
type upstream struct {
	client        RoundTripper
	host          string              // for the Host field
	canonicalHost string              // of the host: see access.CanonicalHost
	origin        string              // the URL with which links begin
	links         *linkrewrite.Origin // nil if links are not rewritten
}

func (p *Proxy) newUpstream(api *url.URL, client RoundTripper) *upstream {
	u := &upstream{client: client, host: api.Host, canonicalHost: access.CanonicalHost(api.Host), origin: api.Scheme + "://" + api.Host}
	if p.config.RewriteLinks {
		u.links = linkrewrite.NewOrigin(u.origin)
	}
	return u
}

// upstreams are the APIs to which requests have been sent, and Config.Upstream. One that no account uses any more stays: its
// connections are closed once they have been idle for a while.
type upstreams struct {
	known atomic.Pointer[map[origin]*upstream] // replaced as a whole, and never modified
	mu    sync.Mutex                           // held by the one that replaces it
}

// origin identifies an API: RFC 6454 section 4.
type origin struct{ scheme, host string }

func originOf(api *url.URL) origin { return origin{api.Scheme, strings.ToLower(api.Host)} }

// upstreamOf returns the API that a token is for; nil means Config.Upstream. A request is sent where this says and nowhere else, so
// a token does not reach another API, whatever the account's settings have become since.
func (p *Proxy) upstreamOf(api *url.URL) *upstream {
	if api == nil {
		api = p.config.Upstream
	}
	key := originOf(api)
	if u := (*p.upstreams.known.Load())[key]; u != nil {
		return u
	}
	p.upstreams.mu.Lock()
	defer p.upstreams.mu.Unlock()
	known := *p.upstreams.known.Load()
	if u := known[key]; u != nil {
		return u
	}
	known = maps.Clone(known)
	known[key] = p.newUpstream(api, p.config.NewUpstreamClient(api))
	p.upstreams.known.Store(&known)
	return known[key]
}
