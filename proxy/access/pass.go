package access

import "strings"

// isOtherHost reports whether an absolute-form target names another host than the API, the login server and this broker.
func (p *Policy) isOtherHost(r *Request) bool {
	if p.Servers.has(r.Host) {
		return false
	}
	return !p.Hosts.Allowed(r.Host, r.LocalAddr) || p.PassHosts.ListsAddress(r.Host)
}

// checkOtherHost decides whether an absolute-form request for another host passes through. Its path is not checked, since no
// rule depends on it. Authorization is the other host's.
func (p *Policy) checkOtherHost(r *Request) Decision {
	switch {
	case isDeniedMethod(r.Method):
		return Decision{Denied: errMethodNotAllowed}
	case p.PassHosts == nil:
		return Decision{Denied: errOtherHostNotAllowed}
	case IsBrowserRequest(r.Fields), isSubresource(r.Fields):
		return Decision{Denied: errBrowserRequest}
	}
	caller, denied := p.authenticateToProxy(r)
	switch {
	case denied != nil:
	case !p.passes(r.Host):
		denied = errOtherHostNotAllowed
	case asksForUpgrade(r.Fields):
		denied = errUpgradeNotSupported
	case isLoop(r.Fields):
		denied = errLoop
	case r.Target == "":
		denied = errInvalidTarget
	}
	return Decision{Caller: caller, Denied: denied, Pass: denied == nil}
}

// passes reports whether what is for a target, HOST:PORT, passes through. The APIs and the login servers never do, those at a default
// port not at any port either: they would get requests without a token, or with the app's own credentials.
func (p *Policy) passes(target string) bool {
	return p.PassHosts.Match(target) && !p.Servers.has(target) && !p.Servers.has(target[:strings.LastIndexByte(target, ':')])
}
