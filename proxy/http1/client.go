package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// Client sends requests to one upstream, over connections that it keeps for the next requests. Its methods are safe for
// concurrent use; its fields must not be changed after the first request.
type Client struct {
	// Dial opens a connection to the upstream. With TLS it must come from TLSClient, or what the upstream sends while a
	// connection is idle is not noticed before the next request. The Write of a connection must not close it.
	Dial func(ctx context.Context) (net.Conn, error)
	// ResponseTimeout is the maximum wait for the header of the final response, once the request is sent, and while it is
	// sent the longest time in which the upstream accepts nothing. Waiting for a Stream does not count. 0 means no limit.
	ResponseTimeout time.Duration
	// MaxIdle is the maximum number of idle connections. 0 means 256.
	MaxIdle int
	// DisableKeepAlives means that a connection is used for one request only. The requests should say so, with "Connection: close".
	DisableKeepAlives bool

	pool pool
}

// RoundTrip sends a request and returns its final response, whose body must be closed. A response that has arrived wins over an
// error in sending the request: then the body is sent as far as the upstream takes it.
//
// The error is that of Dial, an error of the connection (a timeout is os.ErrDeadlineExceeded, an early end is
// io.ErrUnexpectedEOF), a *InvalidResponseError, the error of OnInformational, ErrRequestBody, or context.Canceled if the caller has
// canceled the request.
func (c *Client) RoundTrip(r *ClientRequest) (*ClientResponse, error) {
	for u := c.pool.get(); u != nil; u = c.pool.get() {
		response, err := u.roundTrip(r)
		if errors.Is(err, errNotReusable) {
			continue
		}
		diedIdle := !u.responseBegan && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.Canceled)
		if err == nil || !r.Repeatable || r.Stream != nil || !diedIdle {
			return response, err
		}
		break // the one retry uses a fresh connection: an upstream that has restarted has closed all others too
	}
	conn, err := c.Dial(r.Caller.Context())
	if err != nil {
		return nil, err
	}
	return newUpstreamConn(c, conn).roundTrip(r)
}

// CloseIdle closes the idle connections.
func (c *Client) CloseIdle() { c.pool.closeExpiredAt(time.Now().Add(maxUpstreamAge)) }

// deadline is that of something which the upstream must do within ResponseTimeout from now.
func (c *Client) deadline() time.Time {
	if c.ResponseTimeout == 0 {
		return time.Time{}
	}
	return time.Now().Add(c.ResponseTimeout)
}

// TLSClient returns the client side of TLS over conn, like tls.Client. A Client can check without waiting whether such a
// connection has something to read: session tickets and key updates, which come at any time, do not count.
func TLSClient(conn net.Conn, config *tls.Config) *tls.Conn {
	conn, _ = makePollable(conn)
	return tls.Client(conn, config)
}

// Connect asks a forward proxy for a tunnel to a host and port (RFC 9110 section 9.3.6), and returns the status of its response.
// After 200, conn is the tunnel. The time limit is the deadline of conn.
func Connect(conn net.Conn, target string, fields Fields) (status int, err error) {
	request := appendRequest(nil, &ClientRequest{Method: http.MethodConnect, Target: target, Fields: fields})
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	u := upstreamConn{client: &Client{}, conn: conn}
	defer u.buffer.release()
	if err := u.receive(&ClientRequest{}); err != nil {
		return 0, err
	}
	if u.head.Status == http.StatusOK && len(u.buffer.unread()) > 0 {
		return 0, &InvalidResponseError{"the tunnel has data before it was used"} // a TLS server never sends first
	}
	return u.head.Status, nil
}
