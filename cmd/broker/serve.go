package main

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"etrusted-broker/internal/sdnotify"
)

func serveCommand(ctx context.Context, i invocation) int {
	c, ok := i.configured()
	if !ok {
		return exitConfig
	}
	return i.serve(ctx, c, func(listeners) {})
}

// serve listens and runs the broker. It calls listening once connections are taken.
func (i invocation) serve(ctx context.Context, c config, listening func(listeners)) int {
	silenceStandardLog()
	log := newLogger(i.stderr, c.LogLevel, c.LogFormat)
	for _, warning := range unknownVariables(i.environ) {
		log.Warn(warning)
	}
	b, err := newBroker(c, log, newAPITransport(c.UpstreamTimeout), newLoginTransport())
	if err != nil {
		log.Error("cannot start: " + err.Error())
		return exitConfig
	}
	l, err := i.listen(ctx, c)
	if err != nil {
		log.Error("cannot start: " + err.Error())
		if errors.As(err, new(configError)) {
			return exitConfig
		}
		return exitFailure
	}
	b.tellOfExposure(l.isExposed(), c)
	b.tellOfWeakness(c)
	log.Info("listening",
		zap.String("app", addressOf(l.app)), zap.String("admin", addressOf(l.admin)),
		zap.String("api", c.APIURL), zap.String("token_url", c.TokenURL), zap.String("version", version),
		zap.Int("max_connections", b.limits.app))
	listening(l)
	systemd, err := sdnotify.New()
	if err != nil {
		log.Warn(err.Error())
	}
	if err := b.serveWithSystemd(ctx, l, systemd); err != nil {
		log.Error(err.Error())
		return exitFailure
	}
	return exitOK
}
