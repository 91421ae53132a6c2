package proxy

import (
	"net/http"
	"net/textproto"
	"strings"

	"etrusted-broker/proxy/access"
)

// via is what the broker adds to the requests that it sends on: RFC 9110 section 7.6.3.
const via = "1.1 " + proxyName

// viaValue is for the requests that came straight from an app, as nearly all do. It is never changed.
var viaValue = []string{via}

// isLoop reports whether a request has passed through a broker before.
func isLoop(header http.Header) bool {
	for _, line := range header["Via"] {
		for hop := range strings.SplitSeq(line, ",") {
			// received-protocol RWS received-by [ RWS comment ]
			if fields := strings.Fields(hop); len(fields) >= 2 && strings.EqualFold(fields[1], proxyName) {
				return true
			}
		}
	}
	return false
}

// isHopByHop reports whether a header is meant for one connection only, and so is not passed on: RFC 9110 section
// 7.6.1, with the older ones that some still send. name is in canonical form.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	default:
		return false
	}
}

// isForwarding reports whether a field says on whose behalf a request is made. A credential broker says nothing of that,
// and lets no client claim it. name is in canonical form.
func isForwarding(name string) bool {
	return name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") ||
		name == "X-Real-Ip" || name == "Cf-Connecting-Ip" || strings.HasSuffix(name, "Client-Ip")
}

// canonicalKey is how a header's name arrives where headers are handed on as CGI does (RFC 3875 section 4.1.18): there
// X_Forwarded_For and X-Forwarded-For are the same.
func canonicalKey(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// isCrossOrigin reports whether a header of a response would let a browser's page of another origin read it. What the
// API allows to the origins that it knows is not meant for this machine's.
func isCrossOrigin(name string) bool {
	return strings.HasPrefix(name, "Access-Control-")
}

// isForgedStatus reports whether a header of a response says that the broker made it, which it did not: its own are told from the
// API's by Proxy-Status. One that names another gateway stands.
func isForgedStatus(name string, values []string) bool {
	return name == "Proxy-Status" && strings.Contains(strings.ToLower(strings.Join(values, ",")), proxyName)
}

// connectionOptions returns the fields that a Connection header names, hyphenated: they too are meant for one connection only, in the
// header as in the trailers (RFC 9110 section 7.6.1). The usual values name none and cost no memory.
func connectionOptions(connection []string) map[string]bool {
	var names map[string]bool
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			option = textproto.TrimString(option)
			if option == "" || strings.EqualFold(option, "close") || strings.EqualFold(option, "keep-alive") {
				continue
			}
			if names == nil {
				names = make(map[string]bool)
			}
			names[canonicalKey(textproto.CanonicalMIMEHeaderKey(option))] = true
		}
	}
	return names
}

// forwardedUpstream reports whether a field of a request may be passed on, in the header or, where mayTrail agrees, as a trailer.
// drop is what the Connection header has named.
func forwardedUpstream(name string, drop map[string]bool) bool {
	name = canonicalKey(name)
	return !drop[name] && !isHopByHop(name) && !isForwarding(name)
}

// forwardedDownstream is the same for a field of a response. Of a trailer that is only announced there are no values yet.
func forwardedDownstream(name string, values []string, drop map[string]bool) bool {
	name = canonicalKey(name)
	return !drop[name] && !isHopByHop(name) && !isCrossOrigin(name) && !isForgedStatus(name, values)
}

// allowedInTrailer reports whether a field may be a trailer, in either direction. A recipient may merge trailers into the header,
// so there must be none by which a message is framed, routed, authenticated or understood (RFC 9110 section 6.5.1), or that
// asks for another request than was checked.
func allowedInTrailer(name string) bool {
	if !isToken(name) || access.IsOverride(name) {
		return false
	}
	switch name = canonicalKey(name); name {
	case "Content-Length", "Content-Encoding", "Content-Range", "Content-Type",
		"Host", "Via", "Location", "Max-Forwards", "Expect", "Status",
		"Authorization", "Cookie", "Set-Cookie", "Www-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
		"Cache-Control", "Pragma", "Range":
		return false
	default:
		return !strings.HasPrefix(name, "If-")
	}
}

// isToken reports whether a field name is one (RFC 9110 section 5.1). The server does not look at those in Trailer, and
// the transport refuses the whole request for one that is none.
func isToken(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}

// outboundHeader returns the headers of a request as they go upstream: without what is for one connection only, without what
// the app sent to prove who it is, and with ours. Values are shared with header, and not changed.
func outboundHeader(header http.Header, authorization string) http.Header {
	out := make(http.Header, len(header)+3)
	drop := connectionOptions(header["Connection"])
	for name, values := range header {
		if forwardedUpstream(name, drop) {
			out[name] = values
		}
	}
	for _, line := range header["Te"] {
		if strings.Contains(strings.ToLower(line), "trailers") {
			out["Te"] = []string{"trailers"} // we do pass them on: RFC 9110 section 10.1.4
		}
	}
	if _, told := out["User-Agent"]; !told {
		out["User-Agent"] = nil // or net/http would put in its own
	}
	// What the request is marked with is set last, so that no Connection header can take it off.
	out["Via"] = viaValue
	if before := header["Via"]; len(before) > 0 && !drop["Via"] {
		out["Via"] = append(before[:len(before):len(before)], via)
	}
	out["Authorization"] = []string{authorization}
	return out
}

// copyResponseHeader copies the headers of a response to those that go to the app.
func copyResponseHeader(to, from http.Header) {
	drop := connectionOptions(from["Connection"])
	for name, values := range from {
		if forwardedDownstream(name, values, drop) {
			to[name] = values
		}
	}
	if _, told := to["Content-Type"]; !told {
		to["Content-Type"] = nil // or net/http would guess one
	}
}
