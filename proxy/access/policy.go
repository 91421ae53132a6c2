// Package access decides which requests are allowed. Without any configuration, these are the requests of programs on
// this machine, but not of web pages in a browser on it.
package access

import (
	"net"
	"net/http"
	"strings"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
)

// Policy decides which requests are allowed. The zero value allows what programs on this machine send. Its methods are safe for
// concurrent use, as long as the fields do not change.
type Policy struct {
	BrokerHosts      BrokerHosts       // the names of the broker
	APIAndLoginHosts *APIAndLoginHosts // an absolute-form target may name them
	// TunnelAllowed reports whether CONNECT may open a tunnel to a target; nil if it may open none.
	TunnelAllowed func(target string) bool
	// PassHosts are the hosts whose requests and tunnels pass through, except APIAndLoginHosts. An address among them is not taken for
	// one of the broker's own.
	PassHosts PassHosts
	// Callers are the programs that may use the broker. A request must come from one of them; nil if it needs no credentials.
	Callers *Callers
	// KeyFromToken returns the access key in a bearer token; nil if the token is the key.
	KeyFromToken func(token string) string
	AllowList    *RequestAllowList // for all callers
	// DryRun means that a request is allowed if only an allow list denies it: see Decision.DryRun.
	DryRun bool
}

// Request is what a Policy needs to know about a request. Check reads it and keeps nothing of it.
type Request struct {
	Method string
	// Host is the authority of an absolute-form target, with its port, or else the value of the Host field.
	Host string
	// AbsoluteForm means that the target is a URL (RFC 9112 section 3.2.2): the client uses the broker as its proxy.
	AbsoluteForm bool
	// Target is the path and query as the client sent them, and for CONNECT the authority. It is empty if the target is
	// invalid.
	Target string
	// APITarget is Target without the account: what is sent to the API.
	APITarget string
	// Account is the account that the request names. HasAccount distinguishes an empty name from none.
	Account    string
	HasAccount bool
	// TokenRequest means that the broker answers the request itself, as the token endpoint. That has its own way to send
	// the access key.
	TokenRequest bool
	Fields       http1.Fields
	LocalAddr    net.Addr // at which the connection arrived
	// Identities are what a certificate or the system says about the client of the connection, such as dns:shop.example.
	Identities      []string
	Tunnel          *Tunnel // that the request came through; nil without one
	ClientUntrusted bool    // the connection's client certificate is not trusted any more
}

// Decision is the result of Policy.Check.
type Decision struct {
	// Denied is why the request is not allowed; nil if it is.
	Denied *problem.Problem
	// DryRun is why the allow list, for everyone or of the caller, would deny the request without Policy.DryRun; nil if both allow it.
	DryRun *problem.Problem
	// Pass means that the request or tunnel is for one of PassHosts: it passes through, and gets no token.
	Pass bool
	// API is the host of the API that the client has addressed by its name (see CanonicalHost): the target of the tunnel, the
	// authority of an absolute-form target, or the Host field. It is empty if the client has addressed the broker.
	API string
	// Caller is who sends the request; nil if no credentials are needed, or if the request has none. Those in a token request
	// itself are not looked at.
	Caller *Caller
}

// Check decides whether a request is allowed. Several checks may fail; their order is part of the contract. In particular,
// a client without the access key learns nothing about accounts and allow lists.
func (p *Policy) Check(r *Request) Decision {
	switch {
	case r.ClientUntrusted:
		return Decision{Denied: errClientCertificateNoLongerTrusted}
	case r.Method == http.MethodConnect:
		return p.checkConnect(r)
	case isConnectOrTrace(r.Method):
		return Decision{Denied: errMethodNotAllowed}
	case r.Tunnel == nil && r.AbsoluteForm && p.isOtherHost(r):
		return p.checkOtherHost(r)
	}
	if denied := p.checkRequest(r); denied != nil {
		return Decision{Denied: denied}
	}
	authorization, repeated := singleValue(r.Fields, "Authorization")
	switch {
	case repeated && p.Callers != nil:
		return Decision{Denied: errRepeatedCredentials}
	case r.TokenRequest:
		return p.checkTokenRequest(r, authorization)
	}
	decision := Decision{API: p.APIAndLoginHosts.addressedAPI(r)}
	decision.Caller, decision.Denied = p.authenticate(r, authorization, unauthenticatedProblem(r))
	if decision.Denied == nil {
		decision.Denied = p.checkPermissions(r, decision.Caller)
	}
	if p.DryRun && decision.Denied != nil && decision.Denied.DenialReason == string(ReasonNotInAllowList) {
		decision.Denied, decision.DryRun = nil, decision.Denied
	}
	return decision
}

