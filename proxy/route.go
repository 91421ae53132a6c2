package proxy

import (
	"net/http"
	"strings"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/tokenendpoint"
)

// parsedRoute is what a request asks for.
type parsedRoute struct {
	// host is the authority of an absolute-form target, or else the Host field.
	host string
	// target is the path and query as the app sent them, byte for byte, and for CONNECT the authority; empty if the target
	// is invalid. apiTarget is target without accountPrefix.
	target, apiTarget string
	// account is from the path or the placeholder token. hasAccount distinguishes an empty name from none.
	account       string
	hasAccount    bool
	accountPrefix string // /@NAME, if the path has it
	// isTokenRequest means that the broker answers the request as the token endpoint.
	isTokenRequest bool
	// absoluteScheme is the scheme of an absolute-form target, in lower case: the app uses the broker as its proxy. It is
	// empty for other targets. tunnel is the tunnel that the request came through; nil without a tunnel.
	absoluteScheme string
	tunnel         *access.Tunnel
}

// parseRoute returns what a request asks for. Whether that is allowed has not been checked.
func (p *Proxy) parseRoute(r *http1.Request) parsedRoute {
	route := parsedRoute{host: r.Host, target: r.Target}
	route.tunnel, _ = r.Tunnel.(*access.Tunnel)
	if r.Method == http.MethodConnect {
		return route
	}
	if r.Target[0] != '/' && (r.Target != "*" || r.Method != http.MethodOptions) {
		route.parseAbsolute(r.Target)
	}
	route.account, route.apiTarget, route.hasAccount = splitAccount(route.target)
	if route.hasAccount {
		route.accountPrefix = route.target[:len("/@")+len(route.account)]
	}
	if !p.config.TokenEndpoint {
		return route
	}
	path, _, _ := strings.Cut(route.apiTarget, "?")
	route.isTokenRequest = tokenendpoint.Matches(r.Method, path)
	if token, ok := placeholderToken(r.Fields); ok && !route.hasAccount && token.Account != "" {
		route.account, route.hasAccount = token.Account, true
	}
	return route
}

// parseAbsolute parses a target in absolute-form (RFC 9112 section 3.2.2). It must be an http or https URL without a user, which
// is a way to make another host look like this one (RFC 9110 section 4.2.4).
func (route *parsedRoute) parseAbsolute(target string) {
	route.target = ""
	scheme, rest, isURL := strings.Cut(target, "://")
	authority, target := cutAtPath(rest)
	if !isURL || authority == "" {
		return
	}
	user := strings.LastIndexByte(authority, '@')
	route.absoluteScheme, route.host = strings.ToLower(scheme), authority[user+1:]
	if user < 0 && (route.absoluteScheme == "http" || route.absoluteScheme == "https") {
		route.target = target
	}
}

// authority returns the host, and for a URL always with its port.
func (route *parsedRoute) authority() string {
	port := map[string]string{"http": ":80", "https": ":443"}[route.absoluteScheme]
	if strings.LastIndexByte(route.host, ':') > strings.LastIndexByte(route.host, ']') { // the colons of an IPv6 address are in brackets
		return route.host
	}
	return route.host + port
}

// splitAccount splits the account off a target: /@NAME/… is sent to the API as /… with NAME's token.
func splitAccount(target string) (account, rest string, hasAccount bool) {
	name, hasAccount := strings.CutPrefix(target, "/@")
	if !hasAccount {
		return "", target, false
	}
	account, rest = cutAtPath(name)
	return account, rest, true
}

// cutAtPath cuts a text where the path or the query begins. The target begins with a slash, even if there is no path.
func cutAtPath(text string) (before, target string) {
	switch end := strings.IndexAny(text, "/?"); {
	case end < 0:
		return text, "/"
	case text[end] == '?':
		return text[:end], "/" + text[end:]
	default:
		return text[:end], text[end:]
	}
}

// placeholderToken returns the placeholder token of a request, and false if it has none. Some apps send a field twice; fields that
// differ name no account.
func placeholderToken(fields http1.Fields) (placeholder tokenendpoint.Token, ok bool) {
	authorization := fields.Get("Authorization")
	for value := range fields.Lines("Authorization") {
		if value != authorization {
			return placeholder, false
		}
	}
	token, _ := access.BearerToken(authorization)
	return tokenendpoint.Parse(token)
}

// accessRequest returns what the policy needs to know about a request.
func (x *exchange) accessRequest() access.Request {
	request := access.Request{
		Method:          x.r.Method,
		Host:            x.route.authority(),
		AbsoluteForm:    x.route.absoluteScheme != "",
		Target:          x.route.target,
		APITarget:       x.route.apiTarget,
		Account:         x.route.account,
		HasAccount:      x.route.hasAccount,
		TokenRequest:    x.route.isTokenRequest,
		Fields:          x.r.Fields,
		LocalAddr:       x.r.Conn.LocalAddr(),
		Tunnel:          x.route.tunnel,
		ClientUntrusted: x.proxy.config.ClientTrusted != nil && !x.proxy.config.ClientTrusted(x.r),
	}
	if x.proxy.config.Identities != nil && x.route.tunnel == nil {
		request.Identities = x.proxy.config.Identities(x.r)
	}
	return request
}
