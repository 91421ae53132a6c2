package doctor

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

// maxProxyAnswer bounds what a proxy may answer to CONNECT.
const maxProxyAnswer = 64 << 10

// tunnel is the step that asks the proxy for a way through.
func (e *examination) tunnel(ctx context.Context, r route) finding {
	conn, err := e.open(ctx, r)
	if err != nil {
		return r.unopened(ctx, err)
	}
	_ = conn.Close() // that it came about is all that was to be known
	return fine(hostPort(r.proxy) + " opened the way to " + r.target)
}

// unopened puts into words that there is no connection on which the server could be talked to.
func (r route) unopened(ctx context.Context, err error) finding {
	var refused *neterr.ProxyRefusedError
	switch {
	case r.proxy == nil:
		return r.unreached(err)
	case ctx.Err() != nil:
		return finding{text: r.target + " was not reached: the HTTP proxy did not answer in time", fault: Network, advice: "Check HTTPS_PROXY and NO_PROXY, and whether the proxy itself is well."}
	case !errors.As(err, &refused) && neterr.Describe("", err).ProxyError != "destination_unavailable":
		return r.unreached(err)
	}
	explained := neterr.Describe(r.target, err)
	found := finding{text: explained.Detail, fault: Network, advice: explained.Hint}
	switch {
	case refused != nil && refused.Status == http.StatusProxyAuthRequired:
		found.advice = "The proxy wants a user name and a password: set them in HTTPS_PROXY, as in http://USER:PASSWORD@HOST:PORT. If it is not to be used for this host, name the host in NO_PROXY."
	case refused != nil:
		found.advice += " Ask whoever runs the proxy to let connections to this host through."
	}
	return found
}

// open opens a connection on which the server's TLS can begin: straight, or through the proxy.
func (e *examination) open(ctx context.Context, r route) (net.Conn, error) {
	conn, err := e.connect(ctx, r)
	if err != nil || r.proxy == nil {
		return conn, err
	}
	// A deadline that is past is what ends a read or a write that nobody waits for any longer.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through := conn
	if r.proxy.Scheme == "https" {
		secure := tls.Client(conn, e.tlsConfig(r.proxy.Hostname()))
		err, through = secure.HandshakeContext(ctx), secure
	}
	if err == nil {
		err = connectThrough(through, r)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close() // it is of no use
		return nil, err
	}
	return through, nil
}

// connectThrough asks for a tunnel: RFC 9110 section 9.3.6.
func connectThrough(conn net.Conn, r route) error {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: r.target}, Host: r.target, Header: http.Header{}}
	if user := r.proxy.User; user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return &net.OpError{Op: "proxyconnect", Err: err}
	}
	// What comes after the answer is the server's, which says nothing before it is greeted.
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxProxyAnswer)), request)
	if err != nil {
		return &net.OpError{Op: "proxyconnect", Err: err}
	}
	defer func() { _ = response.Body.Close() }() // the tunnel's own end is conn's
	return neterr.OnProxyConnectResponse(context.Background(), r.proxy, request, response)
}
