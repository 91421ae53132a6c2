package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// The steps of a connection, in their order.
const (
	stepDNS      = "DNS"
	stepTCP      = "TCP"
	stepProxyTLS = "proxy TLS" // with an HTTPS proxy
	stepProxy    = "proxy"     // the proxy opens a tunnel
	stepTLS      = "TLS"
)

// peer sends requests to a server. The first one reports the steps of its connection. With a proxy, DNS and TCP are about the
// proxy.
type peer struct {
	Server
	*checker
	ctx   context.Context // of the check
	proxy *url.URL        // nil for a direct connection
	down  string          // why no more requests are sent; empty if they are

	mu      sync.Mutex     // events may come after the request, and from a second one
	pending []string       // the steps that have not passed
	since   time.Time      // when the first of them began
	settled bool           // the first request has ended
	skew    *time.Duration // see clockSkew; of the last response
	err     error          // of the last request
}

func (c *checker) newPeer(ctx context.Context, s Server) *peer {
	p := &peer{Server: s, checker: c, ctx: ctx, pending: []string{stepDNS, stepTCP}}
	p.proxy, _ = c.Proxy(&http.Request{Method: http.MethodGet, URL: s.URL, Header: http.Header{}}) // an invalid variable means none
	addIf := func(applies bool, name string) {
		if applies {
			p.pending = append(p.pending, name)
		}
	}
	addIf(p.proxy != nil && p.proxy.Scheme == "https", stepProxyTLS)
	addIf(p.proxy != nil, stepProxy)
	addIf(s.URL.Scheme == "https", stepTLS)
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *peer) RoundTrip(request *http.Request) (*http.Response, error) {
	sent := time.Now()
	p.mu.Lock()
	if p.since.IsZero() {
		p.since = sent
	}
	p.mu.Unlock()
	response, err := p.Transport.RoundTrip(request.WithContext(httptrace.WithClientTrace(request.Context(), p.trace())))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.err, p.skew = nil, clockSkew(response.Header.Get("Date"), sent, time.Now())
	case !errors.Is(err, context.Canceled): // a second token request is canceled when it is not needed any more
		p.err = err
	}
	return response, err
}

// trace returns the functions that report the connection.
func (p *peer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			if info.Err == nil {
				var addresses []string
				for _, address := range info.Addrs {
					addresses = append(addresses, address.String())
				}
				p.pass(stepDNS, p.firstHop().Hostname()+" is at "+joinFirst(addresses))
			}
		},
		ConnectStart: func(_, _ string) { p.pass(stepDNS, p.firstHop().Hostname()+" is an IP address") },
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				p.pass(stepTCP, "connected to "+address)
			}
		},
		TLSHandshakeStart: func() { p.pass(stepProxy, "tunnel to "+hostPort(p.URL)) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				text := tls.VersionName(state.Version) + ", certificate valid until " + formatDate(state.PeerCertificates[0].NotAfter)
				p.pass(stepTLS, text)
				p.pass(stepProxyTLS, text)
			}
		},
	}
}

// pass reports that a step has passed, unless it has before: a client may open another connection.
func (p *peer) pass(name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 || p.pending[0] != name {
		return
	}
	if p.proxy != nil {
		text = "through the proxy " + hostPort(p.proxy) + " (HTTPS_PROXY): " + text
	}
	p.finishStep(p.ctx, p.step(name), p.since, Passed(text))
	p.pending, p.since = p.pending[1:], time.Now()
}

// settle is called after each request. If the first one has failed, so has the first step that has not passed. It reports
// whether it was the first.
func (p *peer) settle() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled {
		return false
	}
	if p.err != nil && len(p.pending) > 0 {
		p.down = p.Name + " unreachable"
		p.finishStep(p.ctx, p.step(p.pending[0]), p.since, p.connectionFailure(p.pending[0], p.err))
		for _, name := range p.pending[1:] {
			p.skipStep(p.ctx, p.step(name), p.pending[0]+" failed")
		}
	}
	p.settled, p.pending = true, nil
	return true
}

// probe tests the connection with a request that has no credentials, if there was no request before.
func (p *peer) probe() {
	if p.settled {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.Timeout)
	defer cancel()
	request := &http.Request{Method: http.MethodGet, URL: p.URL, Header: http.Header{"User-Agent": {p.UserAgent}}}
	if response, err := p.RoundTrip(request.WithContext(ctx)); err == nil {
		_ = response.Body.Close() // only the connection counts
	}
	p.settle()
}

// step returns the name and the target of a step.
func (p *peer) step(name string) Step {
	target := hostPort(p.firstHop())
	switch name {
	case stepDNS:
		target = p.firstHop().Hostname()
	case stepTLS:
		target = hostPort(p.URL)
	}
	return Step{Name: p.Name + ": " + name, Target: target}
}

// firstHop is the server that is connected to: the proxy, or the server itself.
func (p *peer) firstHop() *url.URL { return cmp.Or(p.proxy, p.URL) }

// hostPort returns the HOST:PORT of a URL, without the user name and password that a proxy's URL may contain.
func hostPort(u *url.URL) string {
	ports := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme]))
}
