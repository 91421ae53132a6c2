package http1

import "net"

// Request is a request of a client. It implements Caller. Its strings may be kept after the request has ended, the rest must
// not be.
type Request struct {
	// Method, Target, Host (of the Host field) and Fields are as the client sent them.
	Method, Target, Host string
	MinorVersion         int // of HTTP/1: 0 or 1
	Fields               Fields
	// ContentLength is the length of the body in bytes; 0 without one, -1 for chunked.
	ContentLength int64
	// ExpectContinue means that the client waits for "100 Continue" before it sends the body (RFC 9110 section 10.1.1). The
	// first Read of the body sends it.
	ExpectContinue bool
	// Body is never nil. It implements Stream.
	Body *RequestBody
	// Malformed is not nil if the request is malformed: then only Method is set, perhaps. The handler must answer with an
	// error, and the connection is closed afterwards.
	Malformed *RequestError
	// Conn is the connection as it was accepted, for its addresses. It may be a *tls.Conn. Nothing must be read from it or
	// written to it.
	Conn net.Conn
	// Tunnel is what OpenTunnel was given, for a request that comes through a tunnel, or what TunnelOf has returned.
	Tunnel any
	// Secure means that the request came over TLS; if it came through a tunnel, over TLS inside it.
	Secure bool

	conn *conn
}
