package proxy

import "strings"

// setSentToken remembers the token in the value of an Authorization field that is sent.
func (x *exchange) setSentToken(authorization string) {
	x.sentToken = strings.TrimPrefix(authorization, "Bearer ")
}

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

// safeReason returns the reason phrase of a response; empty if that contains the token.
func (x *exchange) safeReason(reason string) string {
	if x.hasSentToken(reason) {
		return ""
	}
	return reason
}
