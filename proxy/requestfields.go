package proxy

import (
	"strings"

	"etrusted-broker/proxy/http1"
)

// outboundFields returns the fields of a request to a host: the app's, in their order and case, without those for one connection
// only. If authorization is not empty, it replaces the app's own. Connection cannot remove what is set here. The result is valid
// until the next call.
func (x *exchange) outboundFields(host, authorization string) http1.Fields {
	out := x.fields[:0]
	expects := x.request.ExpectContinue
	hasHost, hasAuthorization, hasTE := false, false, false
	links := x.links // the request may be sent twice
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
		case !forwardedUpstream(name, x.drop), links.active && !links.adaptRequestField(&field):
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
	if x.generatedID != "" && !x.drop.has(requestIDHeader) {
		out.Set(requestIDHeader, x.generatedID)
	}
	out.Add("Via", via)
	x.fields = out
	return out
}
