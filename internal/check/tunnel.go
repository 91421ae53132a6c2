package check

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"etrusted-broker/internal/neterr"
)

// maxConnectResponse bounds a proxy's response to CONNECT, in bytes.
const maxConnectResponse = 64 << 10

// openTunnel opens a tunnel through the HTTP proxy.
func (c *connection) openTunnel(ctx context.Context) Step {
	conn := c.conn
	// A deadline in the past ends a blocked read or write.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var err error
	if c.proxy.Scheme == "https" {
		secure := tls.Client(conn, c.tlsConfig(c.proxy.Hostname()))
		err, c.conn = secure.HandshakeContext(ctx), secure
	}
	if err == nil {
		err = connectThrough(c.conn, c.route)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return c.tunnelFailure(ctx, err)
	}
	return passed(hostPort(c.proxy) + " opened a tunnel to " + c.target)
}

// tunnelFailure describes why there is no tunnel: the connection to the proxy, or the proxy, failed.
func (r route) tunnelFailure(ctx context.Context, err error) Step {
	explained := neterr.Describe("", err)
	result := failed(CauseNetwork, r.target+" "+explained.Detail, explained.Hint)
	var refused *neterr.ProxyRefusedError
	switch {
	case ctx.Err() != nil:
		return failed(CauseNetwork, r.target+" was not reached: the HTTP proxy did not answer in time", "Check HTTPS_PROXY and NO_PROXY, and whether the proxy is working.")
	case errors.As(err, &refused) && refused.Status == http.StatusProxyAuthRequired:
		result.Advice = "The proxy requires a user name and password: set them in HTTPS_PROXY, as in http://USER:PASSWORD@HOST:PORT. To bypass the proxy for this host, add the host to NO_PROXY."
	case errors.As(err, &refused):
		result.Advice += " Ask the proxy's administrator to allow connections to this host."
	case explained.ProxyError != "destination_unavailable":
		return r.connectFailure(err)
	}
	return result
}

// connectThrough requests a tunnel with CONNECT: RFC 9110 section 9.3.6.
func connectThrough(conn net.Conn, r route) error {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: r.target}, Host: r.target, Header: http.Header{}}
	if user := r.proxy.User; user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return &net.OpError{Op: "proxyconnect", Err: err}
	}
	// The buffered reader takes none of the server's bytes: a TLS server sends nothing before the ClientHello.
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxConnectResponse)), request)
	if err != nil {
		return &net.OpError{Op: "proxyconnect", Err: err}
	}
	defer func() { _ = response.Body.Close() }() // conn stays open
	return neterr.OnProxyConnectResponse(context.Background(), r.proxy, request, response)
}
