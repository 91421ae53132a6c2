package http1

import "net/http"

// RequestError is why a request is refused. It contains nothing of the request. RequestErrors are shared by all requests and
// must not be changed.
type RequestError struct {
	Code   string // short, unique and stable
	Status int
	Detail string // what happened, in lower case, without a period
	Hint   string // what to do about it, in whole sentences
}

// Error returns Detail.
func (e *RequestError) Error() string { return e.Detail }

var errLineEnd = &RequestError{
	Code:   "line-end",
	Status: http.StatusBadRequest,
	Detail: "a line of the request's header does not end with CR LF",
	Hint:   "End each line with CR LF, and use neither within a line. A value with a line break may be an attempt to add fields.",
}

var errControl = &RequestError{
	Code:   "control",
	Status: http.StatusBadRequest,
	Detail: "the request's header contains a control character",
	Hint:   "Percent-encode it in the path, and remove it from field values. An app that uses an https URL for a port without TLS also sends such characters.",
}

var errFolding = &RequestError{
	Code:   "folding",
	Status: http.StatusBadRequest,
	Detail: "a line of the request's header begins with a space",
	Hint:   "Send each field in one line: RFC 9112 section 5.2 no longer allows folded lines.",
}

var errEmptyLines = &RequestError{
	Code:   "empty-lines",
	Status: http.StatusBadRequest,
	Detail: "empty lines precede the request",
	Hint:   "Begin with the request line. After a body, send nothing that Content-Length does not count.",
}

var errRequestLine = &RequestError{
	Code:   "request-line",
	Status: http.StatusBadRequest,
	Detail: "the request line is not a method, a target and a version, separated by single spaces",
	Hint:   "Percent-encode spaces in the path and the query as %20. After a body, send nothing that Content-Length does not count.",
}

var errVersion = &RequestError{
	Code:   "version",
	Status: http.StatusHTTPVersionNotSupported,
	Detail: "the HTTP version of the request is neither 1.0 nor 1.1",
	Hint:   "Let the client use HTTP/1.1, without prior knowledge of HTTP/2.",
}

var errTarget = &RequestError{
	Code:   "target",
	Status: http.StatusBadRequest,
	Detail: "the request target is not a valid path or URL",
	Hint:   "Send a path that begins with a slash, and percent-encode what RFC 3986 requires: a percent sign itself is %25.",
}

var errField = &RequestError{
	Code:   "field",
	Status: http.StatusBadRequest,
	Detail: "a line of the request's header is not a name, a colon and a value",
	Hint:   "Put the colon directly after the name, and use only the characters of RFC 9110 section 5.1 in the name.",
}

var errContentLength = &RequestError{
	Code:   "content-length",
	Status: http.StatusBadRequest,
	Detail: "the request's Content-Length is not one number",
	Hint:   "Send it once, as the length of the body in bytes, in decimal digits. If the app sets it, let its HTTP library do that instead.",
}

var errTransferEncoding = &RequestError{
	Code:   "transfer-encoding",
	Status: http.StatusBadRequest,
	Detail: "the request's Transfer-Encoding is not just chunked, or is combined with Content-Length or HTTP/1.0",
	Hint:   "Send either Content-Length or Transfer-Encoding: chunked, never both. If the app sets one of them, let its HTTP library do that instead.",
}

var errHost = &RequestError{
	Code:   "host",
	Status: http.StatusBadRequest,
	Detail: "the request has no Host field, several, or an invalid one",
	Hint:   "Send one Host field, with the name and port of the broker's URL.",
}

var errTrailer = &RequestError{
	Code:   "trailer",
	Status: http.StatusBadRequest,
	Detail: "the request announces a trailer that must not be one",
	Hint:   "Remove Content-Length, Transfer-Encoding and Trailer from the Trailer field: RFC 9110 section 6.5.1.",
}

var errExpectation = &RequestError{
	Code:   "expectation",
	Status: http.StatusExpectationFailed,
	Detail: "the request's Expect field is not 100-continue",
	Hint:   "Remove the Expect field: RFC 9110 section 10.1.1 defines only 100-continue.",
}

var errTooLong = &RequestError{
	Code:   "too-long",
	Status: http.StatusRequestHeaderFieldsTooLarge,
	Detail: "the request's header is longer than 64 KiB, or has more than 4096 lines",
	Hint:   "Send less in the query, cookies and other fields, or move it into the body.",
}

var errSlow = &RequestError{
	Code:   "slow",
	Status: http.StatusRequestTimeout,
	Detail: "the request's header did not arrive in time",
	Hint:   "Send the whole header at once, and end it with an empty line.",
}

var errPlainHTTP = &RequestError{
	Code:   "plain-http",
	Status: http.StatusBadRequest,
	Detail: "the request is plain HTTP, but this port expects TLS",
	Hint:   "Use an https URL.",
}
