package http1

import "net/http"

// RequestError is why a request is refused. It contains nothing of the request, is shared by all, and must not be changed.
type RequestError struct {
	Code   string // short, unique and stable
	Status int
	Detail string // what happened, in lower case, without a period
	Hint   string // what to do about it, in whole sentences
}

// Error returns Detail.
func (e *RequestError) Error() string { return e.Detail }

var (
	errLineEnd = &RequestError{"line-end", http.StatusBadRequest, "a line of the request's header does not end with CR LF",
		"End each line with CR LF, and use neither within a line. A value with a line break may be an attempt to add fields."}
	errControlCharacter = &RequestError{"control", http.StatusBadRequest, "the request's header contains a control character",
		"Percent-encode it in the path, and remove it from field values. An app that uses an https URL for a port without TLS also sends such characters."}
	errFolding = &RequestError{"folding", http.StatusBadRequest, "a line of the request's header begins with a space",
		"Send each field in one line: RFC 9112 section 5.2 no longer allows folded lines."}
	errEmptyLines = &RequestError{"empty-lines", http.StatusBadRequest, "empty lines precede the request",
		"Begin with the request line. After a body, send nothing that Content-Length does not count."}
	errRequestLine = &RequestError{"request-line", http.StatusBadRequest,
		"the request line is not a method, a target and a version, separated by single spaces",
		"Percent-encode spaces in the path and the query as %20. After a body, send nothing that Content-Length does not count."}
	errVersion = &RequestError{"version", http.StatusHTTPVersionNotSupported,
		"the HTTP version of the request is neither 1.0 nor 1.1",
		"Let the client use HTTP/1.1, without prior knowledge of HTTP/2."}
	errTarget = &RequestError{"target", http.StatusBadRequest, "the request target is not a valid path or URL",
		"Send a path that begins with a slash, and percent-encode what RFC 3986 requires: a percent sign itself is %25."}
	errFieldLine = &RequestError{"field", http.StatusBadRequest,
		"a line of the request's header is not a name, a colon and a value",
		"Put the colon directly after the name, and use only the characters of RFC 9110 section 5.1 in the name."}
	errContentLength = &RequestError{"content-length", http.StatusBadRequest,
		"the request's Content-Length is not one number",
		"Send it once, as the length of the body in bytes, in decimal digits. If the app sets it, let its HTTP library do that instead."}
	errTransferEncoding = &RequestError{"transfer-encoding", http.StatusBadRequest,
		"the request's Transfer-Encoding is not just chunked, or is combined with Content-Length or HTTP/1.0",
		"Send either Content-Length or Transfer-Encoding: chunked, never both. If the app sets one of them, let its HTTP library do that instead."}
	errHost = &RequestError{"host", http.StatusBadRequest, "the request has no Host field, several, or an invalid one",
		"Send one Host field, with the name and port of the broker's URL."}
	errTrailer = &RequestError{"trailer", http.StatusBadRequest, "the request announces a trailer that must not be one",
		"Remove Content-Length, Transfer-Encoding and Trailer from the Trailer field: RFC 9110 section 6.5.1."}
	errUnsupportedExpectation = &RequestError{"expectation", http.StatusExpectationFailed,
		"the request's Expect field is not 100-continue",
		"Remove the Expect field: RFC 9110 section 10.1.1 defines only 100-continue."}
	errTooLong = &RequestError{"too-long", http.StatusRequestHeaderFieldsTooLarge,
		"the request's header is longer than 64 KiB, or has more than 4096 lines",
		"Send less in the query, cookies and other fields, or move it into the body."}
	errHeaderTimeout = &RequestError{"slow", http.StatusRequestTimeout, "the request's header did not arrive in time",
		"Send the whole header at once, and end it with an empty line."}
	errPlainHTTP = &RequestError{"plain-http", http.StatusBadRequest, "the request is plain HTTP, but this port expects TLS",
		"Use an https URL."}
)
