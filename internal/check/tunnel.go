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

// tunnel runs the step that opens a tunnel through the proxy.
func (c *checker) tunnel(ctx context.Context, r route) Step {
	conn, err := c.connectServer(ctx, r)
	if err != nil {
		return r.tunnelFailure(ctx, err)
	}
	_ = conn.Close() // it was only a test
	return passed(hostPort(r.proxy) + " opened a tunnel to " + r.target)
}

// tunnelFailure describes why there is no connection to the server: the first hop, or the proxy, failed.
func (r route) tunnelFailure(ctx context.Context, err error) Step {
	var refused *neterr.ProxyRefusedError
	switch {
	case r.proxy == nil:
		return r.connectFailure(err)
	case ctx.Err() != nil:
		return failed(CauseNetwork, r.target+" was not reached: the HTTP proxy did not answer in time", "Check HTTPS_PROXY and NO_PROXY, and whether the proxy is working.")
	case !errors.As(err, &refused) && neterr.Describe("", err).ProxyError != "destination_unavailable":
		return r.connectFailure(err)
	}
	explained := neterr.Describe("", err)
	result := failed(CauseNetwork, r.target+" "+explained.Detail, explained.Hint)
	switch {
	case refused != nil && refused.Status == http.StatusProxyAuthRequired:
		result.Advice = "The proxy requires a user name and password: set them in HTTPS_PROXY, as in http://USER:PASSWORD@HOST:PORT. To bypass the proxy for this host, add the host to NO_PROXY."
	case refused != nil:
		result.Advice += " Ask the proxy's administrator to allow connections to this host."
	}
	return result
}

// connectServer opens a connection to the server, directly or through the proxy, on which TLS can start.
func (c *checker) connectServer(ctx context.Context, r route) (net.Conn, error) {
	conn, err := c.connect(ctx, r)
	if err != nil || r.proxy == nil {
		return conn, err
	}
	// A deadline in the past ends a blocked read or write.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through := conn
	if r.proxy.Scheme == "https" {
		secure := tls.Client(conn, c.tlsConfig(r.proxy.Hostname()))
		err, through = secure.HandshakeContext(ctx), secure
	}
	if err == nil {
		err = connectThrough(through, r)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close() // it cannot be used
		return nil, err
	}
	return through, nil
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
