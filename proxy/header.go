package proxy

import (
	"slices"
	"strings"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// hopByHop are the fields that are meant for one connection only: RFC 9110 section 7.6.1, and older ones that some still send.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"TE", "Trailer", "Transfer-Encoding", "Upgrade", "HTTP2-Settings",
}

// digestFields are digests of the body, which are wrong once links are rewritten: RFC 9530 and its predecessors.
var digestFields = []string{"Content-Digest", "Repr-Digest", "Digest", "Content-MD5"}

// notInTrailers are fields by which a message is framed, routed, authenticated or interpreted: RFC 9110 section 6.5.1.
var notInTrailers = []string{
	"Content-Length", "Content-Encoding", "Content-Range", "Content-Type",
	"Host", "Via", "Location", "Max-Forwards", "Expect", "Status",
	"Authorization", "Cookie", "Set-Cookie", "WWW-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
	"Cache-Control", "Pragma", "Range",
}

func containsFold(name string, names []string) bool {
	return slices.ContainsFunc(names, func(one string) bool { return http1.EqualFold(name, one) })
}

func hasPrefixFold(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// disclosesClient reports whether a field says for whom a request is made. The broker does not disclose that, and no client may
// claim it.
func disclosesClient(fieldName string) bool {
	return http1.EqualFold(fieldName, "Forwarded") || http1.EqualFold(fieldName, "X-Real-Ip") || http1.EqualFold(fieldName, "Cf-Connecting-Ip") ||
		hasPrefixFold(fieldName, "X-Forwarded-") || http1.EqualFold(fieldName[max(0, len(fieldName)-len("Client-Ip")):], "Client-Ip")
}

// withHyphens maps X_Forwarded_For to X-Forwarded-For, which CGI does not distinguish: RFC 3875 section 4.1.18.
func withHyphens(name string) string { return strings.ReplaceAll(name, "_", "-") }

// claimsOurProxyStatus reports whether a field of the API's response claims that the broker made it. Other gateways may be named.
func claimsOurProxyStatus(name, value string) bool {
	return http1.EqualFold(name, "Proxy-Status") && strings.Contains(strings.ToLower(value), problem.ProxyName)
}

// connectionFieldNames are the fields that a Connection field lists, with hyphens and in lower case. They are meant for one
// connection only, in the header and as trailers (RFC 9110 section 7.6.1). The usual values list none, and cost no map.
type connectionFieldNames map[string]bool

func fieldsNamedInConnection(fields http1.Fields) (toDrop connectionFieldNames) {
	for option := range fields.Elements("Connection") {
		if http1.EqualFold(option, "close") || http1.EqualFold(option, "keep-alive") {
			continue
		}
		if toDrop == nil {
			toDrop = make(connectionFieldNames)
		}
		toDrop[strings.ToLower(withHyphens(option))] = true
	}
	return toDrop
}

// has reports whether a field is listed. name has hyphens.
func (c connectionFieldNames) has(name string) bool { return c != nil && c[strings.ToLower(name)] }

// forwardedUpstream reports whether a field of a request is forwarded, in the header or, if allowedInTrailer, as a trailer.
func forwardedUpstream(name string, drop connectionFieldNames) bool {
	name = withHyphens(name)
	return !containsFold(name, hopByHop) && !disclosesClient(name) && !drop.has(name)
}

// forwardedDownstream is the same for a field of a response. What is true of the API's origin, or allowed to the origins that it
// knows, is not meant for this machine's. A trailer that is only announced has no value yet.
func forwardedDownstream(name, value string, drop connectionFieldNames) bool {
	name = withHyphens(name)
	return !containsFold(name, hopByHop) && !hasPrefixFold(name, "Access-Control-") &&
		!http1.EqualFold(name, "Strict-Transport-Security") && !http1.EqualFold(name, "Alt-Svc") && !claimsOurProxyStatus(name, value) && !drop.has(name)
}

// allowedInTrailer reports whether a field may be a trailer, in either direction. A recipient may merge trailers into the header,
// so they must not change how a message is understood, or ask for another request than was checked.
func allowedInTrailer(name string) bool {
	return !containsFold(withHyphens(name), notInTrailers) && !hasPrefixFold(withHyphens(name), "If-") && !access.IsMethodOrPathOverride(name)
}

// filterTrailerNames returns the value of a Trailer field without the names that are not forwarded.
func filterTrailerNames(value string, forwarded func(name string) bool) string {
	var names []string
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.Trim(name, " \t"); http1.IsToken(name) && forwarded(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// outboundFields returns the fields of a request to a host: the app's, in their order and case, without those for one connection
// only. If authorization is not empty, it replaces the app's own. Connection cannot remove what is set here. The result is valid
// until the next call.
func (x *exchange) outboundFields(host, authorization string) http1.Fields {
	out := x.fields[:0]
	expects := x.request.ExpectContinue
	hasHost, hasAuthorization, hasTE, hasAcceptEncoding := false, false, false, false
	for _, field := range x.r.Fields {
		switch name := field.Name; {
		case http1.EqualFold(name, "Host"):
			hasHost, field.Value = true, host
		case http1.EqualFold(name, "Authorization") && authorization != "":
			if hasAuthorization {
				continue
			}
			hasAuthorization, field.Value = true, authorization
		case http1.EqualFold(name, "TE"):
			if hasTE || !strings.Contains(strings.ToLower(field.Value), "trailers") {
				continue
			}
			hasTE, field.Value = true, "trailers" // they are forwarded: RFC 9110 section 10.1.4
		case http1.EqualFold(name, "Trailer"):
			if field.Value = x.body.announcedTrailers(field.Value); field.Value == "" {
				continue
			}
		case http1.EqualFold(name, "Expect"):
			if !expects {
				continue
			}
			expects, field.Value = false, "100-continue"
		case !forwardedUpstream(name, x.body.drop):
			continue
		case http1.EqualFold(name, "Accept-Encoding") && x.links.encoding != "":
			if hasAcceptEncoding {
				continue
			}
			hasAcceptEncoding, field.Value = true, x.links.encoding
		case x.links.active && !x.links.adaptRequestField(&field):
			continue
		}
		out = append(out, field)
	}
	if !hasHost {
		out.Add("Host", host)
	}
	if !hasAuthorization && authorization != "" {
		out.Add("Authorization", authorization)
	}
	if x.generatedID != "" && !x.body.drop.has(requestIDHeader) {
		out.Set(requestIDHeader, x.generatedID)
	}
	out.Add("Via", "1.1 "+problem.ProxyName) // RFC 9110 section 7.6.3
	x.fields = out
	return out
}
