package access

import "etrusted-broker/internal/problem"

// Tunnel is a connection for one target: the CONNECT request that opened a tunnel, or a connection that the client has opened to
// the broker in the belief that it is the target. Requests on it must be for its target. They need no access key of their own, as
// long as the one that opened the tunnel is valid.
type Tunnel struct {
	Target             string   // the authority that the client asked for
	ProxyAuthorization string   // the value of that field; empty if it is missing
	Identities         []string // of the connection that the tunnel goes through: see Request.Identities
	// AnyPort means that only the name of the target counts: the client's name resolution, not a CONNECT, has led it to the
	// broker, which may listen at another port.
	AnyPort bool
}

// isFor reports whether a request with a host is for the tunnel's target. The default ports are as good as none.
func (t *Tunnel) isFor(host string) bool {
	key, target := comparableHostOf(host), comparableHostOf(t.Target)
	return key.name != "" && key.name == target.name && (t.AnyPort || key.port == target.port)
}

// NewTunnel returns the Tunnel that a CONNECT request opens.
func NewTunnel(connect *Request) *Tunnel {
	proxyAuthorization, _ := singleValue(connect.Fields, "Proxy-Authorization") // Check has denied several
	return &Tunnel{Target: connect.Target, ProxyAuthorization: proxyAuthorization, Identities: connect.Identities}
}

// CheckTunnel denies a tunnel that Check has allowed, once its caller may not use the broker any more.
func (p *Policy) CheckTunnel(t *Tunnel) *problem.Problem {
	_, denied := p.authenticateToProxy(&Request{Tunnel: t})
	return denied
}

// checkConnect decides whether a tunnel may be opened (RFC 9110 section 9.3.6), and whether it ends here or passes through.
func (p *Policy) checkConnect(r *Request) Decision {
	ends := p.TunnelAllowed != nil && p.TunnelAllowed(r.Target)
	switch {
	case p.TunnelAllowed == nil && p.PassHosts == nil, r.Tunnel != nil:
		return Decision{Denied: errMethodNotAllowed}
	case MayComeFromWebPage(r.Fields):
		return Decision{Denied: errBrowserRequest}
	case !ends && p.PassHosts == nil:
		return Decision{Denied: errTunnelNotAllowed}
	}
	// Before the host: without the key, a client must not learn what passes through.
	caller, denied := p.authenticateToProxy(r)
	switch {
	case denied != nil:
	case isLoop(r.Fields):
		denied = errLoop
	case !ends && !p.passes(r.Target):
		denied = errTunnelNotAllowed
	}
	return Decision{Caller: caller, Denied: denied, Pass: denied == nil && !ends}
}
