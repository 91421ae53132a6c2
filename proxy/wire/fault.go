package wire

import "net/http"

// RequestError is why a request was refused before net/http saw it. It contains nothing of the request. RequestErrors are
// shared by all requests and must not be changed.
type RequestError struct {
	Code   string // short, unique and stable: the value of the marker
	Status int
	Detail string // what happened, in lower case, without a period
	Hint   string // what to do about it, in whole sentences
}

// marker is the header that takes a RequestError past net/http to the handler. A client that sends it itself is refused, and
// harms nobody else.
const marker = "Etrusted-Broker-Malformed"

// ErrorFrom returns why the request is to be refused, or nil if it is well formed. Any goroutine may call it.
//
// Of a refused request nothing but the first letters of its method is left: its path and headers are the Listener's own.
// Nothing can be read from its connection any more, so its context ends early. A handler that answers it must look at
// neither.
func ErrorFrom(r *http.Request) *RequestError {
	codes, found := r.Header[marker]
	if !found {
		return nil
	}
	if len(codes) == 1 {
		for _, fault := range faults {
			if fault.Code == codes[0] {
				return fault
			}
		}
	}
	return faultUnknown
}

var faults = [...]*RequestError{
	faultLineEnd, faultControl, faultFolding, faultEmptyLines, faultRequestLine, faultVersion, faultTarget, faultField,
	faultLength, faultCoding, faultHost, faultTooLong,
	faultSlow,
}

// faultUnknown is for a marker that is not the Listener's.
var faultUnknown = &RequestError{
	Code:   "request",
	Status: http.StatusBadRequest,
	Detail: "the request is not well formed",
	Hint:   "Send it as RFC 9112 asks, and without the header " + marker + ".",
}

var faultLineEnd = &RequestError{
	Code:   "line-end",
	Status: http.StatusBadRequest,
	Detail: "a line of the request's header does not end with CR and LF",
	Hint:   "End each line with both, and send neither within a line: a value with a line break in it may be somebody's attempt to add headers.",
}

var faultControl = &RequestError{
	Code:   "control",
	Status: http.StatusBadRequest,
	Detail: "there is a control character in the request's header",
	Hint:   "Percent-encode it in the path, and leave it out of header values. An app that was given an https URL for a port without TLS sends them too.",
}

var faultFolding = &RequestError{
	Code:   "folding",
	Status: http.StatusBadRequest,
	Detail: "a line of the request's header begins with a blank",
	Hint:   "Send each header in one line: RFC 9112 section 5.2 no longer allows values that go over several.",
}

var faultEmptyLines = &RequestError{
	Code:   "empty-lines",
	Status: http.StatusBadRequest,
	Detail: "there are empty lines before the request",
	Hint:   "Begin with the request line. After a body, send nothing that Content-Length does not count.",
}

var faultRequestLine = &RequestError{
	Code:   "request-line",
	Status: http.StatusBadRequest,
	Detail: "the request does not begin with a method, a target and a version, each one blank apart",
	Hint:   "Percent-encode blanks in the path and the query as %20. After a body, send nothing that Content-Length does not count.",
}

var faultVersion = &RequestError{
	Code:   "version",
	Status: http.StatusHTTPVersionNotSupported,
	Detail: "the request is of another version of HTTP than 1.0 and 1.1",
	Hint:   "Have the client speak HTTP/1.1, without prior knowledge of HTTP/2.",
}

var faultTarget = &RequestError{
	Code:   "target",
	Status: http.StatusBadRequest,
	Detail: "the request's target is not a valid path or URL",
	Hint:   "Send a path that begins with a slash, and percent-encode what RFC 3986 asks for: a percent sign itself is %25.",
}

var faultField = &RequestError{
	Code:   "field",
	Status: http.StatusBadRequest,
	Detail: "a line of the request's header is not a name, a colon and a value",
	Hint:   "Put the colon right after the name, and no other characters into the name than RFC 9110 section 5.1 allows.",
}

var faultLength = &RequestError{
	Code:   "content-length",
	Status: http.StatusBadRequest,
	Detail: "the request's Content-Length is not one number",
	Hint:   "Send it once, as the body's length in bytes in decimal digits. If the app sets it, let its HTTP library do so instead.",
}

var faultCoding = &RequestError{
	Code:   "transfer-encoding",
	Status: http.StatusBadRequest,
	Detail: "the request's Transfer-Encoding is not chunked alone, or stands beside a Content-Length or in HTTP/1.0",
	Hint:   "Send either Content-Length or Transfer-Encoding: chunked, never both. If the app sets one of them, let its HTTP library do so instead.",
}

var faultHost = &RequestError{
	Code:   "host",
	Status: http.StatusBadRequest,
	Detail: "the request has no Host, several, or one that is not valid",
	Hint:   "Send one Host header, with the name and port from the broker's URL.",
}

var faultTooLong = &RequestError{
	Code:   "too-long",
	Status: http.StatusRequestHeaderFieldsTooLarge,
	Detail: "the request's header is longer than 64 KiB",
	Hint:   "Send less in the query, cookies and other headers, or move it into the body.",
}

var faultSlow = &RequestError{
	Code:   "slow",
	Status: http.StatusRequestTimeout,
	Detail: "the request's header did not arrive in time",
	Hint:   "Send the whole header at once, and end it with an empty line.",
}