// checkTokenRequest identifies the sender of a token request by the connection or as a proxy's client. A user and password in
// Authorization are for the token endpoint, which examines them, but a bearer token must not be another caller's key.
func (p *Policy) checkTokenRequest(r *Request, authorization string) Decision {
	caller, denied := p.authenticate(r, "", nil)
	if _, isBearer := BearerToken(authorization); isBearer && caller != nil {
		caller, denied = p.authenticate(r, authorization, nil)
	}
	return Decision{Caller: caller, Denied: denied}
}

// InAllowLists reports whether the allow list for everyone, and that of the caller with a name, allow a method and a path without a
// query.
func (p *Policy) InAllowLists(caller, method, path string) bool {
	if p.Callers == nil {
		return p.AllowList.Allowed(method, path)
	}
	one := p.Callers.WithName(caller)
	return one != nil && p.AllowList.Allowed(method, path) && one.AllowList.Allowed(method, path)
}

// checkRequest denies requests that no app on this machine sends, whatever they ask for, and those that cannot be forwarded.
func (p *Policy) checkRequest(r *Request) *problem.Problem {
	_, isUnixSocket := r.LocalAddr.(*net.UnixAddr) // no browser can use one, so any Host is allowed
	switch {
	case r.Tunnel != nil && !r.Tunnel.isFor(r.Host):
		return errHostNotAllowed
	case r.Tunnel == nil && !r.AbsoluteForm && !isUnixSocket && !p.BrokerHosts.Allowed(r.Host, r.LocalAddr):
		return errHostNotAllowed
	case MayComeFromWebPage(r.Fields), isSameOriginSubresource(r.Fields):
		return errBrowserRequest
	case asksForUpgradeExceptH2C(r.Fields):
		return errUpgradeNotSupported
	case isLoop(r.Fields):
		return errLoop
	case r.Target == "":
		return errInvalidTarget
	case hasUnsafePath(r.Target):
		return errUnsafePath
	default:
		return nil
	}
}

// checkPermissions denies requests for an account that is not the caller's, for the login server, which the broker only replaces as
// the token endpoint, and requests that are not in the allow lists.
func (p *Policy) checkPermissions(r *Request, caller *Caller) *problem.Problem {
	if r.HasAccount {
		if denied := caller.CheckAccount(r.Account); denied != nil {
			return denied
		}
	}
	if r.Tunnel != nil && p.APIAndLoginHosts.isOnlyLogin(r.Tunnel.Target) || r.Tunnel == nil && r.AbsoluteForm && p.APIAndLoginHosts.isOnlyLogin(r.Host) {
		return errLoginServerRequest
	}
	if denied := p.AllowList.check(r, "BROKER_ALLOW"); denied != nil || caller == nil {
		return denied
	}
	return caller.AllowList.check(r, "the caller's file allow")
}

// isConnectOrTrace reports whether a method is CONNECT or TRACE, or one that some servers treat as TRACE. Methods are
// case-sensitive (RFC 9110 section 9.1), but a server that does not know that would send the token back.
func isConnectOrTrace(method string) bool {
	return strings.EqualFold(method, http.MethodConnect) || strings.EqualFold(method, http.MethodTrace) || strings.EqualFold(method, "TRACK")
}

// isLoop reports whether a request has passed through a broker before.
func isLoop(fields http1.Fields) bool {
	for hop := range fields.Elements("Via") {
		// received-protocol RWS received-by [ RWS comment ]: RFC 9110 section 7.6.3
		if words := strings.Fields(hop); len(words) >= 2 && strings.EqualFold(words[1], problem.ProxyName) {
			return true
		}
	}
	return false
}

// asksForUpgradeExceptH2C reports whether a request asks for another protocol than h2c (RFC 9110 section 7.8). Upgrade is never
// forwarded; the check only gives the client an early, clear error.
//
// Java, curl and PHP offer h2c with requests to an http: address, and a server may ignore the offer, as this one does: if it
// were denied, many programs could not use the broker.
func asksForUpgradeExceptH2C(fields http1.Fields) bool {
	for line := range fields.Lines("Upgrade") {
		for protocol := range strings.SplitSeq(line, ",") {
			if !strings.EqualFold(strings.TrimSpace(protocol), "h2c") {
				return true
			}
		}
	}
	return false
}
