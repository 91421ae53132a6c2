package proxy

import (
	"net/http"
	"strings"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

// parsedRoute is what a request asks for.
type parsedRoute struct {
	// target is the path and query as the app sent them, byte for byte, and for CONNECT the authority; empty if the target
	// is invalid. apiTarget is target without accountPrefix.
	target, apiTarget string
	// account is from the path or the placeholder token. hasAccount distinguishes an empty name from none.
	account       string
	hasAccount    bool
	accountPrefix string // /@NAME, if the path has it
	// isTokenRequest means that the broker answers the request as the token endpoint.
	isTokenRequest bool
	// absoluteForm means that the target was a URL, so that the app uses the broker as its proxy. tunnel is the tunnel that
	// the request came through; nil without a tunnel.
	absoluteForm bool
	tunnel       *access.Tunnel
}

// parseRoute returns what a request asks for. Whether that is allowed has not been checked.
func (p *Proxy) parseRoute(r *http.Request) parsedRoute {
	route := parsedRoute{target: r.RequestURI, tunnel: tunnelOf(r)}
	if r.Method == http.MethodConnect {
		return route
	}
	route.absoluteForm = r.URL.Host != ""
	route.target = requestTarget(r)
	route.account, route.apiTarget, route.hasAccount = splitAccount(route.target)
	if route.hasAccount {
		route.accountPrefix = "/@" + route.account
	}
	if p.config.TokenEndpoint == nil {
		return route
	}
	path, _, _ := strings.Cut(route.apiTarget, "?")
	route.isTokenRequest = tokenendpoint.Matches(r.Method, path)
	if token, ok := placeholderToken(r.Header); ok && !route.hasAccount && token.Account != "" {
		route.account, route.hasAccount = token.Account, true
	}
	return route
}

// requestTarget returns the path and query of a request as the app sent them; empty if they cannot be forwarded. An
// absolute-form target (RFC 9112 section 3.2.2) must be an http or https URL without a user, which is a way to make another
// host look like this one (RFC 9110 section 4.2.4).
func requestTarget(r *http.Request) string {
	raw := r.RequestURI
	if r.URL.Host != "" {
		if r.URL.User != nil || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			return ""
		}
		_, rest, _ := strings.Cut(raw, "://")
		_, raw = cutTarget(rest)
	}
	if raw[0] == '/' || raw == "*" && r.Method == http.MethodOptions {
		return raw
	}
	return ""
}

// splitAccount splits the account off a target: /@NAME/… is sent to the API as /… with NAME's token.
func splitAccount(target string) (account, rest string, hasAccount bool) {
	name, hasAccount := strings.CutPrefix(target, "/@")
	if !hasAccount {
		return "", target, false
	}
	account, rest = cutTarget(name)
	return account, rest, true
}

// cutTarget cuts a text where the path or the query begins. The target begins with a slash, even if there is no path.
func cutTarget(text string) (before, target string) {
	switch end := strings.IndexAny(text, "/?"); {
	case end < 0:
		return text, "/"
	case text[end] == '?':
		return text[:end], "/" + text[end:]
	default:
		return text[:end], text[end:]
	}
}

// placeholderToken returns the placeholder token of a request, and false if it has none.
func placeholderToken(header http.Header) (tokenendpoint.Token, bool) {
	values := header["Authorization"]
	if len(values) != 1 {
		return tokenendpoint.Token{}, false
	}
	token, ok := access.BearerToken(values[0])
	if !ok {
		return tokenendpoint.Token{}, false
	}
	return tokenendpoint.Parse(token)
}

// accessRequest returns what the policy needs to know about a request.
func (p *Proxy) accessRequest(r *http.Request, route parsedRoute) access.Request {
	return access.Request{
		Method:          r.Method,
		Host:            r.Host,
		AbsoluteForm:    route.absoluteForm,
		Target:          route.target,
		APITarget:       route.apiTarget,
		TokenRequest:    route.isTokenRequest,
		Fields:          access.HTTPFields(r.Header),
		LocalAddr:       access.LocalAddr(r.Context()),
		Tunnel:          route.tunnel,
		ClientUntrusted: p.config.ClientTrusted != nil && !p.config.ClientTrusted(r.Context()),
	}
}
