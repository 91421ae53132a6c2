package proxy

import (
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// DefaultAccount is the name of the unnamed account in records.
const DefaultAccount = "default"

// StatusClientClosedRequest is the status in records, but of no response, if the client went away before it had one.
const StatusClientClosedRequest = 499

// RequestRecord describes a request that has ended.
type RequestRecord struct {
	// Account is DefaultAccount or the name of an existing account; empty if the request was refused before that was known.
	Account string
	// Caller is the name of the caller; empty if there are no named callers, or if it is unknown.
	Caller string
	Method string // as the app sent it: any token
	// Path is percent-encoded, and so is plain ASCII; empty for CONNECT, for malformed requests, and for those that pass through
	// to other hosts. It has no query, which may contain personal data.
	Path string
	// RequestID is the first 128 bytes of X-Request-Id, from the app or from Config.RequestID; empty without an ID.
	RequestID string
	// TraceID is from the app's traceparent field (W3C Trace Context): 32 lower-case hexadecimal digits; empty if invalid.
	TraceID string
	// Status is that of the response, or StatusClientClosedRequest.
	Status int
	// Denied is why the request was not allowed; empty if it was. DryRun is why an allow list would not have allowed it without
	// access.Policy.DryRun; nil if both do.
	Denied access.DenialReason
	DryRun *problem.Problem
	// ProxyError is the proxy error type (RFC 9209) of a response that the broker made itself; empty for the API's responses.
	// Problem is what such a response describes; nil if it is an OAuth error.
	ProxyError string
	Problem    *problem.Problem
	// Retry is the outcome of the retry after a 401; empty if there was no reason for one.
	Retry RetryOutcome
	// Passed is the outcome of a request or a tunnel that passes through; empty for others.
	Passed PassThroughOutcome
	// DroppedFields counts the fields and trailers of the API's responses that were dropped because they contained the token.
	DroppedFields int
	// Bytes counts the bytes of the response body that were sent to the app.
	Bytes int64
	// Broken means that a response was begun but not completed, or that its last bytes could not be sent.
	Broken bool
	// Duration is the time from the end of the request's header to the end of the response. Upstream is the part from
	// sending the request to receiving the response's header; 0 if it was not sent.
	Duration, Upstream time.Duration
}

// RetryOutcome is the outcome of a request that the API answered with 401: a closed set, used as the label of a metric.
type RetryOutcome string

// The outcomes of a 401 to a token that can be replaced.
const (
	RetryAuthorized   RetryOutcome = "success"      // sent again, and answered with anything but 401
	RetryUnauthorized RetryOutcome = "unauthorized" // sent again, and answered with 401
	RetryFailed       RetryOutcome = "failed"       // sent again, and not answered
	RetryBodyNotKept  RetryOutcome = "body_not_kept"
	RetryNoToken      RetryOutcome = "no_token" // there was no newer token in time
)

// RetryOutcomes lists all outcomes.
var RetryOutcomes = [...]RetryOutcome{RetryAuthorized, RetryUnauthorized, RetryFailed, RetryBodyNotKept, RetryNoToken}

// Sent reports whether the request was sent a second time.
func (o RetryOutcome) Sent() bool {
	return o == RetryAuthorized || o == RetryUnauthorized || o == RetryFailed
}

// PassThroughOutcome is the outcome of a request or a tunnel that passes through: a closed set, used as the label of a metric.
type PassThroughOutcome string

// The outcomes of what the policy lets pass through.
const (
	PassThroughSuccess        PassThroughOutcome = "success"       // a tunnel was opened, or the host has answered
	PassThroughAddressRefused PassThroughOutcome = "refused"       // the address of the host is not one to which the broker connects
	PassThroughFailed         PassThroughOutcome = "failed"        // the host was not reached, or its response is broken
	PassThroughClientClosed   PassThroughOutcome = "client_closed" // the client went away, or its body is broken
)

// PassThroughOutcomes lists all outcomes.
var PassThroughOutcomes = [...]PassThroughOutcome{PassThroughSuccess, PassThroughAddressRefused, PassThroughFailed, PassThroughClientClosed}
