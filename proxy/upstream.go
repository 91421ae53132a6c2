package proxy

import (
	"maps"
	"net/url"
	"strings"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/linkrewrite"
)

// upstream is an API, with its own client and so its own connections.
type upstream struct {
	client        RoundTripper
	host          string              // for the Host field
	canonicalHost string              // of the host: see access.CanonicalHost
	baseURL       string              // with which links begin
	links         *linkrewrite.Origin // nil if links are not rewritten
}

func (p *Proxy) newUpstream(api *url.URL, client RoundTripper) *upstream {
	u := &upstream{client: client, host: api.Host, canonicalHost: access.CanonicalHost(api.Host), baseURL: api.Scheme + "://" + api.Host}
	if p.config.RewriteLinks {
		u.links = linkrewrite.NewOrigin(u.baseURL)
	}
	return u
}

// origin identifies an API: RFC 6454 section 4.
type origin struct{ scheme, host string }

func originOf(api *url.URL) origin { return origin{api.Scheme, strings.ToLower(api.Host)} }

// upstreamOf returns the API that a token is for; nil means Config.Upstream. A request is sent where this says and nowhere else,
// so a token does not reach another API, whatever the account's settings have become since.
func (p *Proxy) upstreamOf(api *url.URL) *upstream {
	if api == nil {
		api = p.config.Upstream
	}
	key := originOf(api)
	if u := (*p.upstreams.Load())[key]; u != nil {
		return u
	}
	p.upstreamsMu.Lock()
	defer p.upstreamsMu.Unlock()
	known := *p.upstreams.Load()
	if u := known[key]; u != nil {
		return u
	}
	known = maps.Clone(known)
	known[key] = p.newUpstream(api, p.config.NewUpstreamClient(api))
	p.upstreams.Store(&known)
	return known[key]
}
