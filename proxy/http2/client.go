// Package http2 sends requests over HTTP/2, or else HTTP/1.1, with net/http, through the interface of package http1. Unlike that,
// it keeps neither the order and the case of fields nor the reason phrase, because net/http does not.
package http2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
)

// errTargetUnforwardableOverHTTP2 is for a path that begins with two slashes and has other bytes that net/http does not keep.
var errTargetUnforwardableOverHTTP2 = &problem.Problem{
	Code:       "invalid-http2-target",
	Status:     http.StatusBadRequest,
	Title:      "The request target is invalid",
	ProxyError: "http_request_error",
	Detail:     "the request target cannot be forwarded unchanged over HTTP/2",
	Hint:       "Send a path that begins with one slash, or percent-encode it as RFC 3986 requires.",
}

// Client sends requests to one server. It is safe for concurrent use.
type Client struct {
	server    *url.URL
	transport *http.Transport
	timeout   time.Duration
}

// New returns a client for the scheme, host and port of a URL. It sets the options of a transport that it needs, but keeps the size
// of its receive buffers if there is one; the transport must not have been used. timeout is like that of http1.Client, and includes
// connecting and the retries of net/http.
func New(server *url.URL, transport *http.Transport, timeout time.Duration) *Client {
	transport.ForceAttemptHTTP2, transport.DisableCompression, transport.ExpectContinueTimeout = true, true, time.Second
	if transport.HTTP2 == nil {
		transport.HTTP2 = &http.HTTP2Config{}
	}
	if transport.HTTP2.MaxReceiveBufferPerStream == 0 { // net/http would buffer 4 MiB of a response that is not read
		transport.HTTP2.MaxReceiveBufferPerStream = 256 << 10
	}
	return &Client{server, transport, timeout}
}

// CloseIdle closes the idle connections.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// RoundTrip is like that of http1.Client. The error for a target that it cannot send unchanged is a *problem.Problem.
func (c *Client) RoundTrip(r *http1.ClientRequest) (*http1.ClientResponse, error) {
	u, err := c.url(r.Target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Caller.Context())
	e := newExchange(r, c.timeout, cancel)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: e.onInformational})
	received, err := c.transport.RoundTrip(e.httpRequest(u).WithContext(ctx))
	var response *http1.ClientResponse
	if err = e.stopWaiting(err); err == nil {
		response, err = e.convertResponse(received)
	}
	if err == nil {
		return response, nil
	}
	if received != nil {
		_ = received.Body.Close()
	}
	e.end()
	return nil, e.cause(err)
}

// url returns the URL for a target, without changing a byte of it. url.URL re-encodes a path with unusual bytes ({, |, UTF-8),
// unless it is in Opaque, but two slashes at the beginning of that are taken for an authority.
func (c *Client) url(target string) (*url.URL, error) {
	path, query, hasQuery := strings.Cut(target, "?")
	u := &url.URL{Scheme: c.server.Scheme, Host: c.server.Host, RawQuery: query, ForceQuery: hasQuery && query == ""}
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path
		return u, nil
	}
	parsed, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, errTargetUnforwardableOverHTTP2
	}
	if u.Path, u.RawPath = parsed.Path, parsed.RawPath; u.EscapedPath() != path {
		return nil, errTargetUnforwardableOverHTTP2
	}
	return u, nil
}

// convertResponse checks the final response: net/http accepts more, and fails if a length is announced for no body.
func (e *exchange) convertResponse(received *http.Response) (*http1.ClientResponse, error) {
	status, length := received.StatusCode, received.ContentLength
	lengths := received.Header["Content-Length"]
	if len(lengths) > 0 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || len(lengths) > 1 {
			return nil, errors.New("the Content-Length of the response is not one number")
		}
		length = int64(n)
	}
	body := &responseBody{received.Body, received, e, 0 < length && length <= 32<<10}
	switch {
	case status < 200, status > 999:
		return nil, errors.New("the status of the response is not a final one")
	case status == http.StatusNoContent:
		length, body.Reader = 0, http.NoBody
	case status == http.StatusNotModified, e.request.Method == http.MethodHead:
		if body.Reader = http.NoBody; len(lengths) == 0 {
			length = -1
		}
	}
	return &http1.ClientResponse{Status: status, Fields: http1.FieldsOf(received.Header), ContentLength: length, Body: body}, nil
}

// responseBody implements http1.ResponseBody.
type responseBody struct {
	io.Reader
	received  *http.Response
	exchange  *exchange
	readFirst bool // the next Read is the first, and the body is short
}

// Read implements io.Reader. If the server sends more than it has announced, net/http returns the end of the announced part
// together with the error. The last byte is then left out, so that the response does not look complete.
func (b *responseBody) Read(p []byte) (int, error) {
	b.readFirst = false
	n, err := b.Reader.Read(p)
	if n > 0 && err != nil && !errors.Is(err, io.EOF) {
		n--
	}
	return n, err
}

// ReadReady is a guess, because it is not known before Read: the first bytes of a body usually come with the header, and both can leave
// in one write. A body without a length may be a stream of events, whose header must not wait for the first.
func (b *responseBody) ReadReady() bool { return b.readFirst }

func (b *responseBody) Trailer() http1.Fields { return http1.FieldsOf(b.received.Trailer) }

func (b *responseBody) Close() error {
	defer b.exchange.end()
	return b.received.Body.Close()
}
