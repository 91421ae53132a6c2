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
	"strings"
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

// serverProbe sends requests to a server. The first reports the steps of its connection: DNS and TCP are those of a proxy, if any.
type serverProbe struct {
	ServerToTest
	*checker
	proxy *url.URL // nil for a direct connection
	down  string   // why no more requests are sent; empty if they are

	mu      sync.Mutex     // events may come after the request, and from a second one
	pending []Step         // those that have not passed
	since   time.Time      // when the first of them began
	settled bool           // the first request has ended
	skew    *time.Duration // see clockSkew; of the last response
	err     error          // of the last request
}

// probeFor returns the probe of a server. All accounts with that server share it.
func (c *checker) probeFor(s ServerToTest) *serverProbe {
	key := s.Name + " " + s.URL.String()
	if p := c.probes[key]; p != nil {
		return p
	}
	p := &serverProbe{ServerToTest: s, checker: c}
	p.proxy, _ = c.Proxy(&http.Request{Method: http.MethodGet, URL: s.URL, Header: http.Header{}}) // an invalid variable means none
	expect := func(name, target string) {
		p.pending = append(p.pending, Step{Name: p.Name + ": " + name, Target: target})
	}
	expect(stepDNS, p.firstHop().Hostname())
	expect(stepTCP, hostPort(p.firstHop()))
	if p.proxy != nil && p.proxy.Scheme == "https" {
		expect(stepProxyTLS, hostPort(p.proxy))
	}
	if p.proxy != nil {
		expect(stepProxy, hostPort(p.proxy))
	}
	if s.URL.Scheme == "https" {
		expect(stepTLS, hostPort(s.URL))
	}
	c.probes[key] = p
	return p
}

// RoundTrip implements http.RoundTripper.
func (p *serverProbe) RoundTrip(request *http.Request) (*http.Response, error) {
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
func (p *serverProbe) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			if info.Err == nil {
				var addresses []string
				for _, address := range info.Addrs {
					addresses = append(addresses, address.String())
				}
				p.passStep(stepDNS, p.firstHop().Hostname()+" is at "+joinFirstAndMore(addresses))
			}
		},
		ConnectStart: func(_, _ string) { p.passStep(stepDNS, p.firstHop().Hostname()+" is an IP address") },
		ConnectDone: func(_, address string, err error) {
			if err == nil {
				p.passStep(stepTCP, "connected to "+address)
			}
		},
		TLSHandshakeStart: func() { p.passStep(stepProxy, "tunnel to "+hostPort(p.URL)) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				text := tls.VersionName(state.Version) + ", certificate valid until " + formatUTCDate(state.PeerCertificates[0].NotAfter)
				p.passStep(stepTLS, text)
				p.passStep(stepProxyTLS, text)
			}
		},
	}
}

// passStep reports that a step has passed, unless it has before: a client may open another connection.
func (p *serverProbe) passStep(name, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 || p.pending[0].Name != p.Name+": "+name {
		return
	}
	if p.proxy != nil {
		text = "through the proxy " + hostPort(p.proxy) + " (HTTPS_PROXY): " + text
	}
	p.finishStep(p.pending[0], p.since, Passed(text))
	p.pending, p.since = p.pending[1:], time.Now()
}

// runStep runs a step that sends a request for an account, unless the server is down.
func (p *serverProbe) runStep(step Step, account AccountToTest, send func() Step) (result Step) {
	began := time.Now()
	if p.down == "" {
		result = p.blameMistypedURL(send())
		p.finishConnection()
	}
	if began.Before(p.since) { // its time before is that of the connection
		began = p.since
	}
	if p.down != "" {
		result = Skipped(p.down)
	}
	own := p.sets[account.Name].Environment
	result.Text = account.Credentials.ReplaceVariableNames(own, result.Text)
	result.Advice = account.Credentials.ReplaceVariableNames(own, result.Advice)
	p.finishStep(step, began, result)
	return result
}

// finishConnection is called after each request. If the first one has failed, so has the first step that has not passed.
func (p *serverProbe) finishConnection() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.settled {
		return
	}
	if p.err != nil && len(p.pending) > 0 {
		p.down = p.Name + " unreachable"
		failed := strings.TrimPrefix(p.pending[0].Name, p.Name+": ")
		p.finishStep(p.pending[0], p.since, p.connectionFailure(failed, p.err))
		for _, step := range p.pending[1:] {
			p.finishStep(step, p.since, Skipped(failed+" failed"))
		}
	}
	p.settled, p.pending = true, nil
	if p.Cause == CauseLoginServer {
		p.checkClock() // before the token step, because a wrong clock may be why that one fails
	}
}

// testConnection sends a request that has no credentials, if there was no request before.
func (p *serverProbe) testConnection(ctx context.Context) {
	if p.settled {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	request := &http.Request{Method: http.MethodGet, URL: p.URL, Header: http.Header{"User-Agent": {p.UserAgent}}}
	if response, err := p.RoundTrip(request.WithContext(ctx)); err == nil {
		_ = response.Body.Close() // only the connection counts
	}
	p.finishConnection()
}

// ownServerSuffix names the server in a result, if it is not the one of most accounts.
func (p *serverProbe) ownServerSuffix() string {
	if u := p.URL.String(); u == p.Login.URL.String() || u == p.API.URL.String() {
		return ""
	}
	return " from " + p.URL.Host
}

// firstHop is the server that is connected to: the proxy, or the server itself.
func (p *serverProbe) firstHop() *url.URL { return cmp.Or(p.proxy, p.URL) }

// hostPort returns the HOST:PORT of a URL, without the user name and password that a proxy's URL may contain.
func hostPort(u *url.URL) string {
	ports := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme]))
}
