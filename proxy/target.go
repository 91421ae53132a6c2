package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

// requestTarget returns the path and query of a request as the app sent them, byte for byte. It reports false for what
// cannot be sent on. An absolute-form target (RFC 9112 section 3.2.2) must be an http or https URL, and without a user: that
// is a way to make another host look like this one (RFC 9110 section 4.2.4).
func requestTarget(r *http.Request) (raw string, ok bool) {
	raw = r.RequestURI
	if r.URL.Host != "" { // absolute-form
		if r.URL.User != nil || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			return "", false
		}
		_, rest, _ := strings.Cut(raw, "://")
		_, raw = cutTarget(rest)
	}
	return raw, raw[0] == '/' || raw == "*" && r.Method == http.MethodOptions
}

// splitAccount takes the account off the front of a target: /@NAME/… goes to the API as /… with the token of NAME. It
// reports false, and changes nothing, where none is named.
func splitAccount(raw string) (account, rest string, named bool) {
	name, named := strings.CutPrefix(raw, "/@")
	if !named {
		return "", raw, false
	}
	account, rest = cutTarget(name)
	return account, rest, true
}

// cutTarget cuts a text where the path or the query begins. The target begins with a slash, even where there is no path.
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

// upstreamURL returns the upstream's URL of a target, which it does not change by a byte. It reports false where that cannot be.
//
// url.URL re-encodes a path whose bytes it finds unusual ({, |, UTF-8), unless they stand in Opaque. But an Opaque that
// begins with two slashes is taken for an authority, so such a path has to do without.
func (p *Proxy) upstreamURL(raw string) (*url.URL, bool) {
	path, query, hasQuery := strings.Cut(raw, "?")
	target := &url.URL{
		Scheme:     p.config.Upstream.Scheme,
		Host:       p.config.Upstream.Host,
		RawQuery:   query,
		ForceQuery: hasQuery && query == "",
	}
	if !strings.HasPrefix(path, "//") {
		target.Opaque = path
		return target, true
	}
	parsed, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, false
	}
	target.Path, target.RawPath = parsed.Path, parsed.RawPath
	return target, target.EscapedPath() == path
}
