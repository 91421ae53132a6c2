// Package dialer opens connections to a server for package http1: directly, or through the proxy that the environment names,
// and with TLS if the server's URL is https.
package dialer

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"golang.org/x/net/proxy"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/proxy/http1"
)

// stepTimeout is the time limit of each step: connecting, a TLS handshake, and opening a tunnel.
const stepTimeout = 10 * time.Second

// ServerDialer opens connections to one server. Its fields must not be changed after the first call of Dial.
type ServerDialer struct {
	// Server is the URL of the server, of which only scheme, host and port count.
	Server *url.URL
	// Proxy returns the proxy for a request, or nil: http.ProxyFromEnvironment. The schemes http, https, socks5 and socks5h are
	// supported. A nil Proxy means no proxy. A tunnel is used for http URLs too: these are allowed for loopback addresses only,
	// for which the environment names no proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// Via, if not empty, is that field (RFC 9110 section 7.6.3) of a CONNECT to an HTTP proxy.
	Via string
	// TCP opens the connections to the server or the proxy. It is required.
	TCP *AddressFilteringTCPDialer
	// TLS is the configuration for TLS, to which Dial adds the name of the server, HTTP/1.1 and TLS 1.2 as the least. nil means
	// the defaults. It should have a ClientSessionCache.
	TLS *tls.Config
}

// Dial opens a connection. It is safe for concurrent use. neterr.Describe describes its errors. A httptrace.ClientTrace in ctx
// gets the events of DNS, connecting and TLS.
func (d *ServerDialer) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := d.connect(ctx)
	if err != nil || d.Server.Scheme != "https" {
		return conn, err
	}
	return d.handshake(ctx, conn, d.Server.Hostname())
}

// connect opens a connection to the server, or a tunnel to it.
func (d *ServerDialer) connect(ctx context.Context) (net.Conn, error) {
	address := Address(d.Server)
	var proxyURL *url.URL
	if d.Proxy != nil {
		var err error
		if proxyURL, err = d.Proxy(&http.Request{URL: d.Server}); err != nil {
			return nil, wrapProxyError(fmt.Errorf("the URL in the environment: %w", err))
		}
	}
	if proxyURL == nil {
		return d.TCP.DialContext(ctx, "tcp", address)
	}
	switch proxyURL.Scheme {
	case "http", "https":
		return d.tunnel(ctx, proxyURL, address)
	case "socks5", "socks5h":
		return d.dialSOCKS(ctx, proxyURL, address)
	}
	return nil, wrapProxyError(net.UnknownNetworkError("scheme of the URL in the environment"))
}

// tunnel connects to a proxy, and lets it connect to the server: RFC 9110 section 9.3.6.
func (d *ServerDialer) tunnel(ctx context.Context, proxyURL *url.URL, target string) (net.Conn, error) {
	conn, err := d.TCP.DialContext(ctx, "tcp", Address(proxyURL))
	if err != nil {
		return nil, wrapProxyError(err)
	}
	if proxyURL.Scheme == "https" {
		if conn, err = d.handshake(ctx, conn, proxyURL.Hostname()); err != nil {
			return nil, wrapProxyError(err)
		}
	}
	if err := d.requestTunnel(ctx, conn, proxyURL, target); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (d *ServerDialer) requestTunnel(ctx context.Context, conn net.Conn, proxyURL *url.URL, target string) error {
	_ = conn.SetDeadline(time.Now().Add(stepTimeout))
	// A deadline in the past ends a blocked read or write.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	fields := http1.Fields{{Name: "Host", Value: target}}
	if credentials := ProxyAuthorization(proxyURL); credentials != "" {
		fields.Add("Proxy-Authorization", credentials)
	}
	if d.Via != "" {
		fields.Add("Via", d.Via)
	}
	status, err := http1.Connect(conn, target, fields)
	switch {
	case !stop():
		return ctx.Err()
	case err != nil:
		return wrapProxyError(err)
	case status != http.StatusOK:
		return &neterr.ForwardProxyRefusedError{Status: status}
	}
	return conn.SetDeadline(time.Time{})
}

// ProxyAuthorization returns the field of that name for an HTTP proxy; empty if the proxy's URL has no user.
func ProxyAuthorization(proxyURL *url.URL) string {
	if proxyURL.User == nil {
		return ""
	}
	password, _ := proxyURL.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(proxyURL.User.Username()+":"+password))
}

// dialSOCKS connects through a SOCKS5 proxy: RFC 1928. The proxy resolves the host name.
func (d *ServerDialer) dialSOCKS(ctx context.Context, proxyURL *url.URL, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := d.TCP.DialContext(ctx, "tcp", Address(proxyURL))
	if err != nil {
		return nil, wrapProxyError(err)
	}
	var auth *proxy.Auth
	if user := proxyURL.User; user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	socks, err := proxy.SOCKS5("tcp", Address(proxyURL), auth, nil)
	if err == nil {
		// Unlike the connection that DialContext returns, conn can be polled by package http1.
		_, err = socks.(interface {
			DialWithConn(ctx context.Context, conn net.Conn, network, address string) (net.Addr, error)
		}).DialWithConn(ctx, conn, "tcp", target)
	}
	if err != nil {
		_ = conn.Close()
		return nil, wrapProxyError(err)
	}
	return conn, nil
}

// handshake starts TLS on a connection. It closes the connection if that fails.
func (d *ServerDialer) handshake(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.TLS != nil {
		config = d.TLS.Clone()
		config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	}
	config.ServerName, config.NextProtos, config.VerifyConnection = host, []string{"http/1.1"}, neterr.VerifyServerIsNoBroker
	limited, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	secure := http1.TLSClient(conn, config)
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := secure.HandshakeContext(limited)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secure.ConnectionState(), err)
	}
	if err == nil {
		return secure, nil
	}
	_ = conn.Close()
	if limited.Err() != nil && ctx.Err() == nil {
		err = &net.OpError{Op: neterr.OpHandshakeTimeout, Net: "tcp", Err: limited.Err()}
	}
	return nil, err
}

// wrapProxyError says that an error is about the proxy, as net/http does.
func wrapProxyError(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }

// Address returns the host and the port of a URL, with the port of its scheme if it has none.
func Address(u *url.URL) string {
	ports := map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), ports[u.Scheme], "80"))
}
