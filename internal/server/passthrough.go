package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/hostport"
	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// passHostsClient reaches the hosts in BROKER_PASS_HOSTS. It implements proxy.PassThrough.
type passHostsClient struct {
	hosts access.PassHosts
	// checked connects to no address that package ssrf refuses. unchecked is for addresses that the configuration contains: of
	// hosts, and of the proxy in the environment. Neither connects to the broker itself.
	checked, unchecked *dialer.AddressFilteringTCPDialer
}

// Dial implements proxy.PassThrough.
func (p *passHostsClient) Dial(ctx context.Context, target string) (net.Conn, error) {
	d, _, err := p.dialer(&url.URL{Scheme: "https", Host: target})
	if err != nil {
		return nil, err
	}
	d.Server.Scheme = "http" // TLS is the app's
	return d.Dial(ctx)
}

// RoundTrip implements proxy.PassThrough.
func (p *passHostsClient) RoundTrip(server *url.URL, r *http1.ClientRequest) (*http1.ClientResponse, error) {
	d, through, err := p.dialer(server)
	if err != nil {
		return nil, err
	}
	if through != nil && server.Scheme == "http" && (through.Scheme == "http" || through.Scheme == "https") {
		// Most proxies refuse CONNECT for other ports than 443, and expect the absolute-form of RFC 9112 section 3.2.2.
		r.Target = "http://" + server.Host + r.Target
		if credentials := dialer.ProxyAuthorization(through); credentials != "" {
			r.Fields.Add("Proxy-Authorization", credentials)
		}
		d.Server, d.Proxy = through, nil
	}
	return (&http1.Client{Dial: d.Dial, DisableKeepAlives: true}).RoundTrip(r)
}

// dialer returns the dialer for a server, and the proxy of the environment through which it connects, or nil. The proxy resolves
// names itself, so behind one only literal addresses can be checked.
func (p *passHostsClient) dialer(server *url.URL) (d *dialer.ServerDialer, through *url.URL, err error) {
	if through, err = http.ProxyFromEnvironment(&http.Request{URL: server}); err != nil {
		return nil, nil, err
	}
	tcp := p.checked
	if p.hosts.ListsAddress(server.Host) {
		tcp = p.unchecked
	}
	name, port, _ := hostport.Split(server.Host) // it matches a pattern, so it is valid
	canonical := net.JoinHostPort(name, port)    // localhost with a final dot is localhost too
	if address, err := netip.ParseAddrPort(canonical); err == nil {
		if err := tcp.Check(address); err != nil {
			return nil, nil, err
		}
	}
	if through != nil {
		tcp = p.unchecked
	}
	return &dialer.ServerDialer{
		Server: &url.URL{Scheme: server.Scheme, Host: canonical},
		Proxy:  func(*http.Request) (*url.URL, error) { return through, nil },
		TCP:    tcp,
		Via:    "1.1 " + problem.ProxyName,
	}, through, nil
}
