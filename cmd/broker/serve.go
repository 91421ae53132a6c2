package main

import (
	"context"
	"errors"

	"etrusted-broker/internal/config"
	"etrusted-broker/internal/server"
)

func serveCommand(ctx context.Context, i invocation) int {
	c, ok := i.configured()
	if !ok {
		return exitConfig
	}
	return i.serve(ctx, c, func(server.Listeners) {})
}

// serve runs the broker until ctx is done. It calls onListening once connections are accepted.
func (i invocation) serve(ctx context.Context, c config.Config, onListening func(server.Listeners)) int {
	err := server.Run(ctx, c, server.Options{
		Build:       server.Build{Version: version, Revision: revision},
		Log:         i.stderr,
		Environ:     i.environ,
		OnListening: onListening,
	})
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(config.Error)):
		return exitConfig
	default:
		return exitFailure
	}
}
