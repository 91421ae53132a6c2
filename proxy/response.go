package proxy

import (
	"net/http"
	"strings"

	"etrusted-broker/proxy/http1"
)

// relay forwards a response of the API to the app as it arrives.
func (x *exchange) relay(response *http1.ClientResponse) {
	if x.body.unfinished() {
		x.w.Close = true // what the app still sends is not a request
	}
	x.record.Status = response.Status
	response.Reason = x.safeReason(response.Status, response.Reason)
	x.response, x.responseDrop = response, fieldsNamedInConnection(response.Fields)
	rewritten, gzipped := x.links.rewrites(response)
	x.rewritten = rewritten
	x.forwardFields()
	if rewritten {
		x.relayRewritten(gzipped)
		return
	}
	x.w.WriteHead(response.Status, response.Reason, response.ContentLength)
	x.finishResponse(x.w.ReadFrom(response.Body))
}

// forwardFields forwards the fields of the header.
func (x *exchange) forwardFields() {
	x.w.Fields = x.w.Fields[:0]
	for _, field := range x.response.Fields {
		if x.hasSentToken(field.Value) {
			continue
		}
		if http1.EqualFold(field.Name, "Trailer") && x.response.ContentLength < 0 && x.r.MinorVersion > 0 {
			field.Value = filterTrailerNames(field.Value, func(name string) bool { return x.allowsTrailer(name, "") })
			if field.Value == "" {
				continue
			}
		} else if !forwardedDownstream(field.Name, field.Value, x.responseDrop) {
			continue
		}
		x.links.rewriteField(&field)
		x.w.Fields = append(x.w.Fields, field)
	}
}

// finishResponse ends a response whose body was forwarded. If that broke off, the connection is aborted: a clean end would make
// the response look complete.
func (x *exchange) finishResponse(n int64, err error) {
	x.record.Bytes += n
	if err != nil {
		x.record.Broken = true
		_ = x.w.Flush() // what arrived before the fault
		x.w.Abort()
		return
	}
	trailer := x.response.Body.Trailer()
	trailer.DeleteFunc(func(field http1.Field) bool {
		return x.hasSentToken(field.Value) || !x.allowsTrailer(field.Name, field.Value)
	})
	x.w.Trailer(trailer)
}

// allowsTrailer reports whether a trailer is forwarded. The digests of a rewritten body are not true any more.
func (x *exchange) allowsTrailer(name, value string) bool {
	return allowedInTrailer(name) && forwardedDownstream(name, value, x.responseDrop) && (!x.rewritten || !containsFold(name, digestFields))
}

// hasSentToken reports whether a field of the API's response contains the token, and counts it. An API, or a gateway before it,
// that repeats the header of the request would disclose the token to the app. The body is not inspected.
func (x *exchange) hasSentToken(value string) bool {
	// Contains returns at once for a text that is shorter than the token, as most are.
	if x.sentToken == "" || !strings.Contains(value, x.sentToken) {
		return false
	}
	x.record.DroppedFields++
	return true
}

// safeReason returns the reason phrase of a response, or the usual one if it is empty, as over HTTP/2, or contains the token.
func (x *exchange) safeReason(status int, reason string) string {
	if reason == "" || x.hasSentToken(reason) {
		return http.StatusText(status)
	}
	return reason
}
