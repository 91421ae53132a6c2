// Package server builds and runs the broker from a config.Config: listeners, reload, drain, tunnels, systemd.
package server

import (
	"context"
	"errors"
	"io"
	"os"

	"go.uber.org/zap"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/sdnotify"
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
	go loadRoots()
	SilenceStandardLog()
	log := newLogger(options.Log, c.LogLevel, c.LogFormat)
	for _, warning := range append(c.UnknownVariables, c.IneffectiveVariables...) {
		warn(log, "variable-without-effect", warning)
	}
	network := NewNetwork(c)
	b, err := newBroker(c, options.Build, log, newAPIClient(c.API, c, currentLimits(c).idle, network), NewLoginTransport(network))
	var l Listeners
	if err == nil {
		l, err = listen(ctx, c)
	}
	if err != nil {
		code := zap.Skip()
		if invalid, ok := errors.AsType[config.Error](err); ok {
			code = zap.String("code", invalid.Code())
		}
		log.Error("cannot start: "+err.Error(), code)
		return err
	}
	network.Listeners = l.addresses()
	b.warnExposed(isExposed(l.App), isExposed(l.Intercept))
	b.warnInsecureConfig()
	intercept := zap.Skip()
	if l.Intercept != nil {
		intercept = zap.String("intercept", formatListenAddress(l.Intercept[0]))
	}
	log.Info("listening",
		zap.String("app", formatListenAddress(l.App[0])), zap.String("admin", formatListenAddress(l.Admin)), intercept,
		zap.String("api", c.APIURL), zap.String("token_url", c.TokenURL), zap.String("version", options.Build.Version),
		zap.Int("max_connections", b.limits.app))
	b.followAccountServers(ctx, network, l.Intercept != nil)
	b.usage = UsageInstructions(c, l.App[0])
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
