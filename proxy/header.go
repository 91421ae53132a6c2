package proxy

import (
	"net/http"
	"net/textproto"
	"strings"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// via is the broker's entry in the Via field: RFC 9110 section 7.6.3.
const via = "1.1 " + problem.ProxyName

// viaValue is shared by all requests without a Via field of their own. It is never changed.
var viaValue = []string{via}

// isHopByHop reports whether a field is meant for one connection only, and so is not forwarded: RFC 9110 section 7.6.1,
// and older fields that some still send. name is in canonical form.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	default:
		return false
	}
}

// isForwarding reports whether a field says for whom a request is made. A credential broker does not disclose that, and lets
// no client claim it. name is in canonical form.
func isForwarding(name string) bool {
	return name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") ||
		name == "X-Real-Ip" || name == "Cf-Connecting-Ip" || strings.HasSuffix(name, "Client-Ip")
}

// canonicalKey returns the name that a field has after CGI (RFC 3875 section 4.1.18), which does not distinguish
// X_Forwarded_For from X-Forwarded-For.
func canonicalKey(name string) string {
	if strings.IndexByte(name, '_') < 0 {
		return name
	}
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// isCrossOrigin reports whether a field of a response can let a page of another origin read it. What the API allows to the
// origins that it knows is not meant for this machine's.
func isCrossOrigin(name string) bool {
	return strings.HasPrefix(name, "Access-Control-")
}

// isForgedStatus reports whether a field of the API's response claims that the broker made the response: apps tell the two
// apart by Proxy-Status. A field that names another gateway is forwarded.
func isForgedStatus(name string, values []string) bool {
	return name == "Proxy-Status" && strings.Contains(strings.ToLower(strings.Join(values, ",")), problem.ProxyName)
}

// connectionOptions returns the fields that a Connection field lists, as canonicalKey writes them. They are meant for one
// connection only, in the header and as trailers (RFC 9110 section 7.6.1). The usual values list none and do not allocate.
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

// forwardedUpstream reports whether a field of a request is forwarded, in the header or, if allowedInTrailer, as a trailer.
// drop has the connectionOptions.
func forwardedUpstream(name string, drop map[string]bool) bool {
	name = canonicalKey(name)
	return !drop[name] && !isHopByHop(name) && !isForwarding(name)
}

// forwardedDownstream is the same for a field of a response. A trailer that is only announced has no values yet.
func forwardedDownstream(name string, values []string, drop map[string]bool) bool {
	name = canonicalKey(name)
	return !drop[name] && !isHopByHop(name) && !isCrossOrigin(name) && !isForgedStatus(name, values)
}

// allowedInTrailer reports whether a field may be a trailer, in either direction. A recipient may merge trailers into the
// header, so they must not contain fields by which a message is framed, routed, authenticated or interpreted (RFC 9110
// section 6.5.1), or that ask for another request than was checked.
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

// isToken reports whether a field name is a token (RFC 9110 section 5.1). The server does not check the names in Trailer, and
// the transport refuses the whole request if one is invalid.
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

// outboundHeader returns the header of a request as it is sent to the API: without fields for one connection only, without
// the app's own credentials, and with the broker's. It shares values with header, and does not change them.
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
			out["Te"] = []string{"trailers"} // they are forwarded: RFC 9110 section 10.1.4
		}
	}
	if _, found := out["User-Agent"]; !found {
		out["User-Agent"] = nil // or net/http would send its own
	}
	// Set Via and Authorization last, so that the client cannot remove them by naming them in Connection.
	out["Via"] = viaValue
	if before := header["Via"]; len(before) > 0 && !drop["Via"] {
		out["Via"] = append(before[:len(before):len(before)], via)
	}
	out["Authorization"] = []string{authorization}
	return out
}

// copyResponseHeader copies those fields of a response that are forwarded to the app.
func copyResponseHeader(dst, src http.Header) {
	drop := connectionOptions(src["Connection"])
	for name, values := range src {
		if forwardedDownstream(name, values, drop) {
			dst[name] = values
		}
	}
	if _, found := dst["Content-Type"]; !found {
		dst["Content-Type"] = nil // or net/http would guess one
	}
}
