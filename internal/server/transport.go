package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"etrusted-broker/internal/neterr"
)

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second

	// idleTimeout is shorter than what load balancers usually grant (60 s): a connection that the other side closes
	// just as a POST is written to it cannot be told from one that broke after the POST was acted upon.
	idleTimeout = 45 * time.Second

	// A dead HTTP/2 connection (a NAT that forgot it) would otherwise fail every request until a restart.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second

	// streamWindow is how much of an HTTP/2 response is held while the app does not read: see connectionMemory. net/http's
	// default is 4 MiB. It bounds one response to 6 MB/s where the API is 20 ms away.
	streamWindow = 128 << 10

	// maxResponseHeader is far above what an API sends, and far below what would hurt.
	maxResponseHeader = 256 << 10
)

// newAPITransport returns the transport to the API. responseTimeout is maximum wait for the API's response headers.
func newAPITransport(responseTimeout time.Duration) *http.Transport {
	t := newTransport()
	t.ResponseHeaderTimeout = responseTimeout
	idle := currentLimits().idle
	t.MaxIdleConns, t.MaxIdleConnsPerHost = idle, idle
	t.ExpectContinueTimeout = time.Second
	return t
}

// NewLoginTransport returns the transport to the login server. Its connections are apart from the API's, so that
// neither can starve the other.
func NewLoginTransport() *http.Transport {
	t := newTransport()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 8, 8 // as many as fetch at once
	return t
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: neterr.OnProxyConnectResponse,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, MaxReceiveBufferPerStream: streamWindow},
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true, // what the app did not ask for it must not get, nor lose
	}
}
