package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

// route is what a request asks for.
type route struct {
	// target is the path and query as the app sent them, byte for byte, and for CONNECT the authority; empty if the target
	// is invalid. apiTarget is target without accountPrefix.
	target, apiTarget string
	// account is from the path or the placeholder token. hasAccount distinguishes an empty name from none.
	account       string
	hasAccount    bool
	accountPrefix string // /@NAME, if the path has it
	// isTokenRequest means that the broker answers the request as the token endpoint.
	isTokenRequest bool
}

// parseRoute returns what a request asks for. Whether that is allowed has not been checked.
func (p *Proxy) parseRoute(r *http.Request) route {
	asked := route{target: requestTarget(r)}
	if r.Method == http.MethodConnect {
		return asked
	}
	asked.account, asked.apiTarget, asked.hasAccount = splitAccount(asked.target)
	if asked.hasAccount {
		asked.accountPrefix = "/@" + asked.account
	}
	if p.config.TokenEndpoint == nil {
		return asked
	}
	path, _, _ := strings.Cut(asked.apiTarget, "?")
	asked.isTokenRequest = tokenendpoint.Matches(r.Method, path)
	if token, ok := placeholderToken(r.Header); ok && !asked.hasAccount && token.Account != "" {
		asked.account, asked.hasAccount = token.Account, true
	}
	return asked
}

// requestTarget returns the path and query of a request as the app sent them, and for CONNECT the authority; empty if they
// cannot be forwarded. An absolute-form target (RFC 9112 section 3.2.2) must be an http or https URL without a user, which
// is a way to make another host look like this one (RFC 9110 section 4.2.4).
func requestTarget(r *http.Request) string {
	raw := r.RequestURI
	if r.Method == http.MethodConnect {
		return raw
	}
	if isAbsoluteForm(r) {
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

func isAbsoluteForm(r *http.Request) bool { return r.URL.Host != "" && r.Method != http.MethodConnect }

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

// accessRequest returns what the policy needs to know about a request.
func (p *Proxy) accessRequest(r *http.Request, asked route) access.Request {
	return access.Request{
		Method:          r.Method,
		Host:            r.Host,
		AbsoluteForm:    isAbsoluteForm(r),
		Target:          asked.target,
		APITarget:       asked.apiTarget,
		TokenRequest:    asked.isTokenRequest,
		Fields:          access.HTTPFields(r.Header),
		LocalAddr:       access.LocalAddr(r.Context()),
		Tunnel:          tunnelOf(r),
		ClientUntrusted: p.config.ClientTrusted != nil && !p.config.ClientTrusted(r.Context()),
	}
}

// upstreamURL returns the API's URL for a target, without changing a byte of it. It reports false if that is impossible.
//
// url.URL re-encodes a path with unusual bytes ({, |, UTF-8), unless it is in Opaque. But an Opaque that begins with two
// slashes is taken for an authority, so such a path cannot be there.
func (p *Proxy) upstreamURL(target string) (*url.URL, bool) {
	path, query, hasQuery := strings.Cut(target, "?")
	upstream := &url.URL{
		Scheme:     p.config.Upstream.Scheme,
		Host:       p.config.Upstream.Host,
		RawQuery:   query,
		ForceQuery: hasQuery && query == "",
	}
	if !strings.HasPrefix(path, "//") {
		upstream.Opaque = path
		return upstream, true
	}
	parsed, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, false
	}
	upstream.Path, upstream.RawPath = parsed.Path, parsed.RawPath
	return upstream, upstream.EscapedPath() == path
}
