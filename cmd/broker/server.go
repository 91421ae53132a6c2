package main

import (
	"context"
	"io"

	"go.uber.org/zap"

	"etrusted-broker/internal/sdnotify"
)

// serverOptions are what runServer needs besides the configuration.
type serverOptions struct {
	build       Build
	log         io.Writer
	environ     []string        // as os.Environ returns it: variables with unknown names cause warnings
	onListening func(listeners) // called once connections are accepted
}

// runServer runs the broker until ctx is done, and then until the requests in flight have ended. It logs the error that it
// returns, which is or wraps a configError if the configuration cannot be used.
func runServer(ctx context.Context, c config, options serverOptions) error {
	silenceStandardLog()
	log := newLogger(options.log, c.LogLevel, c.LogFormat)
	for _, warning := range unknownVariables(options.environ) {
		log.Warn(warning)
	}
	b, err := newBroker(c, options.build, log, newAPITransport(c.UpstreamTimeout), newLoginTransport())
	if err != nil {
		log.Error("cannot start: " + err.Error())
		return err
	}
	l, err := listen(ctx, c)
	if err != nil {
		log.Error("cannot start: " + err.Error())
		return err
	}
	b.tellOfExposure(l.isExposed(), c)
	b.tellOfWeakness(c)
	log.Info("listening",
		zap.String("app", addressOf(l.app)), zap.String("admin", addressOf(l.admin)),
		zap.String("api", c.APIURL), zap.String("token_url", c.TokenURL), zap.String("version", options.build.Version),
		zap.Int("max_connections", b.limits.app))
	options.onListening(l)
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
