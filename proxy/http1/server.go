package http1

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Handler serves requests.
type Handler interface {
	// ServeHTTP1 serves a request, and returns once the response is complete. Neither r nor w may be used after that.
	ServeHTTP1(w *ResponseWriter, r *Request)
}

// Server accepts connections and serves the requests on them, one at a time for each connection. The fields must not be changed
// after the first call of Serve.
type Server struct {
	Handler Handler
	// MaxConns is the maximum number of open connections. Beyond it, the connection on which the server has waited longest
	// for its client is closed to make room. 0 means no limit.
	MaxConns int
	// HeaderTimeout is how long a TLS handshake, and then a request's header may take from its first byte; a new connection
	// must begin a request within that time. IdleTimeout is how long a connection may be idle between requests.
	HeaderTimeout, IdleTimeout time.Duration
	// OnEvict, if not nil, is called after a connection was closed to make room.
	OnEvict func()
	// OnHandshakeError, if not nil, is called for each failed TLS handshake, with the error of crypto/tls.
	OnHandshakeError func(error)
}

// Serve accepts connections on l, until l fails, or Shutdown or Close is called; its error is then net.ErrClosed. Connections
// of l may be of any kind, such as *tls.Conn. Several calls may run at the same time.
func (s *Server) Serve(l net.Listener) error { panic("not written yet") }

// Shutdown closes the listeners and the idle connections, lets requests in flight finish, and returns when no connection is left. A
// new connection gets a second to begin a request. If ctx is done before, it returns its error, and connections stay open.
func (s *Server) Shutdown(ctx context.Context) error { panic("not written yet") }

// Close closes the listeners and all connections.
func (s *Server) Close() { panic("not written yet") }

// Request is a request of a client. It implements Caller.
type Request struct {
	// Method, Target, Host (of the Host field) and Fields are as the client sent them. All are valid after the request too.
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
	// Malformed is not nil if the request is malformed: then only Method is set, perhaps, the handler must answer with an error
	// and the connection is closed afterwards.
	Malformed *RequestError
	// Conn is the connection, for its addresses. It may be a *tls.Conn. Nothing must be read from it or written to it.
	Conn net.Conn
	// Tunnel is what OpenTunnel was given, for a request that comes through a tunnel.
	Tunnel any
}

// Context is done when the client has gone. Its first call costs a few allocations.
func (r *Request) Context() context.Context { panic("not written yet") }

// CancelWhenGone implements Caller.
func (r *Request) CancelWhenGone(c Canceler) { panic("not written yet") }

// Gone reports whether the client has gone away: it closed or half-closed the connection, or the connection failed. It is
// noticed while a request waits, within some milliseconds.
func (r *Request) Gone() bool { panic("not written yet") }

// RequestBody is the body of a request. Its errors are ErrChunk, or those of the connection.
type RequestBody struct{}

// Read implements io.Reader. The first call sends "100 Continue" if the client waits for it.
func (b *RequestBody) Read(p []byte) (int, error) { panic("not written yet") }

// Trailer returns the trailer section, after io.EOF.
func (b *RequestBody) Trailer() Fields { panic("not written yet") }

// Interrupt makes a blocked Read, and all later ones, fail. The connection is closed after the response.
func (b *RequestBody) Interrupt() { panic("not written yet") }

// Complete reports whether the body was read to its end, or there is none.
func (b *RequestBody) Complete() bool { panic("not written yet") }

// ResponseWriter sends the response to a request.
type ResponseWriter struct {
	// Fields are the fields of the response, in their order. They must not be changed after WriteHeader. The slice is reused
	// for the next request.
	Fields Fields
	// Close means that the response is the last on its connection, and says so.
	Close bool
}

// WriteInformational sends an informational response (RFC 9110 section 15.2) at once, unless the client's version of HTTP has
// none. Its fields are not those of the final response.
func (w *ResponseWriter) WriteInformational(status int, reason string, fields Fields) error {
	panic("not written yet")
}

// WriteHeader begins the final response. length is the length of the body in bytes, or -1: then it is chunked, or ends with the
// connection of an HTTP/1.0 client. A response to HEAD, 204 and 304 has no body, whatever length says; for HEAD and 304 it is the
// Content-Length, and -1 means none. Fields of the header that frame a message (Content-Length,
// Transfer-Encoding) are replaced in their place; Date is added if it is missing, and the reason if it is empty.
func (w *ResponseWriter) WriteHeader(status int, reason string, length int64) {
	panic("not written yet")
}

// Write sends a part of the body. It may buffer it. For responses without a body it does nothing.
func (w *ResponseWriter) Write(p []byte) (int, error) { panic("not written yet") }

// ReadFrom sends the rest of the body, and flushes whenever body.Read would wait. n is what was sent. err is that of the body,
// or that of the client's connection (see Request.Gone).
func (w *ResponseWriter) ReadFrom(body ResponseBody) (n int64, err error) { panic("not written yet") }

// Flush sends what is buffered.
func (w *ResponseWriter) Flush() error { panic("not written yet") }

// Trailer sets the trailer section of a chunked response. It must be called before the handler returns.
func (w *ResponseWriter) Trailer(fields Fields) { panic("not written yet") }

// Abort cuts the response off, so that the client cannot take it for complete: the connection is closed, and if only its end
// would end the response, it is reset.
func (w *ResponseWriter) Abort() { panic("not written yet") }

// OpenTunnel answers a CONNECT with 200, and continues on the same connection with TLS inside the tunnel: the requests that
// come through it have tunnel in their field Tunnel.
func (w *ResponseWriter) OpenTunnel(config *tls.Config, tunnel any) { panic("not written yet") }
