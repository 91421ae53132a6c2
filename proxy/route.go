package proxy

import (
	"net/http"
	"strings"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/tokenendpoint"
)

// parsedRoute is what a request asks for. Its Request is what the policy needs to know.
type parsedRoute struct {
	access.Request
	// host is the authority of an absolute-form target, or else the Host field. For a URL, Request.Host always has the port.
	host          string
	accountPrefix string // /@NAME, if the path has it
	// absoluteScheme is the scheme of an absolute-form target, in lower case; empty for other targets.
	absoluteScheme string
}

// parseRoute sets what a request asks for. Whether that is allowed has not been checked.
func (x *exchange) parseRoute() {
	r, config, route := x.r, &x.proxy.config, &x.route
	*route = parsedRoute{host: r.Host, Request: access.Request{
		Method: r.Method, Host: r.Host, Target: r.Target, Fields: r.Fields, LocalAddr: r.Conn.LocalAddr(),
		ClientUntrusted: config.ClientTrusted != nil && !config.ClientTrusted(r),
	}}
	route.Tunnel, _ = r.Tunnel.(*access.Tunnel)
	if config.Identities != nil && route.Tunnel == nil {
		route.Identities = config.Identities(r)
	}
	if r.Method == http.MethodConnect {
		return
	}
	if r.Target[0] != '/' && (r.Target != "*" || r.Method != http.MethodOptions) {
		route.parseAbsolute(r.Target)
	}
	if name, hasAccount := strings.CutPrefix(route.Target, "/@"); hasAccount { // sent to the API without it, and with its token
		route.Account, route.APITarget = cutBeforePath(name)
		route.HasAccount, route.accountPrefix = true, route.Target[:len("/@")+len(route.Account)]
	} else {
		route.APITarget = route.Target
	}
	if !config.TokenEndpoint {
		return
	}
	path, _, _ := strings.Cut(route.APITarget, "?")
	route.TokenRequest = tokenendpoint.IsTokenRequest(r.Method, path)
	if token, ok := placeholderToken(r.Fields); ok && !route.HasAccount && token.Account != "" {
		route.Account, route.HasAccount = token.Account, true
	}
}

// parseAbsolute parses a target in absolute-form (RFC 9112 section 3.2.2). It must be an http or https URL without a user, which
// is a way to make another host look like this one (RFC 9110 section 4.2.4).
func (route *parsedRoute) parseAbsolute(target string) {
	route.Target = ""
	scheme, rest, isURL := strings.Cut(target, "://")
	authority, target := cutBeforePath(rest)
	if !isURL || authority == "" {
		return
	}
	user := strings.LastIndexByte(authority, '@')
	route.absoluteScheme, route.host = strings.ToLower(scheme), authority[user+1:]
	route.AbsoluteForm, route.Host = route.absoluteScheme != "", route.host
	port := map[string]string{"http": ":80", "https": ":443"}[route.absoluteScheme]
	if strings.LastIndexByte(route.host, ':') <= strings.LastIndexByte(route.host, ']') { // the colons of an IPv6 address are in brackets
		route.Host += port
	}
	if user < 0 && port != "" {
		route.Target = target
	}
}

// cutBeforePath cuts a text where the path or the query begins. pathAndQuery begins with a slash, even if there is no path.
func cutBeforePath(text string) (before, pathAndQuery string) {
	switch end := strings.IndexAny(text, "/?"); {
	case end < 0:
		return text, "/"
	case text[end] == '?':
		return text[:end], "/" + text[end:]
	default:
		return text[:end], text[end:]
	}
}

// placeholderToken returns the placeholder token of a request. Some apps send a field twice; fields that differ name no account.
func placeholderToken(fields http1.Fields) (placeholder tokenendpoint.PlaceholderToken, ok bool) {
	authorization := fields.Get("Authorization")
	for value := range fields.Lines("Authorization") {
		if value != authorization {
			return placeholder, false
		}
	}
	token, _ := access.BearerToken(authorization)
	return tokenendpoint.ParsePlaceholderToken(token)
}
