// Package server builds and runs the broker from a config.Config: listeners, reload, drain, tunnels, systemd.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/sdnotify"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// Options are what Run needs besides the configuration.
type Options struct {
	Build       Build
	Log         io.Writer
	OnListening func(Listeners) // called once connections are accepted
	// Reload, if not nil, has a value whenever the files are to be read at once.
	Reload <-chan os.Signal
}

// Run runs the broker until ctx is done, and then until the requests in flight have ended. It logs the error that it
// returns, which is or wraps a config.Error if the configuration cannot be used.
func Run(ctx context.Context, c config.Config, options Options) error {
	go preloadSystemRoots()
	SilenceStandardLog()
	log := newLogger(options.Log, c.LogLevel, c.LogFormat)
	for _, warning := range slices.Concat(c.UnknownVariables, c.IneffectiveVariables) {
		warn(log, "variable-without-effect", warning)
	}
	tcp := NewUpstreamDialer(c)
	b, err := newBroker(c, options.Build, log, newAPIClient(c.API, c, currentLimits(c).idle, tcp), NewLoginTransport(tcp))
	if err != nil {
		logStartError(log, err)
		return err
	}
	l, err := listen(ctx, c)
	if err != nil {
		logStartError(log, err)
		return err
	}
	tcp.Listeners = l.addresses()
	b.warnExposed(isAnyExposed(l.App), isAnyExposed(l.Intercept))
	b.warnInsecureConfig()
	intercept := zap.Skip()
	if l.Intercept != nil {
		intercept = zap.String("intercept", formatListenAddress(l.Intercept[0]))
	}
	log.Info("listening",
		zap.String("app", formatListenAddress(l.App[0])), zap.String("admin", formatListenAddress(l.Admin)), intercept,
		zap.String("api", c.APIURL), zap.String("token_url", c.TokenURL), zap.String("version", options.Build.Version),
		zap.Int("max_connections", b.limits.app))
	b.followAccountServers(ctx, tcp, l.Intercept != nil)
	b.connectionInfo = ConnectionInfoWithoutKey(c, l.App[0])
	go b.reloadOn(ctx, options.Reload)
	go b.warnExpiringDaily(ctx)
	options.OnListening(l)
	systemd, err := sdnotify.New()
	if err != nil {
		log.Warn(err.Error())
	}
	if err := b.serveWithSystemd(ctx, l, systemd); err != nil {
		log.Error(err.Error())
		return err
	}
	return nil
}

// logStartError logs why the broker does not start, with a code if the configuration is the reason.
func logStartError(log *zap.Logger, err error) {
	code := zap.Skip()
	if invalid, ok := errors.AsType[config.Error](err); ok {
		code = zap.String("code", invalid.Code())
	}
	log.Error("cannot start: "+err.Error(), code)
}

// serve runs the broker on its listeners until ctx is done, drains it, and closes them. It returns an error if a listener fails.
func (b *broker) serve(ctx context.Context, l Listeners) error {
	fetching, stopFetching := context.WithCancel(context.WithoutCancel(ctx)) // until the last request has finished
	var loop sync.WaitGroup
	sharing, stopSharing := context.WithCancel(context.WithoutCancel(ctx)) // the refresh loop releases its lease when it ends
	loop.Go(func() {
		defer stopSharing()
		b.accounts.Run(fetching)
	})
	if b.store != nil {
		loop.Go(func() { b.store.Run(sharing) })
	}
	loop.Go(func() { b.keysAndTLS.run(fetching, b.closeRevokedTunnels) })
	loop.Go(func() { b.callers.run(fetching, b.closeRevokedTunnels) })
	loop.Go(func() { b.pages.Run(fetching) })
	defer loop.Wait()
	defer stopFetching()

	b.pass.checked.Listeners, b.pass.unchecked.Listeners = l.addresses(), l.addresses()
	b.app.MaxConns = b.limits.app
	failed := make(chan error, len(l.App)+len(l.Intercept)+1)
	for _, app := range l.App {
		go serveAndReport("app", failed, func() error { return b.app.Serve(b.keysAndTLS.listener(app)) })
	}
	for _, intercept := range l.Intercept {
		tlsConfig := b.ca.ServerNameTLS()
		wrap := func(accepted net.Conn) net.Conn { return interceptedTLSConn{tls.Server(accepted, tlsConfig)} }
		go serveAndReport("intercept", failed, func() error { return b.app.Serve(connWrappingListener{intercept, wrap}) })
	}
	if l.Admin != nil {
		b.admin.ConnState = (&adminConnEvictor{max: b.limits.admin}).onConnState
		go serveAndReport("admin", failed, func() error { return b.admin.Serve(l.Admin) })
	}
	defer func() { _ = b.admin.Close() }() // last, so that it reports on the drain
	select {
	case err := <-failed:
		b.app.Close()
		return err
	case <-ctx.Done():
		b.drain()
		return nil
	}
}

// serveAndReport calls serve, and sends its error to failed unless the server was closed.
func serveAndReport(listener string, failed chan<- error, serve func() error) {
	if err := serve(); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, http1.ErrServerClosed) {
		failed <- fmt.Errorf("the %s listener failed: %w", listener, err)
	}
}

// drain makes the broker not ready, closes the app's listeners, and gives requests in flight the grace period to finish.
func (b *broker) drain() {
	b.draining.Store(true)
	b.log.Info("shutting down", zap.Int64("requests_in_flight", b.proxy.InFlight()), zap.Duration("grace", b.config.ShutdownGrace))
	ctx, cancel := context.WithTimeout(context.Background(), b.config.ShutdownGrace)
	defer cancel()
	if b.app.Shutdown(ctx) != nil {
		b.log.Warn("grace period over; closing the requests in flight", zap.Int64("requests_in_flight", b.proxy.InFlight()))
		b.app.Close()
		return
	}
	b.log.Info("all requests have finished")
}

const (
	// clientHeaderTimeout is for a TLS handshake, and for a request's header.
	clientHeaderTimeout = 10 * time.Second
	// clientIdleTimeout is longer than that of most clients, so that the client closes an idle connection first.
	clientIdleTimeout = 2 * time.Minute
)

// newAppServer returns the server of the app's listeners. Requests and responses have no timeout: they may stream for long.
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
