package proxy

import (
	"net/http"
	"strings"
)

// hasSentToken reports whether the value of a field of the API's response contains the token that was sent, and counts it. An API, or a gateway
// in front of it, that repeats the header of the request would disclose the token to the app. The body is not inspected.
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
