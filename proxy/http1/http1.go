// Package http1 implements HTTP/1.1 (RFC 9112) for a gateway: a strict server for clients that may be hostile, and a client
// for one upstream.
//
// Each message is parsed once. A request is served on the goroutine of its connection, upstream round trip included; another
// goroutine exists only while a request body is streamed, or while a slow response is awaited. Fields keep the order and the
// case in which they arrived, and nothing is invented except what a recipient needs.
//
// The server refuses whatever two servers in a row could understand differently, because that is how requests are smuggled
// (RFC 9112 section 11.2). The client tolerates in responses what RFC 9112 asks recipients to tolerate.
package http1

import "context"

// Canceler ends an exchange early. Cancel may be called from any goroutine, more than once, and also after the end.
type Canceler interface{ Cancel() }

// Caller is on whose behalf a Client sends a request: usually a *Request. Its methods are safe for concurrent use.
type Caller interface {
	// Context is done when the caller no longer needs a response.
	Context() context.Context
	// CancelWhenGone sets what is canceled when the caller no longer needs a response, at once if that is the case
	// already. It replaces what was set before, which is not canceled once CancelWhenGone has returned: it may serve another
	// caller then. nil cancels nothing.
	CancelWhenGone(c Canceler)
}

// ClientRequest is a request to an upstream.
type ClientRequest struct {
	// Method and Target are sent as they are.
	Method, Target string
	// Fields are sent in their order. They contain Host. A Content-Length is replaced by what the body needs.
	Fields Fields
	// ContentLength is the length of the body in bytes; 0 without one, -1 for chunked.
	ContentLength int64
	// Body is the whole body, if it is known before it is sent. Otherwise it is read from Stream: on another goroutine, which
	// has ended when RoundTrip fails, and when the response's body is closed.
	Body   []byte
	Stream Stream
	// ExpectContinue means that Fields contain "Expect: 100-continue": the body is sent when the upstream asks for it, and
	// after a second at the latest.
	ExpectContinue bool
	// Repeatable means that the request may be sent a second time if a reused connection fails before the first byte of
	// its response: RFC 9110 section 9.2.2.
	Repeatable bool
	// OnInformational, if not nil, receives the informational responses, one after the other, before RoundTrip returns.
	OnInformational InformationalHandler
	// Caller is never nil.
	Caller Caller
}

// Stream is a request body that is sent while it arrives.
type Stream interface {
	// Read implements io.Reader. After an error other than io.EOF, the request is not completed.
	Read(p []byte) (int, error)
	// Trailer returns the trailer section, after io.EOF.
	Trailer() Fields
	// Interrupt makes a blocked Read, and all later ones, fail soon.
	Interrupt()
}

// InformationalHandler receives informational responses: RFC 9110 section 15.2. It may change fields. An error ends the exchange.
type InformationalHandler interface {
	Informational(status int, reason string, fields Fields) error
}

// ClientResponse is a final response of an upstream. It is valid until Body is closed.
type ClientResponse struct {
	Status int
	Reason string // may be empty
	Fields Fields
	// ContentLength is the length of the body in bytes, or for HEAD and 304 what it would be; -1 if it is unknown.
	ContentLength int64
	Body          ResponseBody
}

// ReadinessReader is a reader that knows whether it has to wait.
type ReadinessReader interface {
	// Read implements io.Reader. If a body breaks off, its error is not io.EOF.
	Read(p []byte) (int, error)
	// ReadReady reports whether Read returns without waiting for the upstream.
	ReadReady() bool
}

// ResponseBody is the body of a response.
type ResponseBody interface {
	ReadinessReader
	// Trailer returns the trailer section, after io.EOF.
	Trailer() Fields
	// Close ends the exchange. It must be called once. The connection is reused only if the body has been read to its end.
	Close() error
}
