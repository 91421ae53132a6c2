package server

import (
	"time"

	"go.uber.org/zap"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

const (
	// clientHeaderTimeout is for a TLS handshake, and for a request's header.
	clientHeaderTimeout = 10 * time.Second
	// clientIdleTimeout is longer than that of most clients, so that the client closes an idle connection first.
	clientIdleTimeout = 2 * time.Minute
)

// newAppServer returns the server of the app's listeners. Whole requests and responses have no timeout: they may stream for as
// long as both sides want.
func (b *broker) newAppServer() *http1.Server {
	return &http1.Server{
		Handler:          b,
		HeaderTimeout:    clientHeaderTimeout,
		IdleTimeout:      clientIdleTimeout,
		TunnelOf:         b.interceptedTunnel,
		OnEvict:          func() { b.countDeniedConnection(access.ReasonEvicted) },
		OnHandshakeError: b.recordHandshakeError,
		OnPanic: func(reason any) {
			b.log.Error("a request failed because of a bug in the broker; please report it", zap.Any("reason", reason), zap.Stack("stack"))
		},
	}
}

// recordHandshakeError counts a failed TLS handshake, and logs it at most once a minute.
func (b *broker) recordHandshakeError(err error) {
	b.countDeniedConnection(access.ReasonHandshake)
	if !b.handshakeLog.allow() {
		return
	}
	if err.Error() == unknownSNIErrorText {
		b.log.Warn("a TLS client at BROKER_INTERCEPT_LISTEN asked for another host than the API and the login server, or for none: check what leads it there")
		return
	}
	b.log.Warn("TLS handshake with an app failed: check that it trusts the broker's certificate and, if BROKER_TLS_CLIENT_CA_FILE is set, sends its own", zap.String("reason", err.Error()))
}
