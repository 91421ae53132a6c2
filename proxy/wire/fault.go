package wire

import "net/http"

// Fault is why a request was refused before net/http saw it. It holds nothing that the request brought. The faults are
// shared by all requests and must not be changed.
type Fault struct {
	Status int
	What   string // what happened, lower case, without a full stop
	Advice string // what to do about it, in whole sentences

	Code string // the value of the marker
}

// marker is the header that takes a Fault past net/http to the handler. A client that sends it itself is refused, and
// harms nobody else.
const marker = "Etrusted-Broker-Malformed"

// FaultOf returns why the request is to be refused, or nil if it is well formed. Any goroutine may call it.
//
// Of a refused request nothing but the first letters of its method is left: its path and headers are the Listener's own.
// Nothing can be read from its connection any more, so its context ends early. A handler that answers it must look at
// neither.
func FaultOf(r *http.Request) *Fault {
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

var faults = [...]*Fault{
	faultLineEnd, faultControl, faultFolding, faultEmptyLines, faultRequestLine, faultVersion, faultTarget, faultField,
	faultLength, faultCoding, faultHost, faultTooLong,
	faultSlow,
}

// faultUnknown is for a marker that is not the Listener's.
var faultUnknown = &Fault{
	Status: http.StatusBadRequest,
	What:   "the request is not well formed",
	Advice: "Send it as RFC 9112 asks, and without the header " + marker + ".",
}

var faultLineEnd = &Fault{
	Code:   "line-end",
	Status: http.StatusBadRequest,
	What:   "a line of the request's header does not end with CR and LF",
	Advice: "End each line with both, and send neither within a line: a value with a line break in it may be somebody's attempt to add headers.",
}

var faultControl = &Fault{
	Code:   "control",
	Status: http.StatusBadRequest,
	What:   "there is a control character in the request's header",
	Advice: "Percent-encode it in the path, and leave it out of header values. An app that was given an https URL for a port without TLS sends them too.",
}

var faultFolding = &Fault{
	Code:   "folding",
	Status: http.StatusBadRequest,
	What:   "a line of the request's header begins with a blank",
	Advice: "Send each header in one line: RFC 9112 section 5.2 no longer allows values that go over several.",
}

var faultEmptyLines = &Fault{
	Code:   "empty-lines",
	Status: http.StatusBadRequest,
	What:   "there are empty lines before the request",
	Advice: "Begin with the request line. After a body, send nothing that Content-Length does not count.",
}

var faultRequestLine = &Fault{
	Code:   "request-line",
	Status: http.StatusBadRequest,
	What:   "the request does not begin with a method, a target and a version, each one blank apart",
	Advice: "Percent-encode blanks in the path and the query as %20. After a body, send nothing that Content-Length does not count.",
}

var faultVersion = &Fault{
	Code:   "version",
	Status: http.StatusHTTPVersionNotSupported,
	What:   "the request is of another version of HTTP than 1.0 and 1.1",
	Advice: "Have the client speak HTTP/1.1, without prior knowledge of HTTP/2.",
}

var faultTarget = &Fault{
	Code:   "target",
	Status: http.StatusBadRequest,
	What:   "the request's target is not a valid path or URL",
	Advice: "Send a path that begins with a slash, and percent-encode what RFC 3986 asks for: a percent sign itself is %25.",
}

var faultField = &Fault{
	Code:   "field",
	Status: http.StatusBadRequest,
	What:   "a line of the request's header is not a name, a colon and a value",
	Advice: "Put the colon right after the name, and no other characters into the name than RFC 9110 section 5.1 allows.",
}

var faultLength = &Fault{
	Code:   "content-length",
	Status: http.StatusBadRequest,
	What:   "the request's Content-Length is not one number",
	Advice: "Send it once, as the body's length in bytes in decimal digits. If the app sets it, let its HTTP library do so instead.",
}

var faultCoding = &Fault{
	Code:   "transfer-encoding",
	Status: http.StatusBadRequest,
	What:   "the request's Transfer-Encoding is not chunked alone, or stands beside a Content-Length or in HTTP/1.0",
	Advice: "Send either Content-Length or Transfer-Encoding: chunked, never both. If the app sets one of them, let its HTTP library do so instead.",
}

var faultHost = &Fault{
	Code:   "host",
	Status: http.StatusBadRequest,
	What:   "the request has no Host, several, or one that is not valid",
	Advice: "Send one Host header, with the name and port from the broker's URL.",
}

var faultTooLong = &Fault{
	Code:   "too-long",
	Status: http.StatusRequestHeaderFieldsTooLarge,
	What:   "the request's header is longer than 64 KiB",
	Advice: "Send less in the query, cookies and other headers, or move it into the body.",
}

var faultSlow = &Fault{
	Code:   "slow",
	Status: http.StatusRequestTimeout,
	What:   "the request's header did not arrive in time",
	Advice: "Send the whole header at once, and end it with an empty line.",
}
